// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
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

// What the application wants.

// close closes the client for good; requests go on, on the server.
func (p *protocol) close() {
	if !p.connection.isClosed() {
		p.connection.closeClient()
	}
}

// checkOpen returns the error of a closed client.
func (p *protocol) checkOpen() error {
	if p.connection.isClosed() {
		return p.connection.closedError(nil)
	}
	return nil
}

// submit sends a request as soon as it may be sent; the same id and content is the same request. ownID is
// true when the caller chose the id, so that it may be in use already. text is that of m.
func (p *protocol) submit(m *wire.RequestMessage, text []byte, ownID bool, now time.Duration) (*tracked, error) {
	if err := p.checkOpen(); err != nil {
		return nil, err
	}
	t := &tracked{id: m.ID, phase: phaseWaiting, text: text, size: int64(len(text)), handles: 1}
	if ownID {
		sum := digest(m.Action, m.Payload)
		t.digest = &sum
		same, err := p.sameRequest(t)
		if err != nil {
			return nil, err
		}
		if same != nil {
			p.retain(same, now)
			return same, nil
		}
	}
	s, c := p.requests.sender, p.core.config
	if s.waiting.len() >= c.maxQueue || s.waitingBytes+t.size > c.maxQueueBytes { // PROTOCOL 9.5.4
		return nil, fmt.Errorf("longcall: %d requests of %d bytes wait, request %s is not taken: %w",
			s.waiting.len(), s.waitingBytes, m.ID, ErrQueueFull)
	}
	p.submissions++
	t.number = p.submissions
	p.requests.add(t)
	s.enqueue(t)
	p.goOn(now)
	return t, nil
}

// sameRequest returns what this client already has under an id (PROTOCOL 5.1, 10.23).
func (p *protocol) sameRequest(t *tracked) (*tracked, error) {
	known := p.requests.find(t.id)
	switch {
	case known == nil || known.phase == phaseEnded && !known.isRemembered():
		return nil, nil
	case known.digest == nil:
		return nil, localError(CodeConflict, t.id,
			"this client is attached to the id; detach that handle first", nil)
	case *known.digest != *t.digest:
		return nil, localError(CodeConflict, t.id, "this client uses the id for another request", nil)
	}
	return known, nil
}

// attach reads the log of a request from its start, and follows it.
func (p *protocol) attach(id string, now time.Duration) (*tracked, error) {
	if err := p.checkOpen(); err != nil {
		return nil, err
	}
	t := p.requests.find(id)
	if t == nil || t.phase == phaseEnded && !t.isRemembered() {
		t = &tracked{id: id, phase: phaseStored}
		p.requests.add(t)
	}
	p.retain(t, now)
	return t, nil
}

// retain: a local handle cares for this request (again).
func (p *protocol) retain(t *tracked, now time.Duration) {
	t.handles++
	p.activate(t, now)
}

// release: a local handle no longer cares; with the last one, detach is sent (PROTOCOL 10.25).
func (p *protocol) release(t *tracked, now time.Duration) {
	t.handles--
	p.lookAgain(t, now)
}

// openReader begins to read the log from event 1; a passive one keeps a little for the first iterator.
func (p *protocol) openReader(t *tracked, passive bool, now time.Duration) *eventReader {
	reader := &eventReader{limits: p.core.config.reader, passive: passive}
	if passive {
		reader.limits = passiveLimits
	}
	switch {
	case t.outcome != nil && !t.outcome.inLog && t.outcome.err != nil:
		reader.fail(t.outcome.err)
	case t.outcome != nil && t.createdAt == "":
		reader.end() // a quick request has no log
	case p.connection.isClosed():
		reader.fail(p.connection.closedError(t))
	default:
		if t.progress != nil {
			reader.offerProgress(*t.progress)
		}
		t.readers = append(t.readers, reader)
		if !passive {
			p.activate(t, now)
		}
	}
	return reader
}

// activateReader hands a passive reader to an iterator; false: it has missed something.
func (p *protocol) activateReader(t *tracked, reader *eventReader, now time.Duration) bool {
	if !reader.passive || !slices.Contains(t.readers, reader) {
		return false
	}
	reader.activate(p.core.config.reader)
	p.activate(t, now)
	return true
}

// takeEvents appends the events that have arrived to out, up to its capacity.
func (p *protocol) takeEvents(t *tracked, reader *eventReader, out []Event, now time.Duration) []Event {
	wasStalled := reader.stalled
	for len(out) < cap(out) {
		event, ok := reader.pop()
		if !ok {
			break
		}
		out = append(out, event)
	}
	if wasStalled && reader.isHungry() {
		p.activate(t, now)
	}
	return out
}

// closeReader ends an iterator.
func (p *protocol) closeReader(t *tracked, reader *eventReader, now time.Duration) {
	reader.clear()
	t.readers = slices.DeleteFunc(t.readers, func(other *eventReader) bool { return other == reader })
	p.lookAgain(t, now)
}

// addWaiter: somebody waits for the outcome.
func (p *protocol) addWaiter(t *tracked, now time.Duration) {
	t.waiters++
	if t.outcome == nil && p.connection.isClosed() { // a released handle is used again
		p.requests.endWith(t, p.connection.closedError(t))
	}
	if t.outcome == nil {
		p.activate(t, now)
	}
}

func (p *protocol) removeWaiter(t *tracked, now time.Duration) {
	t.waiters--
	p.lookAgain(t, now)
}

// cancel asks the server to end a request (PROTOCOL 5.6).
func (p *protocol) cancel(t *tracked, text []byte, now time.Duration) (*cancelQuestion, error) {
	if err := p.checkOpen(); err != nil {
		return nil, err
	}
	q := &cancelQuestion{text: text}
	if t.outcome != nil {
		q.resolve(struct{}{})
		return q, nil
	}
	t.cancels = append(t.cancels, q)
	t.questions = append(t.questions, q)
	p.requests.activate(t)
	p.requests.sender.cancel(t)
	p.goOn(now)
	return q, nil
}

// snapshot asks how a request stands.
func (p *protocol) snapshot(t *tracked, now time.Duration) (*question[Snapshot], error) {
	if err := p.checkOpen(); err != nil {
		return nil, err
	}
	q := &question[Snapshot]{}
	if t.phase == phaseEnded && t.createdAt == "" {
		q.fail(notStored(t.id))
		return q, nil
	}
	t.snapshots = append(t.snapshots, q)
	t.questions = append(t.questions, q)
	p.activate(t, now)
	return q, nil
}

// list asks for a page of requests; m lacks its id only.
func (p *protocol) list(m *wire.ListMessage, now time.Duration) (*listQuestion, error) {
	if err := p.checkOpen(); err != nil {
		return nil, err
	}
	p.asked++
	m.ID = "list-" + strconv.Itoa(p.asked)
	text, err := encodeChecked(m, "")
	if err != nil {
		return nil, err
	}
	q := &listQuestion{id: m.ID, text: text}
	p.requests.sender.ask(q)
	p.goOn(now)
	return q, nil
}

// forgetList: nobody waits for this page any more.
func (p *protocol) forgetList(q *listQuestion) { p.requests.sender.lists.take(q.id) }

func (p *protocol) activate(t *tracked, now time.Duration) {
	p.requests.activate(t)
	p.goOn(now)
}

// lookAgain: somebody local has gone; perhaps nobody is left.
func (p *protocol) lookAgain(t *tracked, now time.Duration) {
	if active, ok := p.requests.active.get(t.id); ok && active == t {
		p.requests.sender.mark(t)
	}
	p.requests.settleIdle(t)
	p.goOn(now)
}
