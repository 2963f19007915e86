// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"context"
	"encoding/json"
)

// Action is an action whose types are known: what goes in, what comes out, and what comes meanwhile. Make it
// once, in a variable of a package:
//
//	var GenerateReport = longcall.NewAction[Params, Report, Row]("generate_report")
//
//	report, err := GenerateReport.Call(ctx, client, Params{Format: "csv"})
//
// A type is whatever encoding/json takes; json.RawMessage is any JSON as it is. An Action holds no connection, is
// safe for concurrent use, and its zero value names no action: what is called with it is an *Error with
// CodeValidationError.
type Action[Params, Result, Data any] struct {
	name string
}

// NewAction returns the action of this name. Nothing is asked of a server.
func NewAction[Params, Result, Data any](name string) Action[Params, Result, Data] {
	return Action[Params, Result, Data]{name}
}

// Name returns the name of the action.
func (a Action[Params, Result, Data]) Name() string { return a.name }

// Call is Client.Call with types. A result that does not fit its type is an *InvalidResultError.
//
// It is safe for concurrent use.
func (a Action[Params, Result, Data]) Call(
	ctx context.Context, client *Client, params Params, options ...CallOption,
) (result Result, err error) {
	id, raw, err := client.call(ctx, a.name, params, options)
	if err == nil {
		err = decodePart(raw, &result, InvalidResultError{Action: a.name, RequestID: id, Part: PartResult})
	}
	return result, err
}

// OnChunk is the option OnChunk with the type of this action. Call ends with an *InvalidResultError at a chunk that
// does not fit it; the request goes on.
func (a Action[Params, Result, Data]) OnChunk(f func(TypedChunk[Data])) WatchOption {
	return func(s *callSettings) {
		s.onChunk = nil
		if f == nil {
			return
		}
		s.onChunk = func(id string, chunk Chunk) error {
			typed, err := typedChunk[Data](chunk, a.name, id)
			if err == nil {
				f(typed)
			}
			return err
		}
	}
}

// Submit is Client.Submit with types.
//
// It is safe for concurrent use.
func (a Action[Params, Result, Data]) Submit(
	ctx context.Context, client *Client, params Params, options ...RequestOption,
) (*TypedHandle[Result, Data], error) {
	handle, err := client.Submit(ctx, a.name, params, options...)
	if err != nil {
		return nil, err
	}
	return &TypedHandle[Result, Data]{handle, a.name}, nil
}

// Attach is Client.Attach with types. That the request is one of this action is not asked: what does not fit
// the types is an *InvalidResultError.
//
// It is safe for concurrent use.
func (a Action[Params, Result, Data]) Attach(client *Client, id string) (*TypedHandle[Result, Data], error) {
	handle, err := client.Attach(id)
	if err != nil {
		return nil, err
	}
	return &TypedHandle[Result, Data]{handle, a.name}, nil
}

// decodePart decodes what arrived into the caller's type; what is the error but for why.
func decodePart(raw json.RawMessage, into any, what InvalidResultError) error {
	if raw == nil {
		raw = json.RawMessage("null")
	}
	if err := json.Unmarshal(raw, into); err != nil {
		what.Value, what.Err = raw, err
		return &what
	}
	return nil
}
