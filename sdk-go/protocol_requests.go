// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"slices"
	"weak"
)

// requests knows every request that something local still cares for: what the application does with them,
// what becomes of them when links come and go, and how they end. What the server says of them is taken in
// protocol_messages.go.
type requests struct {
	*core
	sender *sender
	active *ordered[*tracked]
	// known lets two handles of one id share its state even when nothing is due for it. Weak: a
	// program that never detaches must not keep every request that it ever made.
	known   map[string]weak.Pointer[tracked]
	sweepAt int // the size of known at which dead ones are looked for
}

func newRequests(c *core) *requests {
	r := &requests{
		core:    c,
		active:  newOrdered[*tracked](),
		known:   map[string]weak.Pointer[tracked]{},
		sweepAt: 1024,
	}
	r.sender = newSender(c, r.endWith)
	return r
}

// What the application does.

func (r *requests) find(id string) *tracked {
	if t, ok := r.active.get(id); ok {
		return t
	}
	return r.known[id].Value()
}

func (r *requests) add(t *tracked) {
	if len(r.known) >= r.sweepAt {
		for id, pointer := range r.known {
			if pointer.Value() == nil {
				delete(r.known, id)
			}
		}
		r.sweepAt = max(1024, 2*len(r.known))
	}
	r.active.set(t.id, t)
	r.known[t.id] = weak.Make(t)
}

// activate: something local cares for this request again.
func (r *requests) activate(t *tracked) {
	r.active.set(t.id, t)
	r.sender.mark(t)
}

// settleIdle lets go of a request for which nothing local is left. It goes on, on the server.
func (r *requests) settleIdle(t *tracked) {
	over := false
	switch {
	case t.phase == phaseEnded:
		over = !t.isBusy()
	case t.phase == phaseWaiting && t.isIdle(): // PROTOCOL 9.5.5
		t.phase = phaseEnded
		t.outcome = &outcome{err: ErrDetached}
		r.endTraces(t, ErrDetached)
		r.sender.forget(t)
		delete(r.known, t.id)
		over = true
	case t.phase == phaseStored && t.isIdle():
		_, inFlight := r.sender.inFlight[t.id]
		over = !inFlight
	}
	if t.outcome == nil && len(t.traces) > 0 && t.isIdle() {
		r.endTraces(t, ErrDetached)
	}
	if active, ok := r.active.get(t.id); over && ok && active == t {
		r.active.take(t.id)
	}
}

// endAll ends everything: the client is closed for good (PROTOCOL 7.3.4, 10.40).
func (r *requests) endAll(errorOf func(*tracked) error) {
	lists := r.sender.forgetAll()
	for _, l := range r.links() {
		for _, q := range l.lists {
			lists = append(lists, q)
		}
	}
	for _, t := range r.active.all() {
		err := errorOf(t)
		for _, reader := range t.readers {
			reader.fail(err)
		}
		for _, q := range t.questions {
			q.fail(err)
		}
		r.end(t, outcome{err: err})
	}
	for _, q := range lists {
		q.fail(errorOf(nil))
	}
	r.active.clear()
}

// What happens to links.

// linkReady: every log that is wanted is to be read on the new link (PROTOCOL 9.5.2).
func (r *requests) linkReady() {
	for _, t := range r.active.all() {
		if _, wanted := t.wanted(); wanted || len(t.snapshots) > 0 {
			r.sender.mark(t)
		}
	}
}

// linkLost asks again what was unanswered on a link; code is the server's close code.
func (r *requests) linkLost(l *link, code CloseCode) {
	var culprit any
	if code == CloseMessageTooBig {
		culprit = l.lastSent
	}
	var again []*tracked
	for _, t := range l.unanswered.all() {
		if culprit == t { // PROTOCOL 10.43: "MUST NOT send a request again"
			r.endWith(t, tooLarge(t.id, t.size, l.limits.MaxMessageBytes, t.sends > 1))
			continue
		}
		again = append(again, t)
		if len(t.cancels) > 0 { // PROTOCOL 10.13: behind the request, on each new connection
			r.sender.cancel(t)
		}
	}
	r.sender.resend(again...)
	for _, id := range sortedKeys(l.attaches) {
		if t, ok := r.active.get(id); ok {
			t.snapshots = append(slices.Concat(l.attaches[id]...), t.snapshots...)
			r.sender.mark(t)
		}
	}
	for _, id := range sortedKeys(l.cancels) {
		r.cancelAgain(id, l.cancels[id], culprit, l.limits.MaxMessageBytes)
	}
	for _, id := range sortedKeys(l.lists) {
		if q := l.lists[id]; culprit == q {
			q.fail(tooLarge("", int64(len(q.text)), l.limits.MaxMessageBytes, false))
		} else {
			r.sender.ask(q)
		}
	}
	for _, id := range sortedKeys(l.cursors) {
		if t, ok := r.active.get(id); ok {
			r.sender.mark(t)
		}
	}
}

func (r *requests) cancelAgain(id string, cancels []*cancelQuestion, culprit any, limit int64) {
	t, ok := r.active.get(id)
	var again []*cancelQuestion
	for _, q := range cancels {
		switch {
		case culprit == q:
			q.fail(tooLarge(id, int64(len(q.text)), limit, false))
		case !ok:
			q.resolve(struct{}{})
		case !q.answered:
			again = append(again, q)
		}
	}
	if ok && len(again) > 0 {
		t.cancels = append(again, t.cancels...)
		r.sender.cancel(t)
	}
}

// timer: a wait after a refusal is over.
func (r *requests) timer(name timerName) {
	t, ok := r.active.get(name.id)
	switch {
	case !ok:
	case name == attachTimer(t.id):
		r.sender.mark(t)
	case name == cancelTimer(t.id):
		r.sender.cancel(t)
	case t.phase == phaseSent:
		r.sender.resend(t)
	}
}

// askUnread asks whether requests that nobody reads have ended: others wait for their room.
func (r *requests) askUnread() {
	ready := r.ready()
	if ready == nil {
		return
	}
	for _, id := range sortedKeys(r.sender.inFlight) {
		if t, ok := r.active.get(id); ok && t.phase == phaseStored && ready.cursors[id] == nil {
			t.poll = true
			r.sender.mark(t)
		}
	}
}

// Ends.

// sameIncarnation is false, and ends the handle, where another request has taken the id (PROTOCOL 10.32).
func (r *requests) sameIncarnation(t *tracked, createdAt string) bool {
	if t.createdAt == "" {
		t.createdAt = createdAt
	}
	if t.createdAt != createdAt {
		r.lose(t, otherIncarnation(t.id))
		return false
	}
	return true
}

// lose: the log is gone, or is another's: nothing of it can be read any more.
func (r *requests) lose(t *tracked, err error) {
	for _, reader := range t.readers {
		reader.fail(err)
	}
	for _, q := range t.snapshots {
		q.fail(err)
	}
	t.snapshots = nil
	r.sender.mark(t) // what the server still sends of it is not wanted
	r.end(t, outcome{err: err})
}

func (r *requests) endWith(t *tracked, err error) { r.end(t, outcome{err: err}) }

// end ends a request, once: the first outcome wins (PROTOCOL 10.39).
func (r *requests) end(t *tracked, how outcome) {
	r.sender.forget(t)
	for _, l := range r.links() {
		l.unanswered.take(t.id)
	}
	r.timers.cancel(resendTimer(t.id))
	r.timers.cancel(cancelTimer(t.id))
	for _, q := range t.cancels {
		q.resolve(struct{}{})
	}
	t.cancels = nil
	if t.outcome == nil {
		t.outcome = &how
		t.phase = phaseEnded
		t.text = nil
		r.endTraces(t, how.err)
		if !how.inLog || t.createdAt == "" {
			r.endReaders(t, how)
		}
		t.changed.fire()
	}
	r.settleIdle(t)
}

// endReaders ends what no terminal event ends: quick answers, refusals, lost handles.
func (r *requests) endReaders(t *tracked, how outcome) {
	for _, reader := range t.readers {
		if how.inLog || how.err == nil {
			reader.end()
		} else {
			reader.fail(how.err)
		}
	}
	for _, q := range t.snapshots {
		q.fail(notStored(t.id))
	}
	t.snapshots = nil
}

func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
