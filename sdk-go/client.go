// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/longcall/longcall/sdk-go/internal/wire"
)

// Client calls actions, wherever the connection is just now (PROTOCOL 9). It is made by Connect and safe for
// concurrent use.
type Client struct {
	connection *connection
}

// Connect returns a client of the server at address, such as wss://example.com/v1/connect; the path is
// put where it lacks.
//
// It connects in the background and reconnects for ever: requests made meanwhile wait. So the end of ctx
// after Connect has returned means nothing; its values reach the token function. Close ends the client.
//
// The error is a *ConfigurationError for an address or option that cannot be used, or that of ctx.
func Connect(ctx context.Context, address string, options ...Option) (*Client, error) {
	if ctx.Err() != nil {
		return nil, &WaitError{Err: whyEnded(ctx)}
	}
	c := defaultConfig()
	for _, option := range options {
		option(c)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	u, err := checkedURL(address)
	if err != nil {
		return nil, err
	}
	conn := newConnection(ctx, u, c)
	if c.onState != nil || c.onAnnouncement != nil || c.trace != nil {
		go conn.calls.run()
	} else {
		close(conn.calls.done)
	}
	go conn.loop()
	return &Client{conn}, nil
}

// Close closes the client for good, and returns when nothing of it is left: no goroutine, no socket. What
// runs on the server goes on (PROTOCOL 9.3.4). What waits in this process ends with a *CloseError.
//
// It is safe for concurrent use.
func (c *Client) Close() error {
	c.connection.do(func(time.Duration) { c.connection.protocol.close() })
	<-c.connection.done
	<-c.connection.calls.done
	return nil
}

// State returns the state of the connection.
//
// It is safe for concurrent use.
func (c *Client) State() State {
	var state State
	c.connection.do(func(time.Duration) { state = c.connection.protocol.connection.state })
	return state
}

// Ignored returns how many messages of the server were ignored: of unknown type, or out of place
// (PROTOCOL 2.5.3).
//
// It is safe for concurrent use.
func (c *Client) Ignored() int64 {
	var ignored int64
	c.connection.do(func(time.Duration) { ignored = c.connection.protocol.core.ignored })
	return ignored
}

// Ready waits until the connection is ready. Nothing needs this: requests wait by themselves. The error is a
// *CloseError when the client is closed for good, or a *WaitError.
//
// It is safe for concurrent use.
func (c *Client) Ready(ctx context.Context) error {
	for {
		var state State
		var changed <-chan struct{}
		var err error
		c.connection.do(func(time.Duration) {
			state = c.connection.protocol.connection.state
			changed = c.connection.stateChanged.next()
			err = c.connection.protocol.checkOpen()
		})
		if err != nil || state.Name == ConnectionReady || state.Name == ConnectionDraining {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return &WaitError{Err: whyEnded(ctx)}
		}
	}
}

// States yields the state of the connection, and each one after it; it ends with closed, or with ctx. Who
// takes them slowly gets the newest 100.
//
// It is safe for concurrent use.
func (c *Client) States(ctx context.Context) iter.Seq[State] {
	return func(yield func(State) bool) {
		conn, watcher := c.connection, &stateWatcher{}
		conn.do(func(time.Duration) {
			conn.watchers[watcher] = struct{}{}
			watcher.add(conn.protocol.connection.state)
		})
		defer conn.do(func(time.Duration) { delete(conn.watchers, watcher) })
		for {
			var states []State
			var changed <-chan struct{}
			conn.do(func(time.Duration) {
				states, watcher.waiting = watcher.waiting, nil
				changed = watcher.changed.next()
			})
			for _, state := range states {
				if !yield(state) || state.Name.Terminal() {
					return
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

// stateWatcher holds states for one iterator.
type stateWatcher struct {
	waiting []State
	changed signal
}

func (w *stateWatcher) add(state State) {
	w.waiting = append(w.waiting, state)
	w.waiting = w.waiting[max(0, len(w.waiting)-100):]
	w.changed.fire()
}

// Call calls an action and returns its result as JSON, in a second or in a day. payload is anything that
// encoding/json marshals; a json.RawMessage passes as it is, nil is no payload. The result is returned after
// all calls of OnProgress, OnChunk and OnStatus were made.
//
// The end of ctx is the end of the caller's patience, not of the request: the error is a *WaitError, and
// Attach comes back. Other errors: *Error, by code; *CloseError; ErrQueueFull.
//
// It is safe for concurrent use.
func (c *Client) Call(ctx context.Context, action string, payload any, options ...CallOption) (json.RawMessage, error) {
	_, result, err := c.call(ctx, action, payload, options)
	return result, err
}

func (c *Client) call(
	ctx context.Context, action string, payload any, options []CallOption,
) (id string, result json.RawMessage, err error) {
	var settings callSettings
	for _, option := range options {
		option.applyToCall(&settings)
	}
	handle, err := c.submit(ctx, action, payload, settings.request, settings.watches())
	if err != nil {
		return "", nil, err
	}
	if settings.watches() {
		if err := handle.watch(ctx, settings); err != nil {
			return handle.id, nil, err
		}
	}
	result, err = handle.Result(ctx)
	return handle.id, result, err
}

// Submit submits a request and returns its handle once the server has stored it. A quick action is answered at
// once: its handle is finished and has no events. Parameters and errors are those of Call; a refusal is an
// *Error.
//
// It is safe for concurrent use.
func (c *Client) Submit(ctx context.Context, action string, payload any, options ...RequestOption) (*RequestHandle, error) {
	var settings requestSettings
	for _, option := range options {
		option(&settings)
	}
	handle, err := c.submit(ctx, action, payload, settings, true)
	if err != nil {
		return nil, err
	}
	if err := handle.settle(ctx); err != nil {
		return nil, err
	}
	return handle, nil
}

func (c *Client) submit(
	ctx context.Context, action string, payload any, settings requestSettings, keepsFirst bool,
) (*RequestHandle, error) {
	if !settings.hasID {
		settings.message.ID = newRequestID()
	}
	settings.message.Action = action
	ended := c.trace(ctx, &settings.message)
	handle, err := c.track(payload, settings, ended, keepsFirst)
	if err != nil && ended != nil {
		callSafely(c.connection.config.logger, func() { ended(err) })
	}
	return handle, err
}

func (c *Client) track(
	payload any, settings requestSettings, ended func(error), keepsFirst bool,
) (*RequestHandle, error) {
	m := settings.message
	var err error
	if m.Payload, err = marshalPayload(payload, m.ID); err != nil {
		return nil, err
	}
	text, err := encodeChecked(&m, m.ID)
	if err != nil {
		return nil, err
	}
	var handle *RequestHandle
	c.connection.do(func(now time.Duration) {
		var t *tracked
		if t, err = c.connection.protocol.submit(&m, text, settings.hasID, now); err == nil {
			handle = newHandle(c.connection, t, keepsFirst, now)
			handle.cancelOnDone = settings.cancelOnDone
			c.connection.protocol.trace(t, ended)
		}
	})
	return handle, err
}

// Attach returns a handle of a request that was submitted by anybody of the same identity. It does not wait:
// an id that the server does not know shows when the handle is used. The error is an *Error for what has not
// the form of an id, or a *CloseError.
//
// It is safe for concurrent use.
func (c *Client) Attach(id string) (*RequestHandle, error) {
	if err := checkRequestID(id); err != nil {
		return nil, err
	}
	var handle *RequestHandle
	var err error
	c.connection.do(func(now time.Duration) {
		var t *tracked
		if t, err = c.connection.protocol.attach(id, now); err == nil {
			handle = newHandle(c.connection, t, true, now)
		}
	})
	return handle, err
}

// Filter says which requests are listed; its zero value lists all of this identity.
type Filter struct {
	// Status lists only requests in one of these statuses.
	Status []RequestStatus
	// Action lists only requests of this action.
	Action string
	// Subject lists those of another subject of the tenant; it needs requests:read:tenant.
	Subject string
	// PageSize is how many to ask for at once, 1 to 200; the server's default is 50.
	PageSize int
}

// Requests yields the requests of this identity, the newest first (PROTOCOL 10.47). An error is the last that
// it yields.
//
// It is safe for concurrent use.
func (c *Client) Requests(ctx context.Context, filter Filter) iter.Seq2[RequestSummary, error] {
	return func(yield func(RequestSummary, error) bool) {
		var next *string
		for {
			answer, err := c.page(ctx, filter, next)
			if err != nil {
				yield(RequestSummary{}, err)
				return
			}
			for _, summary := range answer.requests {
				if !yield(summary, nil) {
					return
				}
			}
			if next = answer.next; next == nil {
				return
			}
		}
	}
}

func (c *Client) page(ctx context.Context, filter Filter, next *string) (page, error) {
	m := &wire.ListMessage{
		Action: present(filter.Action),
		Sub:    present(filter.Subject),
		Limit:  present(int64(filter.PageSize)),
		Cursor: next,
	}
	for _, status := range filter.Status {
		m.Status = append(m.Status, string(status))
	}
	var q *listQuestion
	var err error
	c.connection.do(func(now time.Duration) { q, err = c.connection.protocol.list(m, now) })
	if err != nil {
		return page{}, err
	}
	defer c.connection.do(func(time.Duration) { c.connection.protocol.forgetList(q) })
	return await(ctx, c.connection, &q.question, nil, func() error {
		return &WaitError{Err: whyEnded(ctx)}
	})
}

// present returns a value of a field that is left out where it is zero.
func present[T comparable](value T) *T {
	var none T
	if value == none {
		return nil
	}
	return &value
}
