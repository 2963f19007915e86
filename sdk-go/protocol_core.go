// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"math"
	"time"
)

// core is the ground that the lifecycle, the requests and the sender stand on: the links, the timers, and
// what is to be done.
type core struct {
	config   *config
	timers   timers
	effects  []effect
	current  *link   // the newest; nil while there is none
	draining []*link // older ones, since a goaway, until they are closed
	ignored  int64   // messages of the server that were ignored (PROTOCOL 2.5.3)
}

// ready returns the link on which new messages are sent; nil while there is none.
func (c *core) ready() *link {
	if c.current != nil && c.current.phase == linkReady {
		return c.current
	}
	return nil
}

// links returns all links, the newest last.
func (c *core) links() []*link {
	links := append(make([]*link, 0, len(c.draining)+1), c.draining...)
	if c.current != nil {
		links = append(links, c.current)
	}
	return links
}

// link returns the link with this number; nil if it is gone.
func (c *core) link(id int) *link {
	if c.current != nil && c.current.id == id {
		return c.current
	}
	for _, link := range c.draining {
		if link.id == id {
			return link
		}
	}
	return nil
}

func (c *core) do(effect effect) { c.effects = append(c.effects, effect) }

func (c *core) send(l *link, text []byte) { c.do(sendEffect{l.id, text}) }

// close closes a link from here; it stays among the links until the front end says that it is done.
func (c *core) close(l *link, code CloseCode, reason string) { c.closeLink(l, code, reason, false) }

// abort cuts a link whose peer is dead.
func (c *core) abort(l *link, code CloseCode, reason string) { c.closeLink(l, code, reason, true) }

func (c *core) closeLink(l *link, code CloseCode, reason string, abort bool) {
	if l.phase == linkClosing {
		return
	}
	l.phase = linkClosing
	l.ours = true
	l.closedWith.code, l.closedWith.reason = code, reason
	c.timers.cancel(welcomeTimer(l.id))
	c.timers.cancel(heartbeatTimer(l.id))
	c.do(closeEffect{l.id, code, reason, abort})
}

// ignore counts a message of the server that is ignored.
func (c *core) ignore(what string) {
	c.ignored++
	c.warn("ignored: " + what)
}

func (c *core) warn(text string) { c.do(warnEffect{text}) }

// retryWait returns how long to wait after a retryable refusal (PROTOCOL 4.3.13, 9.4).
func (c *core) retryWait(refusals int, retryAfter *time.Duration) time.Duration {
	if retryAfter != nil {
		return *retryAfter
	}
	bound := float64(c.config.backoffInitial) * math.Pow(2, float64(min(refusals, 20)))
	return time.Duration(c.config.random() * min(float64(c.config.backoffMaximum), bound))
}
