// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/longcall/longcall/sdk-go"
)

// payload returns what the runner gave: nil where it gave none.
func payload(c command) any {
	if c.Payload == nil {
		return nil
	}
	return c.Payload
}

func requestOptions(c command) []longcall.RequestOption {
	var options []longcall.RequestOption
	if c.RequestID != "" {
		options = append(options, longcall.WithID(c.RequestID))
	}
	if c.DeadlineMs != nil {
		options = append(options, longcall.WithDeadline(time.Duration(*c.DeadlineMs)*time.Millisecond))
	}
	if c.DelayMs != nil {
		options = append(options, longcall.WithDelay(time.Duration(*c.DelayMs)*time.Millisecond))
	}
	if c.Priority != nil {
		options = append(options, longcall.WithPriority(*c.Priority))
	}
	if c.Metadata != nil {
		options = append(options, longcall.WithMetadata(c.Metadata))
	}
	return options
}

// show emits an event of a handle.
func (d *driver) show(name string, event longcall.Event) {
	switch e := event.(type) {
	case longcall.Status:
		d.emit("handle.status", object{"handle": name, "seq": e.Seq, "status": e.Status,
			"attempt": e.Attempt, "chunks_kept_to": e.ChunksKeptTo})
	case longcall.Chunk:
		d.emit("handle.chunk", object{"handle": name, "seq": e.Seq, "attempt": e.Attempt, "data": e.Data})
	case longcall.Progress:
		fields := asObject(e)
		delete(fields, "updated_at")
		fields["handle"] = name
		d.emit("handle.progress", fields)
	}
}

// asObject returns what the SDK gave as its JSON object, whose names are those of the wire.
func asObject(value any) object {
	var fields object
	text, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		panic(err)
	}
	return fields
}

// described returns an error by the driver protocol.
func described(err error) object {
	var failed *longcall.Error
	if errors.As(err, &failed) {
		fields := asObject(failed)
		fields["kind"] = "request"
		if failed.RetryAfter > 0 {
			fields["retry_after_ms"] = failed.RetryAfter.Milliseconds()
		}
		return fields
	}
	kind := "other"
	var closed *longcall.CloseError
	var configuration *longcall.ConfigurationError
	var waited *longcall.WaitError
	switch {
	case errors.As(err, &closed):
		return object{"kind": "connection_closed", "message": err.Error(), "outcome_unknown": closed.OutcomeUnknown}
	case errors.As(err, &configuration):
		kind = "configuration"
	case errors.Is(err, longcall.ErrQueueFull):
		kind = "queue_full"
	case errors.As(err, &waited):
		kind = "wait_timeout"
	case errors.Is(err, errUsage):
		kind = "usage"
	}
	return object{"kind": kind, "message": err.Error()}
}
