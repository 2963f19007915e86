// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"time"
)

// requestPhase says how far a request has come, seen from here.
type requestPhase int

const (
	phaseWaiting requestPhase = iota // never sent: offline, or held back by a limit
	phaseSent                        // sent, and not settled
	phaseStored                      // on the server, in its log
	phaseEnded                       // it has its outcome
)

// outcome is how a request ended for this client. inLog is false when the handle ended by anything but
// an answer or the terminal event: then an iterator gives the error instead of ending.
type outcome struct {
	result json.RawMessage
	err    error
	inLog  bool
}

// question is something that is answered once, with a value or an error.
type question[T any] struct {
	answer   T
	err      error
	answered bool
	changed  signal
}

func (q *question[T]) resolve(answer T) { q.end(answer, nil) }

func (q *question[T]) fail(err error) {
	var none T
	q.end(none, err)
}

func (q *question[T]) end(answer T, err error) {
	if !q.answered {
		q.answer, q.err, q.answered = answer, err, true
		q.changed.fire()
	}
}

func (q *question[T]) isAnswered() bool { return q.answered }

// openQuestion is a question of any kind.
type openQuestion interface {
	isAnswered() bool
	fail(error)
}

// cancelQuestion is a cancel that is to be sent, or awaits its answer.
type cancelQuestion struct {
	question[struct{}]
	text []byte
}

// page is a page of a list, and where the next one begins.
type page struct {
	requests []RequestSummary
	next     *string
}

// listQuestion is a page of a list that is asked for.
type listQuestion struct {
	question[page]
	id   string
	text []byte
}

// tracked is what a client knows of one request, over all its connections and local handles.
type tracked struct {
	id     string
	number int                // counts submissions, which are sent again in this order (PROTOCOL 9.5.1)
	text   []byte             // the request as it is sent first; nil once it is settled, or never was ours
	size   int64              // of text, in bytes
	digest *[sha256.Size]byte // of action and payload, where the caller chose the id
	phase  requestPhase

	resending   bool          // it waits to be sent again
	sends       int           // how often the request was sent
	firstSentAt time.Duration // PROTOCOL 10.31
	refusals    int           // retryable ones in a row, for the wait before the next try

	createdAt string    // the incarnation, once it is known (PROTOCOL 10.32)
	last      int64     // the number of the newest event that arrived, whoever took it
	knownLast int64     // the newest number that is known to exist
	attempt   int64     // the newest attempt seen
	progress  *Progress // the newest progress seen
	outcome   *outcome
	changed   signal // fires when it is settled and when it ends

	handles   int // local handles that are not detached
	waiters   int // who wait for the outcome
	readers   []*eventReader
	poll      bool                  // only its status is asked for, see sender
	cancels   []*cancelQuestion     // to be sent
	snapshots []*question[Snapshot] // to be asked
	questions []openQuestion        // all that are open
	traces    []func(error)         // who is told of the end
}

// isSettled is true when it is known whether the server has it (PROTOCOL 1.2).
func (t *tracked) isSettled() bool { return t.phase == phaseStored || t.phase == phaseEnded }

// isStored is true when there is a log to read.
func (t *tracked) isStored() bool { return t.phase == phaseStored || t.createdAt != "" }

// isRemembered is true when what this client knows of a finished request still holds: it has a stored log.
func (t *tracked) isRemembered() bool {
	return t.createdAt != "" && t.outcome != nil && t.outcome.inLog
}

// isBusy is true while an iterator reads it or a question about it is open.
func (t *tracked) isBusy() bool {
	t.questions = slices.DeleteFunc(t.questions, openQuestion.isAnswered)
	return len(t.questions) > 0 || slices.ContainsFunc(t.readers, (*eventReader).isReading)
}

// isIdle is true when no handle, waiter or iterator is left for it, and no open question.
func (t *tracked) isIdle() bool { return t.handles+t.waiters == 0 && !t.isBusy() }

// wanted returns the number after which the log is to be read on; false: it is not to be read.
//
// That is the lowest position of an iterator that takes events. Without one, a Result that waits, or a
// handle that nobody iterates, only needs the end. When there are iterators and all are stalled, reading
// pauses (PROTOCOL 6.4.4).
func (t *tracked) wanted() (after int64, ok bool) {
	reading := false
	for _, reader := range t.readers {
		if !reader.isReading() {
			continue
		}
		reading = true
		if reader.isHungry() && (!ok || reader.position < after) {
			after, ok = reader.position, true
		}
	}
	if !ok && t.outcome == nil && (t.waiters > 0 || t.handles > 0 && !reading) {
		return t.last, true
	}
	return after, ok
}

// takeProgress takes progress if it is newer than the newest (PROTOCOL 10.36).
func (t *tracked) takeProgress(progress Progress) {
	if t.progress != nil && !isNewer(progress, t.progress.Attempt, t.progress.Version) {
		return
	}
	t.progress = &progress
	t.attempt = max(t.attempt, progress.Attempt)
	for _, reader := range t.readers {
		reader.offerProgress(progress)
	}
	t.releaseProgress()
}

// releaseProgress lets out progress that waited in the readers for its attempt to begin there.
func (t *tracked) releaseProgress() {
	for _, reader := range t.readers {
		reader.release(t.knownLast)
	}
}
