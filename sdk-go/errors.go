// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// What longcall returns as errors:
//
//	*Error               a request, or a question about one, was refused or failed; by code
//	*CloseError          the client is closed for good: nothing more can be asked
//	*WaitError           the caller's context ended; the request goes on. Wraps ctx.Err()
//	ErrDetached          the handle was detached by the application
//	ErrQueueFull         too much waits in this client to be sent
//	*ConfigurationError  an option or argument of the client cannot be used
//	*DownloadError       a file did not arrive whole
//	*InvalidResultError  a result or a chunk does not fit the types of its Action
//
// What tells two errors apart is their type and their fields; the text is for people (PROTOCOL 9.8).
var (
	// ErrDetached is returned by a handle that was detached; the request itself goes on.
	ErrDetached = errors.New("longcall: this handle was detached")
	// ErrQueueFull is returned, wrapped, when too much already waits to be sent in this client:
	// nothing of the request was sent (PROTOCOL 9.5.4).
	ErrQueueFull = errors.New("too much waits to be sent")
)

// Origin tells who says that something is wrong.
type Origin string

// The origins of an error (PROTOCOL 9.8.3).
const (
	// OriginServer marks what the server sent.
	OriginServer Origin = "server"
	// OriginClient marks what this SDK found by itself.
	OriginClient Origin = "client"
)

// Error is a request, or a question about one, that was refused or failed (PROTOCOL 7, 9.8).
// Use errors.Is with ErrNotFound and its siblings to ask for a code.
type Error struct {
	// Code is the code as it stands on the wire.
	Code ErrorCode `json:"code"`
	// Message is a sentence for people.
	Message string `json:"message"`
	// Retryable means in the end of a request: may succeed under a new id; in a refusal: under the
	// same id (PROTOCOL 10.50).
	Retryable bool `json:"retryable"`
	// RetryAfter is how long to wait before trying again, 0 where nothing is said.
	RetryAfter time.Duration `json:"-"`
	// Details is what a program may need, fixed per code (PROTOCOL 7.2); nil if absent.
	Details json.RawMessage `json:"details,omitzero"`
	// RequestID is the request, "" when the error is about none.
	RequestID string `json:"request_id,omitzero"`
	// Attempt is the newest attempt that the handle saw, 0 before the first.
	Attempt int64 `json:"attempt"`
	// Executed is true when a quick handler ran and failed (PROTOCOL 10.9).
	Executed bool `json:"executed"`
	// OutcomeUnknown is true when the request may or may not have been stored or run.
	OutcomeUnknown bool `json:"outcome_unknown"`
	// Origin tells who says so: the server, or this SDK.
	Origin Origin `json:"origin"`
}

// Error returns the code, the message and what else is known.
func (e *Error) Error() string {
	text := "longcall: " + string(e.Code)
	if e.Message != "" {
		text += ": " + e.Message
	}
	var notes []string
	if e.RequestID != "" {
		notes = append(notes, "request "+e.RequestID)
	}
	if e.Attempt > 0 {
		notes = append(notes, "attempt "+strconv.FormatInt(e.Attempt, 10))
	}
	if e.OutcomeUnknown {
		notes = append(notes, "outcome unknown")
	}
	if len(notes) > 0 {
		text += " (" + strings.Join(notes, ", ") + ")"
	}
	return text
}

// MarshalJSON returns the fields with the names of the wire: retry_after_ms among them.
func (e *Error) MarshalJSON() ([]byte, error) {
	type fields Error // without this method
	return json.Marshal(struct {
		*fields
		RetryAfterMs int64 `json:"retry_after_ms,omitzero"`
	}{(*fields)(e), e.RetryAfter.Milliseconds()})
}

// Is reports whether target is the sentinel of this code, such as ErrNotFound. A code that this version
// does not know counts as ErrInternal (PROTOCOL 7.1.4).
func (e *Error) Is(target error) bool {
	code, ok := target.(codeError)
	if !ok {
		return false
	}
	_, known := errorCodeRetryable[e.Code]
	return ErrorCode(code) == e.Code || !known && ErrorCode(code) == CodeInternalError
}

// codeError is what the sentinels are: a code that is asked for.
type codeError ErrorCode

func (c codeError) Error() string { return "longcall: " + string(c) }

// CloseError says that the client is closed for good: by the application, or because it was told to
// stop (PROTOCOL 7.3.4).
type CloseError struct {
	// Code is the close code that said stop, 0 when the application closed the client.
	Code CloseCode
	// Reason says why, in words.
	Reason string
	// RequestID is the request that was waited for, "" if none was.
	RequestID string
	// OutcomeUnknown is true when that request was sent and not answered (PROTOCOL 9.5.7).
	OutcomeUnknown bool
}

// Error returns the code and the reason.
func (e *CloseError) Error() string {
	text := "longcall: the client is closed"
	if e.Code != 0 {
		text += fmt.Sprintf(" (close code %d)", e.Code)
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// WaitError says that the caller's context ended before the answer. Nothing is cancelled on the server but with
// CancelOnDone: Client.Attach comes back to the request (PROTOCOL 9.3).
type WaitError struct {
	// RequestID is the request that was waited for, "" if none was.
	RequestID string
	// Sent is false when the request was still waiting here: it is withdrawn and never runs.
	Sent bool
	// Acknowledged is true when the server is known to have stored it.
	Acknowledged bool
	// CancelRequested is true when CancelOnDone had the request cancelled.
	CancelRequested bool
	// Err is why the context ended: that of the context and, where that has another, its cause.
	Err error
}

// Error tells what becomes of the request.
func (e *WaitError) Error() string {
	switch {
	case e.RequestID == "":
		return fmt.Sprintf("longcall: not answered: %v", e.Err)
	case !e.Sent:
		return fmt.Sprintf("longcall: request %s was not sent, and is withdrawn: %v", e.RequestID, e.Err)
	case e.CancelRequested:
		return fmt.Sprintf("longcall: request %s is not finished, and is being cancelled: %v", e.RequestID, e.Err)
	}
	return fmt.Sprintf("longcall: request %s is not finished, and goes on: %v", e.RequestID, e.Err)
}

// Unwrap returns why the context ended, so that errors.Is(err, context.DeadlineExceeded) works.
func (e *WaitError) Unwrap() error { return e.Err }

// whyEnded returns the error of a context that has ended; it wraps the cause as well, where that is another.
func whyEnded(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// ConfigurationError says that an option or an argument of the client cannot be used.
type ConfigurationError struct {
	// Reason says what is wrong with which one.
	Reason string
}

// Error returns the reason.
func (e *ConfigurationError) Error() string { return "longcall: " + e.Reason }

// DownloadError says that a file did not arrive whole, or that the server's answer is none.
type DownloadError struct {
	// Reason says what is wrong.
	Reason string
	// Err is the failure behind it, nil if there is none.
	Err error
}

// Error returns the reason.
func (e *DownloadError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("longcall: download: %s: %v", e.Reason, e.Err)
	}
	return "longcall: download: " + e.Reason
}

// Unwrap returns the failure behind it.
func (e *DownloadError) Unwrap() error { return e.Err }

// ResultPart is what did not fit the types of an Action.
type ResultPart string

// The parts of a result.
const (
	// PartResult is the result of the request.
	PartResult ResultPart = "result"
	// PartChunk is the data of a chunk.
	PartChunk ResultPart = "chunk"
)

// InvalidResultError says that a result or a chunk does not fit the types of its Action. The request itself is
// not touched by it: it has completed, or goes on.
type InvalidResultError struct {
	// Action is the name of the action.
	Action string
	// RequestID is the request.
	RequestID string
	// Part is what does not fit.
	Part ResultPart
	// Value is the result, or the data of the chunk, as it arrived.
	Value json.RawMessage
	// Err is why it does not fit, as encoding/json says it: often a *json.UnmarshalTypeError.
	Err error
}

// Error names the action, the request and what does not fit.
func (e *InvalidResultError) Error() string {
	return fmt.Sprintf("longcall: the %s of %s does not fit its type (request %s): %v", e.Part, e.Action, e.RequestID, e.Err)
}

// Unwrap returns why it does not fit.
func (e *InvalidResultError) Unwrap() error { return e.Err }

// localError returns an error that this SDK found by itself, with the default of its code.
func localError(code ErrorCode, requestID, message string, details any) *Error {
	err := &Error{
		Code:      code,
		Message:   message,
		Retryable: errorCodeRetryable[code],
		RequestID: requestID,
		Origin:    OriginClient,
	}
	if details != nil {
		err.Details, _ = json.Marshal(details) // maps of strings and integers
	}
	return err
}

// invalid returns the error for something that must not be sent.
func invalid(requestID, pointer, problem string) *Error {
	return localError(CodeValidationError, requestID, pointer+": "+problem, map[string]string{"pointer": pointer})
}

// otherIncarnation returns the error for an id that stands for another request by now (PROTOCOL 10.32).
func otherIncarnation(requestID string) *Error {
	return localError(CodeNotFound, requestID, "the request is gone, and its id was used again", nil)
}

// notStored returns the error for a question about a request that was never stored (PROTOCOL 10.11).
func notStored(requestID string) *Error {
	return localError(CodeNotFound, requestID,
		"the request was not stored: it was answered at once, or refused", nil)
}

// tooLarge returns the error for a message over the limit (PROTOCOL 10.43).
func tooLarge(requestID string, size, limit int64, outcomeUnknown bool) *Error {
	err := localError(CodePayloadTooLarge, requestID,
		fmt.Sprintf("the message has %d bytes, and the server takes %d", size, limit),
		map[string]int64{"limit": limit, "size": size})
	err.OutcomeUnknown = outcomeUnknown
	return err
}

// fresh returns a copy of an error that is handed out more than once, with the newest attempt.
func fresh(err error, attempt int64) error {
	switch e := err.(type) {
	case *Error:
		duplicate := *e
		duplicate.Attempt = max(e.Attempt, attempt)
		return &duplicate
	case *CloseError:
		duplicate := *e
		return &duplicate
	}
	return err
}
