// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"context"
	"iter"
)

// TypedHandle is a RequestHandle of an Action, whose results and chunks have types; all else is that of the
// RequestHandle in it. Like that it is safe for concurrent use.
type TypedHandle[Result, Data any] struct {
	*RequestHandle
	action string
}

// TypedChunk is a Chunk whose data has the type of its Action.
type TypedChunk[Data any] struct {
	// Seq is the number of the event in the log of the request.
	Seq int64 `json:"seq"`
	// Attempt is the attempt that emitted it.
	Attempt int64 `json:"attempt"`
	// Data is the piece.
	Data Data `json:"data"`
}

func (TypedChunk[Data]) event() {}

// Result is RequestHandle.Result with a type. A result that does not fit it is an *InvalidResultError.
//
// It is safe for concurrent use.
func (h *TypedHandle[Result, Data]) Result(ctx context.Context) (result Result, err error) {
	raw, err := h.RequestHandle.Result(ctx)
	if err == nil {
		err = decodePart(raw, &result, InvalidResultError{Action: h.action, RequestID: h.id, Part: PartResult})
	}
	return result, err
}

// Events is RequestHandle.Events with a TypedChunk in the place of each Chunk. One that does not fit its type ends
// the iteration with an *InvalidResultError; the request goes on.
//
// It is safe for concurrent use.
func (h *TypedHandle[Result, Data]) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for event, err := range h.RequestHandle.Events(ctx) {
			if chunk, ok := event.(Chunk); ok {
				var typed TypedChunk[Data]
				if typed, err = typedChunk[Data](chunk, h.action, h.id); err != nil {
					yield(nil, err)
					return
				}
				event = typed
			}
			if !yield(event, err) {
				return
			}
		}
	}
}

func typedChunk[Data any](chunk Chunk, action, id string) (TypedChunk[Data], error) {
	typed := TypedChunk[Data]{Seq: chunk.Seq, Attempt: chunk.Attempt}
	err := decodePart(chunk.Data, &typed.Data, InvalidResultError{Action: action, RequestID: id, Part: PartChunk})
	return typed, err
}
