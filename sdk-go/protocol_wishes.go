// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/longcall/longcall/sdk-go/internal/wire"
)

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
