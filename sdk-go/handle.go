// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/longcall/longcall/sdk-go/internal/wire"
)

// eventBatch is how many events are taken from the protocol at once.
const eventBatch = 64

// RequestHandle stands for a request, wherever it was submitted (PROTOCOL 9.2). It is safe for concurrent use.
type RequestHandle struct {
	id         string
	connection *connection
	detached   chan struct{} // closed by Detach
	// cancelOnDone: the end of a context cancels the request, once. Set before anybody has the handle.
	cancelOnDone bool

	// Owned by the goroutine of the connection.
	state    *tracked
	released bool // left early by all who used it; comes back when it is used
	uses     int
	readers  map[*eventReader]struct{}
	first    *eventReader // keeps a little for the first iterator
}

func newHandle(c *connection, t *tracked, keepsFirst bool, now time.Duration) *RequestHandle {
	h := &RequestHandle{
		id:         t.id,
		connection: c,
		detached:   make(chan struct{}),
		state:      t,
		readers:    map[*eventReader]struct{}{},
	}
	if keepsFirst {
		h.first = c.protocol.openReader(t, true, now)
	}
	return h
}

// ID returns the id of the request; Client.Attach comes back to it from anywhere.
//
// It is safe for concurrent use.
func (h *RequestHandle) ID() string { return h.id }

// Result waits for the end, and returns the result as JSON. The error is an *Error when the request failed, was
// cancelled or timed out on the server; a *WaitError when ctx ended, which cancels nothing; a *CloseError; or
// ErrDetached.
//
// It is safe for concurrent use.
func (h *RequestHandle) Result(ctx context.Context) (json.RawMessage, error) {
	how, attempt, err := h.outcome(ctx, func(t *tracked) bool { return t.outcome != nil })
	switch {
	case err != nil:
		return nil, err
	case how.err != nil:
		return nil, fresh(how.err, attempt)
	}
	return how.result, nil
}

// settle waits until the server is known to have the request, and returns its refusal.
func (h *RequestHandle) settle(ctx context.Context) error {
	how, attempt, err := h.outcome(ctx, (*tracked).isSettled)
	if err == nil && how.err != nil && !how.inLog {
		return fresh(how.err, attempt)
	}
	return err
}

// outcome waits until something holds of the request, and returns how it ended, if it has.
func (h *RequestHandle) outcome(ctx context.Context, holds func(*tracked) bool) (how outcome, attempt int64, err error) {
	if err := h.enter(func(now time.Duration) { h.connection.protocol.addWaiter(h.state, now) }); err != nil {
		return how, 0, err
	}
	defer func() {
		h.leave(err != nil, func(now time.Duration) { h.connection.protocol.removeWaiter(h.state, now) })
	}()
	for {
		var done bool
		var changed <-chan struct{}
		h.connection.do(func(time.Duration) {
			if done = holds(h.state); done && h.state.outcome != nil {
				how = *h.state.outcome
			}
			attempt, changed = h.state.attempt, h.state.changed.next()
		})
		if done {
			return how, attempt, nil
		}
		select {
		case <-changed:
		case <-h.detached:
			return how, attempt, ErrDetached
		case <-ctx.Done():
			return how, attempt, h.giveUp(ctx)
		}
	}
}

// Events yields the events of the request: each start of an iteration yields the log from event 1, whatever
// happens to the connection. It ends at the terminal event only; how the request ended is told by Result.
// When the handle ends in another way (the request is gone, the client is closed, ctx ends), the iteration
// yields that error as its last.
//
// An application that takes events slowly costs bounded memory: an iteration that holds as much as it may
// (WithIteratorLimits) pauses, and goes on from its place in the server's log.
//
// It is safe for concurrent use.
func (h *RequestHandle) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if err := h.iterate(ctx, func(event Event) bool { return yield(event, nil) }); err != nil {
			yield(nil, err)
		}
	}
}

// iterate yields events until the end (nil), an error, or until yield is false (nil).
func (h *RequestHandle) iterate(ctx context.Context, yield func(Event) bool) (err error) {
	var reader *eventReader
	if err := h.enter(func(now time.Duration) { reader = h.openReader(now) }); err != nil {
		return err
	}
	early := true
	defer func() {
		h.leave(early, func(now time.Duration) {
			delete(h.readers, reader)
			h.connection.protocol.closeReader(h.state, reader, now)
		})
	}()
	batch := make([]Event, 0, eventBatch)
	for {
		var over bool
		var changed <-chan struct{}
		h.connection.do(func(now time.Duration) {
			batch = h.connection.protocol.takeEvents(h.state, reader, batch[:0], now)
			over, err, changed = reader.isOver(), reader.err, reader.changed.next()
		})
		for i, event := range batch {
			batch[i] = nil
			if err := h.checkPatience(ctx); err != nil {
				return err
			}
			if !yield(event) {
				return nil
			}
		}
		if len(batch) > 0 {
			continue
		}
		if over {
			early = false
			return fresh(err, 0)
		}
		select {
		case <-changed:
		case <-h.detached:
		case <-ctx.Done():
		}
		if err := h.checkPatience(ctx); err != nil {
			return err
		}
	}
}

func (h *RequestHandle) openReader(now time.Duration) *eventReader {
	protocol, reader := h.connection.protocol, h.first
	h.first = nil
	if reader == nil || !protocol.activateReader(h.state, reader, now) {
		if reader != nil {
			protocol.closeReader(h.state, reader, now)
		}
		reader = protocol.openReader(h.state, false, now)
	}
	h.readers[reader] = struct{}{}
	return reader
}

// watch tells the application of each event until the end.
func (h *RequestHandle) watch(ctx context.Context, settings callSettings) error {
	var invalid error
	err := h.iterate(ctx, func(event Event) bool {
		callSafely(h.connection.config.logger, func() { invalid = settings.tell(h.id, event) })
		return invalid == nil
	})
	return cmp.Or(err, invalid)
}

// Snapshot returns how the request stands, read by the server after this call. The error is an *Error, such as
// ErrNotFound when the request is gone, or was never stored because it was answered at once; a *WaitError; a
// *CloseError; or ErrDetached.
//
// It is safe for concurrent use.
func (h *RequestHandle) Snapshot(ctx context.Context) (Snapshot, error) {
	var q *question[Snapshot]
	var err error
	enter := func(now time.Duration) { q, err = h.connection.protocol.snapshot(h.state, now) }
	if refused := h.enter(enter); refused != nil {
		return Snapshot{}, refused
	}
	defer h.leave(false, nil)
	if err != nil {
		return Snapshot{}, err
	}
	return await(ctx, h.connection, q, h.detached, func() error { return h.waitError(ctx) })
}

// Cancel asks the server to end the request, and returns when it has taken that. The end itself comes as every
// end does: Result returns ErrCancelled, or the result that was there before. To cancel what has ended does
// nothing. reason is kept by the server, "" gives none. The errors are those of Snapshot; when ctx ends the
// cancel is still sent.
//
// It is safe for concurrent use.
func (h *RequestHandle) Cancel(ctx context.Context, reason string) error {
	text, err := encodeChecked(&wire.CancelMessage{RequestID: h.id, Reason: present(reason)}, h.id)
	if err != nil {
		return err
	}
	var q *cancelQuestion
	enter := func(now time.Duration) { q, err = h.connection.protocol.cancel(h.state, text, now) }
	if refused := h.enter(enter); refused != nil {
		return refused
	}
	defer h.leave(false, nil)
	if err != nil {
		return err
	}
	_, err = await(ctx, h.connection, &q.question, h.detached, func() error { return h.waitError(ctx) })
	return err
}

// Detach ends this handle, here only: the request goes on. What waits for it, and every later use, gets
// ErrDetached.
//
// It is safe for concurrent use.
func (h *RequestHandle) Detach() {
	h.connection.do(func(now time.Duration) {
		select {
		case <-h.detached:
			return
		default:
			close(h.detached)
		}
		protocol := h.connection.protocol
		if h.first != nil {
			protocol.closeReader(h.state, h.first, now)
			h.first = nil
		}
		for reader := range h.readers {
			protocol.closeReader(h.state, reader, now)
		}
		if !h.released {
			protocol.release(h.state, now)
		}
	})
}

// enter begins a use of the handle. The last one that leaves early releases the request: detach is sent, and the
// next use attaches again.
func (h *RequestHandle) enter(begin func(now time.Duration)) (err error) {
	h.connection.do(func(now time.Duration) {
		if h.isDetached() {
			err = ErrDetached
			return
		}
		if h.released {
			h.released = false
			h.connection.protocol.retain(h.state, now)
		}
		h.uses++
		begin(now)
	})
	return err
}

func (h *RequestHandle) leave(early bool, end func(now time.Duration)) {
	h.connection.do(func(now time.Duration) {
		if end != nil {
			end(now)
		}
		h.uses--
		if early && h.uses == 0 && !h.released && !h.isDetached() && h.state.outcome == nil {
			h.released = true
			h.connection.protocol.release(h.state, now)
		}
	})
}

func (h *RequestHandle) isDetached() bool {
	select {
	case <-h.detached:
		return true
	default:
		return false
	}
}

func (h *RequestHandle) checkPatience(ctx context.Context) error {
	switch {
	case h.isDetached():
		return ErrDetached
	case ctx.Err() != nil:
		return h.giveUp(ctx)
	}
	return nil
}

// giveUp is waitError for those who wait for the request itself: CancelOnDone cancels it.
func (h *RequestHandle) giveUp(ctx context.Context) error {
	failed := h.waitError(ctx)
	if !h.cancelOnDone {
		return failed
	}
	reason := ctx.Err().Error()
	text := encode(&wire.CancelMessage{RequestID: h.id, Reason: &reason})
	h.connection.do(func(now time.Duration) {
		t := h.state
		// What was never sent is withdrawn when its last user leaves (PROTOCOL 9.5.5).
		withdrawn := t.phase == phaseWaiting && t.handles == 1 && h.uses == 1
		if t.outcome != nil || withdrawn {
			return
		}
		_, err := h.connection.protocol.cancel(t, text, now)
		failed.CancelRequested = err == nil
	})
	return failed
}

// waitError tells how far the request has come when the caller's context ended.
func (h *RequestHandle) waitError(ctx context.Context) *WaitError {
	err := &WaitError{RequestID: h.id, Err: whyEnded(ctx)}
	h.connection.do(func(time.Duration) {
		err.Sent, err.Acknowledged = h.state.sends > 0 || h.state.isStored(), h.state.isStored()
	})
	return err
}

// await waits for the answer to a question. detached may be nil.
func await[T any](
	ctx context.Context, c *connection, q *question[T], detached <-chan struct{}, gaveUp func() error,
) (answer T, err error) {
	for {
		var answered bool
		var changed <-chan struct{}
		c.do(func(time.Duration) {
			answer, err, answered, changed = q.answer, q.err, q.answered, q.changed.next()
		})
		if answered {
			return answer, fresh(err, 0)
		}
		select {
		case <-changed:
		case <-detached:
			return answer, ErrDetached
		case <-ctx.Done():
			return answer, gaveUp()
		}
	}
}
