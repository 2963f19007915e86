// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"context"
	"slices"
	"strconv"

	"github.com/longcall/longcall/sdk-go/internal/wire"
)

// maxTraceparent is what a request may carry, in bytes.
const maxTraceparent = 256

// TraceFunc is called for each request of Call and Submit before it is sent, with the context of that call. It
// returns the W3C traceparent that the handler continues, "" for none, and a function that is called once when the
// request has ended for this client, or nil: with nil for a result, with the error that Result returns, or with
// ErrDetached when nobody here waits for it any more.
//
// One client may call it in several goroutines at once; what it returned is called by one goroutine, in turn.
// Module longcall/otel makes spans by it.
type TraceFunc = func(ctx context.Context, action, requestID string) (traceparent string, ended func(error))

// WithTrace sets what is told of each request, and gives its traceparent where WithTraceparent gives none.
func WithTrace(f TraceFunc) Option {
	return func(c *config) { c.trace = f }
}

// trace tells the application of a request that is made, and puts the traceparent in it.
func (c *Client) trace(ctx context.Context, m *wire.RequestMessage) (ended func(error)) {
	config := c.connection.config
	if config.trace == nil {
		return nil
	}
	callSafely(config.logger, func() {
		var traceparent string
		traceparent, ended = config.trace(ctx, m.Action, m.ID)
		switch {
		case m.Traceparent != nil || traceparent == "":
		case len(traceparent) > maxTraceparent:
			config.logger.Warn("a traceparent of " + strconv.Itoa(len(traceparent)) + " bytes is left out")
		default:
			m.Traceparent = &traceparent
		}
	})
	return ended
}

// trace: ended is to be called when this request ends.
func (p *protocol) trace(t *tracked, ended func(error)) {
	if ended == nil {
		return
	}
	t.traces = append(t.traces, ended)
	if t.outcome != nil {
		p.core.endTraces(t, t.outcome.err)
	}
}

// endTraces tells those who trace this request that it has ended, with an error or nil.
func (c *core) endTraces(t *tracked, err error) {
	for _, ended := range slices.Clip(t.traces) {
		c.do(tracedEffect{func() { ended(fresh(err, t.attempt)) }})
	}
	t.traces = nil
}
