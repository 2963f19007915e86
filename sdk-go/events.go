// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"encoding/json"
	"time"
)

// The types of this file marshal to JSON with the names of the wire.

// Event is what a handle yields: Status, Progress or Chunk (PROTOCOL 9.2). The set is closed.
type Event interface{ event() }

// Status says that the request was queued, that an attempt began, or that one failed.
type Status struct {
	// Seq is the number of the event in the log of the request.
	Seq int64 `json:"seq"`
	// Status is queued, processing or retrying; a later version may send others.
	Status RequestStatus `json:"status"`
	// Attempt is the one that begins or that failed, 0 with queued.
	Attempt int64 `json:"attempt"`
	// ChunksKeptTo matters with processing: drop the chunks that you collected with a greater Seq
	// (PROTOCOL 10.19).
	ChunksKeptTo int64 `json:"chunks_kept_to"`
	// RetryAt is, with retrying, when the next attempt is due by the server's clock.
	RetryAt time.Time `json:"retry_at,omitzero"`
	// Err is, with retrying, why the attempt failed.
	Err *Error `json:"error,omitzero"`
}

// Progress is the newest progress of an attempt; older ones may have been left out.
type Progress struct {
	// Attempt is the attempt that reported it.
	Attempt int64 `json:"attempt"`
	// Version grows within an attempt.
	Version int64 `json:"version"`
	// Percentage is 0 to 100, nil where the handler gives none.
	Percentage *float64 `json:"percentage,omitzero"`
	// Message is for people.
	Message string `json:"message,omitzero"`
	// Details is anything else that the handler reports, nil if absent.
	Details json.RawMessage `json:"details,omitzero"`
	// UpdatedAt is when it was reported, by the server's clock.
	UpdatedAt time.Time `json:"updated_at"`
}

// Chunk is an ordered piece of the result.
type Chunk struct {
	// Seq is the number of the event in the log of the request.
	Seq int64 `json:"seq"`
	// Attempt is the attempt that emitted it.
	Attempt int64 `json:"attempt"`
	// Data is the piece.
	Data json.RawMessage `json:"data"`
}

func (Status) event()   {}
func (Progress) event() {}
func (Chunk) event()    {}

// RequestSummary says how a request stands.
type RequestSummary struct {
	// ID is the id of the request.
	ID string `json:"id"`
	// Action is what was called.
	Action string `json:"action"`
	// Status is its status; a later version may send others.
	Status RequestStatus `json:"status"`
	// Attempt is the newest attempt, 0 before the first.
	Attempt int64 `json:"attempt"`
	// CreatedAt is when it was accepted.
	CreatedAt time.Time `json:"created_at"`
	// UpdatedAt is when its log or its status last changed.
	UpdatedAt time.Time `json:"updated_at"`
	// LastSeq is the number of its newest event.
	LastSeq int64 `json:"last_seq"`
	// CancelRequested is true once a cancel was accepted.
	CancelRequested bool `json:"cancel_requested,omitzero"`
	// RequeuedFrom is the dead request that this one repeats, "" if it repeats none.
	RequeuedFrom string `json:"requeued_from,omitzero"`
	// Progress is the newest one, nil if there is none.
	Progress *Progress `json:"progress,omitzero"`
	// ExpiresAt is until when a finished request is kept, zero for an unfinished one.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// Snapshot is a request as the server read it after it was asked.
type Snapshot struct {
	// Request is how it stands.
	Request RequestSummary `json:"request"`
	// Result is that of a completed request, nil where there is none or it does not fit a message
	// (PROTOCOL 10.44).
	Result json.RawMessage `json:"result,omitzero"`
	// Err is why a failed or cancelled request ended, else nil.
	Err *Error `json:"error,omitzero"`
}

// Announcement is an operator's word to this connection, this user, this tenant, or all.
type Announcement struct {
	// Message is the word.
	Message string `json:"message"`
	// Details is anything for programs, nil if absent.
	Details json.RawMessage `json:"details,omitzero"`
	// CreatedAt is when it was made, by the server's clock.
	CreatedAt time.Time `json:"created_at"`
}

// State is the state of the client's connection, and why (PROTOCOL 9.7).
type State struct {
	// Name is connecting, ready, reconnecting, draining or closed.
	Name ConnectionState
	// Resumed is, with ready, false for the first time of this client and true at each later one.
	Resumed bool
	// RetryIn is, with reconnecting, the wait before the next try.
	RetryIn time.Duration
	// Code is, with reconnecting and closed, the close code; 0 if there was none.
	Code CloseCode
	// Reason says why, in words.
	Reason string
}

// MarshalJSON returns state, resumed with ready alone, retry_in_ms with reconnecting alone, code and reason.
func (s State) MarshalJSON() ([]byte, error) {
	fields := struct {
		State     ConnectionState `json:"state"`
		Resumed   *bool           `json:"resumed,omitzero"`
		RetryInMs *float64        `json:"retry_in_ms,omitzero"`
		Code      CloseCode       `json:"code,omitzero"`
		Reason    string          `json:"reason,omitzero"`
	}{State: s.Name, Code: s.Code, Reason: s.Reason}
	switch s.Name {
	case ConnectionReady:
		fields.Resumed = &s.Resumed
	case ConnectionReconnecting:
		wait := s.RetryIn.Seconds() * 1000
		fields.RetryInMs = &wait
	}
	return json.Marshal(fields)
}

// Download is a file that was downloaded and checked.
type Download struct {
	// Path is where it stands.
	Path string
	// Size is in bytes.
	Size int64
	// SHA256 is in lower-case hexadecimal.
	SHA256 string
}
