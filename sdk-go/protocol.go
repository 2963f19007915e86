// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"errors"
	"time"
	"unicode/utf8"

	"github.com/longcall/longcall/sdk-go/internal/wire"
)

// protocol is the protocol of a client as one pure object: no socket, no goroutine, no clock.
//
// A front end calls three kinds of verbs, all with the present time:
//
//   - what happened: handleOpened, handleText, handleClosed, handleTimeout, …
//   - what the application wants: submit, attach, cancel, openReader, …
//   - then, after each call: takeEffects, which are to be done in order, and nextTimeout, to know when to call
//     handleTimeout at the latest.
//
// What the application waits for is told by the signals of a tracked request, a reader or a question.
type protocol struct {
	core        *core
	requests    *requests
	connection  *lifecycle
	submissions int
	asked       int // lists so far
}

// openFailure says why there is no socket: status is that of the HTTP answer, if there was one.
type openFailure struct {
	status     int
	retryAfter time.Duration
	reason     string
}

func newProtocol(c *config) *protocol {
	core := &core{config: c, timers: timers{}}
	requests := newRequests(core)
	return &protocol{core: core, requests: requests, connection: newLifecycle(core, requests)}
}

// takeEffects returns what is to be done, in order, and forgets it.
func (p *protocol) takeEffects() []effect {
	effects := p.core.effects
	p.core.effects = nil
	return effects
}

// nextTimeout returns when handleTimeout is to be called; false: there is nothing to wait for.
func (p *protocol) nextTimeout() (time.Duration, bool) { return p.core.timers.next() }

// What happened.

// start begins to connect.
func (p *protocol) start() {
	p.core.do(stateEffect{p.connection.state})
	p.connection.open()
}

// handleOpened: a socket is open, with this token for hello ("": none).
func (p *protocol) handleOpened(id int, token string, now time.Duration) {
	if l := p.core.link(id); l != nil && l.phase == linkOpening {
		p.connection.greet(l, token, now)
	}
}

// handleOpenFailed: there is no socket.
func (p *protocol) handleOpenFailed(id int, failure openFailure, now time.Duration) {
	if l := p.core.link(id); l != nil {
		p.connection.openFailed(l, failure, now)
		p.goOn(now)
	}
}

// handleText: a text frame arrived. Whatever it is, this does not panic (PROTOCOL 9.9.2).
func (p *protocol) handleText(id int, text []byte, now time.Duration) {
	l := p.core.link(id)
	if l == nil || l.phase == linkOpening || l.phase == linkClosing {
		return
	}
	p.handleLife(id, now)
	if !utf8.Valid(text) { // PROTOCOL 2.2.4
		p.core.close(l, closeInvalidText, "not UTF-8")
	} else if err := p.take(l, text, now); err != nil { // PROTOCOL 4.2.9, 4.3.14
		p.core.warn("the server sent a malformed message: " + err.Error())
		p.core.close(l, CloseProtocolError, "malformed message")
	}
	p.goOn(now)
}

func (p *protocol) take(l *link, text []byte, now time.Duration) error {
	message, err := wire.DecodeServerMessage(text)
	if err != nil {
		return err
	}
	if l.phase == linkGreeting {
		welcome, ok := message.(*wire.WelcomeMessage)
		if !ok {
			return errors.New("not a welcome")
		}
		return p.connection.welcomed(l, welcome, now)
	}
	if taken, err := p.connection.handle(l, message, now); taken || err != nil {
		return err
	}
	return p.requests.handle(l, message, int64(len(text)), now)
}

// handleLife: a frame of any kind arrived (PROTOCOL 6.7.1).
func (p *protocol) handleLife(id int, now time.Duration) {
	if l := p.core.link(id); l != nil && l.heartbeat != nil {
		l.heartbeat.heard(now)
	}
}

// handleBinary: a binary frame arrived (PROTOCOL 2.2.3).
func (p *protocol) handleBinary(id int) {
	if l := p.core.link(id); l != nil {
		p.core.close(l, CloseBinaryFrame, "binary frame")
	}
}

// handleClosed: a socket is closed; code is what the server closed it with, 0 without any.
func (p *protocol) handleClosed(id int, code CloseCode, reason string, now time.Duration) {
	if l := p.core.link(id); l != nil {
		p.connection.lost(l, code, reason, 0, now)
		p.goOn(now)
	}
}

// handleToken brings the fresh token that fetchTokenEffect asked for; "": there was none.
func (p *protocol) handleToken(id int, token string, now time.Duration) {
	if l := p.core.link(id); l != nil {
		p.connection.refresh(l, token, now)
	}
}

// handleTimeout does what is due. Calling it too early or too late does no harm.
func (p *protocol) handleTimeout(now time.Duration) {
	for _, name := range p.core.timers.due(now) {
		if !p.core.timers.take(name, now) {
			continue
		}
		switch {
		case name == openTimer:
			p.connection.open()
		case name == refreshTimer:
			p.connection.fetchToken()
		case name == pollTimer:
			p.requests.askUnread()
		case name == heartbeatTimer(name.link):
			p.connection.checkHeartbeat(name.link, now)
		case name == welcomeTimer(name.link):
			p.connection.checkWelcome(name.link)
		case name.id != "":
			p.requests.timer(name)
		}
	}
	p.goOn(now)
}

func (p *protocol) goOn(now time.Duration) {
	p.requests.sender.pump(now)
	p.connection.retire()
}
