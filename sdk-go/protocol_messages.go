// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"slices"
	"strconv"
	"time"

	"github.com/longcall/longcall/sdk-go/internal/wire"
)

// What the server says of requests. No message of the server breaks anything here: what fits nothing is
// ignored and counted (PROTOCOL 9.9.2). An error is a malformed message (PROTOCOL 4.3.14); it is found
// before anything is changed.

func (r *requests) handle(l *link, message wire.ServerMessage, size int64, now time.Duration) error {
	switch m := message.(type) {
	case *wire.ResponseMessage:
		// PROTOCOL 10.39: "The first response or terminal event MUST end a handle."
		if t, ok := r.active.get(m.RequestID); ok && t.outcome == nil {
			r.end(t, outcome{result: m.Result, inLog: true})
		}
	case *wire.AcknowledgmentMessage:
		return r.acknowledgment(l, m, size)
	case *wire.StatusMessage:
		return r.status(l, m, size)
	case *wire.ChunkMessage:
		if t, ok := r.active.get(m.RequestID); ok {
			t.attempt = max(t.attempt, m.Attempt)
			r.event(l, t, m.Seq, Chunk{Seq: m.Seq, Attempt: m.Attempt, Data: m.Data}, size)
		}
	case *wire.ProgressMessage:
		return r.progress(m)
	case *wire.CompleteMessage:
		if t, ok := r.active.get(m.RequestID); ok {
			r.terminal(l, t, m.Seq, outcome{result: m.Result, inLog: true})
		}
	case *wire.ErrorMessage:
		r.error(l, m, now)
	case *wire.SnapshotMessage:
		return r.snapshot(l, m)
	case *wire.ListingMessage:
		answer, err := toPage(m)
		if q, ok := l.lists[m.ID]; ok && err == nil {
			delete(l.lists, m.ID)
			q.resolve(answer)
		}
		return err
	case *wire.UnknownMessage:
		r.unknown(l, m)
	default:
		r.ignore(message.MessageType() + " out of place")
	}
	return nil
}

func (r *requests) acknowledgment(l *link, m *wire.AcknowledgmentMessage, size int64) error {
	if _, err := parseTimestamp(m.CreatedAt); err != nil {
		return err
	}
	t, ok := r.active.get(m.RequestID)
	if !ok || !r.sameIncarnation(t, m.CreatedAt) {
		return nil
	}
	if _, asked := l.unanswered.take(t.id); asked {
		l.cursors[t.id] = &cursor{} // PROTOCOL 10.24: the connection follows as after attach{after_seq: 0}
		if t.outcome == nil {
			t.phase = phaseStored
			t.text = nil
			t.refusals = 0
			t.changed.fire()
			if len(t.cancels) > 0 { // PROTOCOL 10.13
				r.sender.cancel(t)
			}
		}
	}
	r.event(l, t, 1, Status{Seq: 1, Status: RequestStatus(m.Status)}, size)
	if _, wanted := t.wanted(); l != r.current || !wanted {
		r.sender.mark(t) // moved away meanwhile, or nobody is left to read
	}
	return nil
}

func (r *requests) status(l *link, m *wire.StatusMessage, size int64) error {
	event, err := toStatus(m)
	if t, ok := r.active.get(m.RequestID); ok && err == nil {
		t.attempt = max(t.attempt, m.Attempt)
		r.event(l, t, m.Seq, event, size)
	}
	return err
}

func (r *requests) progress(m *wire.ProgressMessage) error {
	event, err := toProgress(wire.ProgressState{
		Attempt: m.Attempt, Version: m.Version, Percentage: m.Percentage,
		Message: m.Message, Details: m.Details, UpdatedAt: m.UpdatedAt,
	})
	if t, ok := r.active.get(m.RequestID); ok && err == nil && t.outcome == nil {
		t.takeProgress(event)
	}
	return err
}

func (r *requests) error(l *link, m *wire.ErrorMessage, now time.Duration) {
	id := optional(m.RequestID)
	t, known := r.active.get(id)
	var attempt int64
	if known {
		attempt = t.attempt
	}
	err := toError(m.Error, id, attempt)
	err.Executed = optional(m.Executed)
	if m.Seq != nil {
		if known {
			r.terminal(l, t, *m.Seq, outcome{err: err, inLog: true})
		}
		return
	}
	var after *time.Duration
	if m.Error.RetryAfterMs != nil {
		after = &err.RetryAfter
	}
	// PROTOCOL 10.2: "A client MUST apply such an error … to the message that it answers alone."
	switch replyTo := optional(m.ReplyTo); {
	case replyTo == "list" && l.lists[optional(m.ID)] != nil:
		l.lists[*m.ID].fail(err)
		delete(l.lists, *m.ID)
	case replyTo == "request" && known:
		r.requestRefused(l, t, err, after, now)
	case replyTo == "attach" && known:
		r.attachRefused(l, t, err, after, now)
	case replyTo == "cancel" && id != "":
		r.cancelRefused(l, id, err, after, now)
	default:
		r.ignore("error " + string(err.Code) + " that answers nothing known")
	}
}

func (r *requests) requestRefused(l *link, t *tracked, err *Error, after *time.Duration, now time.Duration) {
	if err.Executed { // PROTOCOL 10.9: the outcome, from any connection
		r.end(t, outcome{err: err, inLog: true})
		return
	}
	if _, asked := l.unanswered.take(t.id); !asked {
		return // of a sending that was answered otherwise
	}
	switch {
	case t.sends == 1: // PROTOCOL 10.4: nothing was stored
		r.endWith(t, err)
	case err.Retryable:
		r.timers.set(resendTimer(t.id), now+r.retryWait(t.refusals, after))
		t.refusals++
	default:
		err.OutcomeUnknown = true
		r.endWith(t, err)
	}
}

func (r *requests) attachRefused(l *link, t *tracked, err *Error, after *time.Duration, now time.Duration) {
	questions := l.takeAttach(t.id)
	delete(l.cursors, t.id)
	// PROTOCOL 4.3.12: also unasked, when retention removed the log (10.33).
	if err.Retryable && err.Code != CodeNotFound && err.Code != CodeConflict {
		t.snapshots = append(slices.Clip(questions), t.snapshots...)
		r.timers.set(attachTimer(t.id), now+r.retryWait(t.refusals, after))
		t.refusals++
		return
	}
	for _, q := range questions {
		q.fail(err)
	}
	r.lose(t, err)
}

func (r *requests) cancelRefused(l *link, id string, err *Error, after *time.Duration, now time.Duration) {
	q, asked := l.takeCancel(id)
	if !asked {
		return
	}
	t, known := r.active.get(id)
	switch {
	case !known || t.outcome != nil:
		q.resolve(struct{}{}) // it has ended, as a quick request may under our hands
	case err.Retryable:
		t.cancels = append([]*cancelQuestion{q}, t.cancels...)
		r.timers.set(cancelTimer(id), now+r.retryWait(t.refusals, after))
		t.refusals++
	case err.Code == CodeNotFound && !t.isSettled():
		// PROTOCOL 10.13: not final; it is cancelled again at the acknowledgment.
		t.cancels = append([]*cancelQuestion{q}, t.cancels...)
	default:
		q.fail(err)
	}
}

func (r *requests) snapshot(l *link, m *wire.SnapshotMessage) error {
	snapshot, err := toSnapshot(m)
	if err != nil {
		return err
	}
	var questions []*question[Snapshot]
	if m.ReplyTo == "cancel" {
		if q, ok := l.takeCancel(m.RequestID); ok {
			q.resolve(struct{}{})
		}
	} else {
		questions = l.takeAttach(m.RequestID)
	}
	t, ok := r.active.get(m.RequestID)
	if !ok || !r.sameIncarnation(t, m.Request.CreatedAt) {
		for _, q := range questions {
			q.fail(otherIncarnation(m.RequestID))
		}
		return nil
	}
	t.refusals = 0
	summary := snapshot.Request
	t.attempt = max(t.attempt, summary.Attempt)
	t.knownLast = max(t.knownLast, summary.LastSeq)
	if summary.Status.Terminal() {
		delete(r.sender.inFlight, t.id)
	} else if t.phase == phaseStored {
		r.sender.inFlight[t.id] = struct{}{}
	}
	// PROTOCOL 10.27: the handle goes on; only the log ends it.
	if summary.Progress != nil {
		t.takeProgress(*summary.Progress)
	}
	for _, q := range questions {
		q.resolve(snapshot)
	}
	r.settleIdle(t)
	return nil
}

func (r *requests) unknown(l *link, m *wire.UnknownMessage) {
	kind := m.Type
	r.ignore("message of unknown type " + strconv.Quote(kind[:min(len(kind), 64)]))
	t, ok := r.active.get(m.RequestID)
	if at := l.cursors[m.RequestID]; ok && at != nil && m.Seq == at.position+1 {
		r.event(l, t, m.Seq, nil, 0) // PROTOCOL 2.5.4
	}
}

// Events.

func (r *requests) event(l *link, t *tracked, seq int64, event Event, size int64) {
	if !r.advance(l, t, seq) {
		return
	}
	for _, reader := range slices.Clone(t.readers) {
		wasHungry := reader.isHungry()
		reader.offer(seq, event, size)
		if wasHungry && !reader.isHungry() {
			r.stalled(t, reader)
		}
	}
	t.releaseProgress()
}

func (r *requests) stalled(t *tracked, reader *eventReader) {
	if reader.passive { // the first iterator will read from the server
		t.readers = slices.DeleteFunc(t.readers, func(other *eventReader) bool { return other == reader })
		reader.clear()
	}
	r.sender.mark(t)
}

func (r *requests) terminal(l *link, t *tracked, seq int64, how outcome) {
	if !r.advance(l, t, seq) {
		return
	}
	delete(l.cursors, t.id) // PROTOCOL 4.5.5
	for _, reader := range t.readers {
		reader.finish(seq)
	}
	r.end(t, how)
	if _, wanted := t.wanted(); wanted {
		r.sender.mark(t) // an iterator is still behind
	}
}

// advance moves the cursor of this link to seq; false: the event is not to be taken.
func (r *requests) advance(l *link, t *tracked, seq int64) bool {
	at := l.cursors[t.id]
	// PROTOCOL 10.26: late frames, before the answer to what was sent last.
	if at == nil || at.broken || len(l.attaches[t.id]) > 0 {
		return false
	}
	if seq <= at.position {
		return false // PROTOCOL 10.30: "MUST drop"
	}
	if seq > at.position+1 {
		r.gap(l, t, at)
		return false
	}
	at.position, at.gaps = seq, 0
	t.last = max(t.last, seq)
	t.knownLast = max(t.knownLast, seq)
	return true
}

// gap reads the log again after the last event; twice, then not on this connection (PROTOCOL 10.30).
func (r *requests) gap(l *link, t *tracked, at *cursor) {
	switch {
	case l != r.current:
		delete(l.cursors, t.id) // the new connection reads it anyway
	case at.gaps >= 2:
		r.close(l, CloseProtocolError, "events are missing")
	default:
		at.gaps++
		at.broken = true
	}
	r.sender.mark(t)
}
