// SPDX-License-Identifier: Apache-2.0

package longcalltest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/longcall/longcall/sdk-go"
	"github.com/longcall/longcall/sdk-go/internal/wire"
)

const (
	// cancelGrace is how long a cancelled script may go on before its request ends anyway (PROTOCOL 5.6).
	cancelGrace = 10 * time.Second
	// syncWindow is how long a quick script may take before its request is stored after all (PROTOCOL 5.3).
	syncWindow = 2 * time.Second
)

// Script plays the handler of an action: it reports progress and chunks of its request, and returns the result, which
// is anything that encoding/json marshals. A *longcall.Error ends the request with its code, any other error with
// HANDLER_ERROR. The context ends when the request is to end: cancelled, timed out, or the server closed.
//
// A script runs in a goroutine of its own and may wait, for a channel of the test say.
type Script func(ctx context.Context, r *Request) (result any, err error)

// Request is a request as the server has it. A script gets it; a test gets it from Server.Next, and plays the handler
// itself. What is reported after the end changes nothing. It is safe for concurrent use.
type Request struct {
	// ID is the id that the client chose.
	ID string
	// Action is what was called.
	Action string
	// Payload is what was sent, nil if nothing was.
	Payload json.RawMessage
	// Metadata is what was sent beside it.
	Metadata map[string]string
	// Traceparent is the trace context of the caller, "" for none.
	Traceparent string

	server    *Server
	key       string // principal and id
	script    Script
	ctx       context.Context
	cancel    context.CancelCauseFunc
	createdAt string

	// Protected by the server's mutex.
	quickOn    *session // who waits for the answer of a quick request; nil: it is stored
	log        []wire.ServerMessage
	progress   *wire.ProgressState
	status     longcall.RequestStatus
	updatedAt  string
	attempt    int64
	version    int64
	keptTo     int64
	begun      bool // an attempt is running
	cancelling bool
	reason     string
	result     json.RawMessage
	failure    *wire.ErrorInfo
	executions int
	stops      []func() bool // timers
}

// Decode decodes the payload into a value, as json.Unmarshal does.
func (r *Request) Decode(into any) error {
	if r.Payload == nil {
		return json.Unmarshal([]byte("null"), into)
	}
	return json.Unmarshal(r.Payload, into)
}

// Context ends when the request is to end.
func (r *Request) Context() context.Context { return r.ctx }

// Status returns how it stands.
func (r *Request) Status() longcall.RequestStatus {
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	return r.status
}

// Executions returns how often a script was started for it: its attempts.
func (r *Request) Executions() int {
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	return r.executions
}

// Progress reports progress, 0 to 100; the newest is what counts. details is nil or anything for programs.
func (r *Request) Progress(percentage float64, message string, details any) {
	p := wire.ProgressState{Percentage: &percentage}
	if message != "" {
		p.Message = &message
	}
	if details != nil {
		p.Details = marshal(details)
	}
	r.act(func() {
		r.version++
		p.Attempt, p.Version, p.UpdatedAt = r.attempt, r.version, r.server.timestamp(0)
		r.progress = &p
		if r.quickOn == nil {
			r.server.tell(r)
		}
	})
}

// Chunk sends a piece of the result.
func (r *Request) Chunk(data any) {
	text := marshal(data)
	r.act(func() {
		r.store()
		r.append(&wire.ChunkMessage{RequestID: r.ID, Seq: r.next(), Attempt: r.attempt, Data: text})
	})
}

// Checkpoint lets the chunks so far stand when another attempt begins.
func (r *Request) Checkpoint() {
	r.act(func() {
		r.store()
		r.keptTo = int64(len(r.log))
	})
}

// Complete ends it with a result.
func (r *Request) Complete(result any) {
	text := marshal(result)
	r.act(func() {
		if r.quickOn != nil {
			r.finish(longcall.StatusCompleted)
			r.quickOn.send(&wire.ResponseMessage{RequestID: r.ID, Result: text})
			return
		}
		r.result = text
		r.end(longcall.StatusCompleted, &wire.CompleteMessage{RequestID: r.ID, Seq: r.next(), Result: text})
	})
}

// Fail ends it with an error.
func (r *Request) Fail(err error) {
	r.act(func() { r.fail(toInfo(err)) })
}

// Retry ends the attempt with an error; the next begins after a while of the server's clock, and its script runs again.
// Call it last in a script: what that returns counts no more.
func (r *Request) Retry(after time.Duration, err error) {
	info := toInfo(err)
	r.act(func() {
		r.store()
		at := r.server.timestamp(after)
		r.append(&wire.StatusMessage{RequestID: r.ID, Seq: r.next(), Status: string(longcall.StatusRetrying),
			Attempt: r.attempt, ChunksKeptTo: r.keptTo, RetryAt: &at, Error: info})
		r.status, r.begun = longcall.StatusRetrying, false
		r.later(after, func() { r.run() })
	})
}

// act does something for the attempt that is running, which it begins where a test plays the handler; nothing after
// the end.
func (r *Request) act(f func()) {
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	if r.status.Terminal() {
		return
	}
	if !r.begun {
		r.begin()
	}
	f()
}

// start begins the life of a request; session is the one that sent it.
func (r *Request) start(from *session, quick bool, m *wire.RequestMessage) {
	r.quickOn = from
	if !quick {
		r.store()
	}
	if m.DeadlineMs != nil {
		r.later(time.Duration(*m.DeadlineMs)*time.Millisecond, func() {
			r.stop(&wire.ErrorInfo{Code: string(longcall.CodeTimeout), Message: "the deadline passed"})
		})
	}
	var delay time.Duration
	if m.DelayMs != nil {
		delay = time.Duration(*m.DelayMs) * time.Millisecond
	}
	if quick {
		r.later(syncWindow, r.store)
	}
	r.later(delay, r.run)
}

// store makes event 1: later ones come from the log.
func (r *Request) store() {
	if r.quickOn == nil {
		return
	}
	from := r.quickOn
	r.quickOn = nil
	from.follow(r, 0)
	r.append(&wire.AcknowledgmentMessage{RequestID: r.ID, Seq: 1, Status: string(longcall.StatusQueued), CreatedAt: r.createdAt})
	if r.begun {
		r.processing()
	}
}

func (r *Request) begin() {
	r.begun = true
	r.attempt++
	r.version = 0
	if r.quickOn == nil {
		r.processing()
	}
}

func (r *Request) processing() {
	r.status = longcall.StatusProcessing
	r.append(&wire.StatusMessage{RequestID: r.ID, Seq: r.next(), Status: string(longcall.StatusProcessing),
		Attempt: r.attempt, ChunksKeptTo: r.keptTo})
}

// run begins an attempt and its script; without one a test plays the handler.
func (r *Request) run() {
	if r.script == nil || r.status.Terminal() {
		return
	}
	r.begin()
	r.executions++
	attempt := r.attempt
	r.server.running.Add(1)
	go func() {
		defer r.server.running.Done()
		result, err := r.script(r.ctx, r)
		r.server.mu.Lock()
		current := r.begun && r.attempt == attempt && !r.status.Terminal()
		r.server.mu.Unlock()
		switch {
		case !current:
		case err == nil:
			r.Complete(result)
		default:
			r.Fail(err)
		}
	}()
}

// askToEnd is a cancel (PROTOCOL 5.6).
func (r *Request) askToEnd(reason string) {
	if r.status.Terminal() || r.cancelling {
		return
	}
	r.store()
	r.cancelling, r.reason = true, reason
	cancelled := r.cancelled()
	if !r.begun {
		r.stop(cancelled)
		return
	}
	r.cancel(errors.New("cancelled"))
	r.later(cancelGrace, func() { r.stop(cancelled) })
}

func (r *Request) cancelled() *wire.ErrorInfo {
	info := &wire.ErrorInfo{Code: string(longcall.CodeCancelled), Message: "cancelled"}
	if r.reason != "" {
		info.Details = marshal(map[string]string{"reason": r.reason})
	}
	return info
}

// stop ends it whatever its script does.
func (r *Request) stop(info *wire.ErrorInfo) {
	if !r.status.Terminal() {
		r.store()
		r.fail(info)
	}
}

func (r *Request) fail(info *wire.ErrorInfo) {
	if r.cancelling {
		info = r.cancelled()
	}
	if r.quickOn != nil { // PROTOCOL 10.9
		executed, replyTo := true, "request"
		r.finish(longcall.StatusFailed)
		r.quickOn.send(&wire.ErrorMessage{RequestID: &r.ID, ReplyTo: &replyTo, Executed: &executed, Error: *info})
		return
	}
	status := longcall.StatusFailed
	if info.Code == string(longcall.CodeCancelled) {
		status = longcall.StatusCancelled
	}
	seq := r.next()
	r.failure = info
	r.end(status, &wire.ErrorMessage{RequestID: &r.ID, Seq: &seq, Error: *info})
}

func (r *Request) end(status longcall.RequestStatus, event wire.ServerMessage) {
	r.finish(status)
	r.append(event)
}

func (r *Request) finish(status longcall.RequestStatus) {
	r.status = status
	r.cancel(errors.New("the request has ended"))
	for _, stop := range r.stops {
		stop()
	}
	if r.quickOn != nil { // PROTOCOL 10.11
		delete(r.server.requests, r.key)
	}
}

func (r *Request) next() int64 { return int64(len(r.log)) + 1 }

func (r *Request) append(event wire.ServerMessage) {
	r.log = append(r.log, event)
	r.updatedAt = r.server.timestamp(0)
	r.server.tell(r)
}

// later does something after a while of the server's clock, with its mutex; at once after none.
func (r *Request) later(after time.Duration, f func()) {
	if after <= 0 {
		f()
		return
	}
	r.stops = append(r.stops, r.server.Clock.AfterFunc(after, func() {
		r.server.mu.Lock()
		defer r.server.mu.Unlock()
		f()
	}))
}

func (r *Request) summary() wire.RequestSummary {
	summary := wire.RequestSummary{ID: r.ID, Action: r.Action, Status: string(r.status), Attempt: r.attempt,
		CreatedAt: r.createdAt, UpdatedAt: r.updatedAt, LastSeq: int64(len(r.log)), Progress: r.progress}
	if r.cancelling {
		summary.CancelRequested = &r.cancelling
	}
	return summary
}

// toInfo returns an error as it travels.
func toInfo(err error) *wire.ErrorInfo {
	var failed *longcall.Error
	if !errors.As(err, &failed) {
		return &wire.ErrorInfo{Code: string(longcall.CodeHandlerError), Message: fmt.Sprint(err)}
	}
	info := &wire.ErrorInfo{Code: string(failed.Code), Message: failed.Message, Retryable: failed.Retryable, Details: failed.Details}
	if after := failed.RetryAfter.Milliseconds(); after > 0 {
		info.RetryAfterMs = &after
	}
	return info
}

// marshal returns the JSON of what a test gives; it panics for what is none.
func marshal(value any) json.RawMessage {
	text, err := json.Marshal(value)
	if err != nil {
		panic("longcalltest: " + err.Error())
	}
	return text
}
