// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/longcall/longcall/sdk-go"
)

func (d *driver) connect(ctx context.Context, c command) error {
	token := longcall.WithToken(c.Token)
	if c.Token == "" {
		token = longcall.WithToken(func(ctx context.Context, reason longcall.TokenReason) (string, error) {
			answer, ask := make(chan string, 1), 0
			d.locked(func() { d.asks++; ask = d.asks; d.tokens[ask] = answer })
			d.emit("token.needed", object{"client": c.Client, "ask": ask, "reason": reason}, nil)
			select {
			case token := <-answer: // "": the runner says no, and so does the SDK
				return token, nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		})
	}
	tuned := func(name string) time.Duration { return millis(c.Tuning[name]) }
	client, err := longcall.Connect(ctx, c.URL, token,
		longcall.WithStateFunc(func(s longcall.State) { d.emit("connection.state", object{"client": c.Client}, s) }),
		longcall.WithAnnouncementFunc(func(a longcall.Announcement) { d.emit("announcement", object{"client": c.Client}, a) }),
		longcall.WithBackoff(tuned("backoff_initial_ms"), tuned("backoff_max_ms")),
		longcall.WithTimeouts(tuned("connect_timeout_ms"), 0),
		longcall.WithQueueLimits(int(c.Tuning["queue_max_requests"]), 0))
	if err == nil {
		d.locked(func() { d.clients[c.Client] = client })
	}
	return err
}

func requestOptions(c command) []longcall.RequestOption {
	options := []longcall.RequestOption{longcall.WithID(c.RequestID), longcall.WithMetadata(c.Metadata),
		longcall.WithDeadline(millis(c.DeadlineMs)), longcall.WithDelay(millis(c.DelayMs))}
	if c.Priority != nil {
		options = append(options, longcall.WithPriority(*c.Priority))
	}
	return options
}

func (d *driver) submit(ctx context.Context, client *longcall.Client, c command) (json.RawMessage, error) {
	handle, err := client.Submit(ctx, c.Action, c.Payload, requestOptions(c)...)
	if err != nil {
		return nil, err
	}
	d.locked(func() { d.handles[c.Handle] = handle })
	d.emit("handle.acknowledged", object{"handle": c.Handle, "request_id": handle.ID()}, nil)
	return d.follow(ctx, c.Handle, handle)
}

// follow reads the events beside the wait for the result.
func (d *driver) follow(ctx context.Context, name string, handle *longcall.RequestHandle) (json.RawMessage, error) {
	d.run(func() {
		end := object{"handle": name}
		for event, err := range handle.Events(ctx) {
			if err != nil {
				end["err"] = described(err)
				break
			}
			var pause int64
			d.locked(func() {
				for d.taking[name].How == "stop" {
					d.changed.Wait()
				}
				pause = d.taking[name].EveryMs
			})
			time.Sleep(millis(pause))
			d.show(name, event)
		}
		d.emit("handle.end", end, nil)
	})
	return handle.Result(ctx)
}

// show tells of a Status, Progress or Chunk under its name.
func (d *driver) show(handle string, event longcall.Event) {
	_, kind, _ := strings.Cut(fmt.Sprintf("%T", event), ".")
	d.emit("handle."+strings.ToLower(kind), object{"handle": handle}, event)
}

func (d *driver) run(work func()) {
	d.running.Add(1)
	go func() { defer d.running.Done(); work() }()
}

// start works on a handle, and tells what comes of it unless its caller gave up.
func (d *driver) start(ctx context.Context, handle string, work func() (json.RawMessage, error)) {
	d.run(func() {
		if result, err := work(); ctx.Err() != nil {
			return
		} else if err != nil {
			d.emit("handle.error", object{"handle": handle, "err": described(err)}, nil)
		} else {
			d.emit("handle.result", object{"handle": handle, "result": result}, nil)
		}
	})
}

// described returns an error by the driver protocol.
func described(err error) object {
	fields, kind := object{"message": err.Error()}, "other"
	switch e := err.(type) {
	case *longcall.Error:
		fields, kind = asObject(e), "request"
	case *longcall.CloseError:
		fields["outcome_unknown"], kind = e.OutcomeUnknown, "connection_closed"
	case *longcall.ConfigurationError:
		kind = "configuration"
	case *longcall.WaitError:
		kind = "wait_timeout"
	}
	if errors.Is(err, longcall.ErrQueueFull) {
		kind = "queue_full"
	} else if err == errUsage {
		kind = "usage"
	}
	fields["kind"] = kind
	return fields
}

// asObject returns what the SDK gave as its JSON object, whose names are those of the wire; nil of nil.
func asObject(given any) (fields object) {
	text, _ := json.Marshal(given)
	_ = json.Unmarshal(text, &fields)
	return fields
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
