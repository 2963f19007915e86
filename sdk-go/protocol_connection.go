// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"strings"
	"time"

	"github.com/longcall/longcall/sdk-go/internal/wire"
)

const (
	// refreshPercent is the part of a token's remaining life after which it is refreshed (PROTOCOL 10.41).
	refreshPercent = 80
	maxClientName  = 128

	closeNormal      CloseCode = 1000
	closeInvalidText CloseCode = 1007 // text that is not UTF-8 (RFC 6455)
)

// lifecycle drives the links of a client: open, greet, stay alive, move, reconnect (PROTOCOL 4.2, 6.7, 6.8,
// 9.4). It tells requests when a link is ready and when one is lost. The states and their transitions
// are the generated table.
type lifecycle struct {
	*core
	requests *requests
	state    State

	backoff      *backoff
	opened       int // links so far
	tokenReason  TokenReason
	unauthorized int // 4401 since the last welcome
	principal    string
	expiresAt    time.Duration // of the token, on our clock
	wasWelcomed  bool
}

func newLifecycle(c *core, r *requests) *lifecycle {
	return &lifecycle{
		core:        c,
		requests:    r,
		state:       State{Name: connectionInitial},
		backoff:     newBackoff(c.config.backoffInitial, c.config.backoffMaximum, c.config.random),
		tokenReason: TokenForConnect,
	}
}

func (l *lifecycle) isClosed() bool { return l.state.Name.Terminal() }

// closedError returns the error for what ends because the client is closed (PROTOCOL 7.3.4); t may be nil.
func (l *lifecycle) closedError(t *tracked) error {
	err := &CloseError{Code: l.state.Code, Reason: l.state.Reason}
	if t != nil {
		err.RequestID, err.OutcomeUnknown = t.id, t.phase == phaseSent
	}
	return err
}

// Opening.

// open opens the first link, or the next one now that the wait is over.
func (l *lifecycle) open() {
	if l.state.Name == ConnectionReconnecting {
		l.to(connectionOnRetry, State{})
	}
	l.opened++
	l.current = newLink(l.opened)
	l.do(openEffect{l.opened, l.tokenReason})
}

// greet says hello, the first message of a connection (PROTOCOL 4.2.1).
func (l *lifecycle) greet(link *link, token string, now time.Duration) {
	link.phase = linkGreeting
	name := strings.TrimSpace(l.config.userAgent + " " + clientName)
	hello := &wire.HelloMessage{Client: &wire.Software{Name: name, Version: Version}}
	if token != "" {
		hello.Token = &token
	}
	l.send(link, encode(hello))
	l.timers.set(welcomeTimer(link.id), now+l.config.openTimeout)
}

// openFailed: the upgrade was refused, or there was no socket or no token (PROTOCOL 9.4.8).
func (l *lifecycle) openFailed(link *link, failure openFailure, now time.Duration) {
	var code CloseCode
	switch failure.status {
	case 401:
		code = CloseUnauthorized
	case 403:
		code = CloseForbidden
	}
	l.lost(link, code, failure.reason, failure.retryAfter, now)
}

// welcomed makes the link ready, unless it speaks for somebody else.
func (l *lifecycle) welcomed(link *link, m *wire.WelcomeMessage, now time.Duration) error {
	life, err := between(m.ServerTime, m.ExpiresAt)
	if err != nil {
		return err
	}
	if l.principal != "" && l.principal != m.Principal { // PROTOCOL 10.40
		l.stopAsAnother()
		return nil
	}
	l.principal = m.Principal
	l.timers.cancel(welcomeTimer(link.id))
	link.phase = linkReady
	link.wasReady = true
	link.limits = m.Limits
	link.bucket = newTokenBucket(m.Limits.MessageBurst, m.Limits.MessagesPerMinute, now)
	// PROTOCOL 6.7.4: an unknown side is the server.
	pings := heartbeatSide(m.Heartbeat.From) == heartbeatFromClient
	link.heartbeat = newHeartbeat(millis(m.Heartbeat.IntervalMs), pings, now)
	l.timers.set(heartbeatTimer(link.id), link.heartbeat.nextTimeout())
	l.do(readLimitEffect{link.id, m.Limits.MaxMessageBytes})
	l.backoff.startOver()
	l.unauthorized = 0
	l.tokenReason = TokenForConnect
	l.expiresAt = now + life
	l.planRefresh(now)
	l.to(connectionOnWelcome, State{Resumed: l.wasWelcomed})
	l.wasWelcomed = true
	l.requests.linkReady()
	return nil
}

// Messages about the connection.

// handle takes a message about the connection itself; false: it is about something else.
func (l *lifecycle) handle(link *link, message wire.ServerMessage, now time.Duration) (bool, error) {
	switch m := message.(type) {
	case *wire.PingMessage: // PROTOCOL 4.7.1
		l.send(link, encode(&wire.PongMessage{Nonce: m.Nonce}))
	case *wire.PongMessage:
	case *wire.RefreshedMessage:
		life, err := between(m.ServerTime, m.ExpiresAt)
		if err != nil {
			return true, err
		}
		if link == l.current {
			l.expiresAt = now + life
			l.planRefresh(now)
		}
	case *wire.ErrorMessage:
		if m.Seq != nil || m.ReplyTo == nil || *m.ReplyTo != "refresh" {
			return false, nil
		}
		l.warn("the token was not refreshed: " + m.Error.Code)
		l.planRefresh(now) // PROTOCOL 10.42: the old one stays in force
	case *wire.GoawayMessage:
		l.goaway(link, m, now)
	case *wire.AnnouncementMessage:
		createdAt, err := parseTimestamp(m.CreatedAt)
		if err != nil {
			return true, err
		}
		l.do(announceEffect{Announcement{Message: m.Message, Details: m.Details, CreatedAt: createdAt}})
	default:
		return false, nil
	}
	return true, nil
}

// goaway opens a new link while the old one still answers (PROTOCOL 6.8).
func (l *lifecycle) goaway(link *link, m *wire.GoawayMessage, now time.Duration) {
	if link.phase != linkReady {
		return // PROTOCOL 6.8.9: the second on the same connection
	}
	link.phase = linkDraining
	l.current = nil
	l.draining = append(l.draining, link)
	l.timers.cancel(refreshTimer)
	l.timers.set(openTimer, now+millis(m.ReconnectAfterMs))
	l.to(connectionOnGoaway, State{Reason: m.Reason})
}

// retire closes old links once all has moved (PROTOCOL 10.38).
func (l *lifecycle) retire() {
	ready := l.ready()
	if ready == nil || len(ready.attaches) > 0 || l.requests.sender.isMoving() {
		return
	}
	for _, link := range l.draining {
		if link.phase == linkDraining && link.isQuiet() {
			l.close(link, closeNormal, "moved")
		}
	}
}

// Heartbeat and token.

func (l *lifecycle) checkHeartbeat(id int, now time.Duration) {
	link := l.link(id)
	if link == nil || link.heartbeat == nil {
		return
	}
	if link.heartbeat.isDead(now) { // PROTOCOL 6.7.6
		l.abort(link, CloseTooSlow, "no sign of life")
		return
	}
	if link.heartbeat.takePing(now) {
		l.requests.sender.sendNow(link, &wire.PingMessage{}, now)
	}
	l.timers.set(heartbeatTimer(id), link.heartbeat.nextTimeout())
}

// checkWelcome: it did not come in time (PROTOCOL 4.2.10).
func (l *lifecycle) checkWelcome(id int) {
	if link := l.link(id); link != nil {
		l.abort(link, CloseTooSlow, "no welcome")
	}
}

// planRefresh refreshes at 80 % of what remains. A token that has run out ends in 4401.
func (l *lifecycle) planRefresh(now time.Duration) {
	if remaining := l.expiresAt - now; remaining > 0 {
		l.timers.set(refreshTimer, now+max(time.Second, remaining/100*refreshPercent))
	}
}

// fetchToken asks for a fresh token: it is time to refresh the old one.
func (l *lifecycle) fetchToken() {
	if link := l.ready(); link != nil {
		l.do(fetchTokenEffect{link.id})
	}
}

// refresh sends the fresh token, "" if there was none.
func (l *lifecycle) refresh(link *link, token string, now time.Duration) {
	switch {
	case link != l.ready(): // the next hello brings a fresh one
	case token == "":
		l.planRefresh(now)
	default:
		l.requests.sender.sendNow(link, &wire.RefreshMessage{Token: token}, now)
	}
}

// to moves the state; the table knows every transition that this file makes.
func (l *lifecycle) to(event connectionEvent, state State) {
	name, ok := l.state.Name.next(event)
	if !ok {
		panic("longcall: no transition from " + string(l.state.Name) + " by " + string(event))
	}
	state.Name = name
	l.state = state
	l.do(stateEffect{state})
}

// between returns the time from one timestamp to another, of the same clock.
func between(earlier, later string) (time.Duration, error) {
	from, err := parseTimestamp(earlier)
	if err != nil {
		return 0, err
	}
	to, err := parseTimestamp(later)
	if err != nil {
		return 0, err
	}
	return min(longest, max(-longest, to.Sub(from))), nil
}

func without(links []*link, gone *link) []*link {
	kept := links[:0:0]
	for _, link := range links {
		if link != gone {
			kept = append(kept, link)
		}
	}
	return kept
}
