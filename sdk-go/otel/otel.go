// SPDX-License-Identifier: Apache-2.0

// Package otel makes an OpenTelemetry span of each request of a longcall client, and has its trace go on in the handler.
//
//	client, err := longcall.Connect(ctx, address, otel.WithTracing(nil))
//
// It is a module of its own, so that longcall itself does not depend on OpenTelemetry.
//
// A span is named "longcall " and the action, is of kind client, and is a child of that of the context of Call or Submit.
// It begins there, and ends when the request has ended for this client: with its result, its error, or when nobody here
// waits for it any more, which is no error. Its attributes are rpc.system ("longcall"), rpc.method (the action),
// longcall.request_id, longcall.attempt (of an error, the newest attempt that was seen), longcall.detached (true, where
// nobody waited for the end) and error.type (the error code, or the Go type of an error without one).
package otel

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/longcall/longcall/sdk-go"
)

// scope names what makes the spans.
const scope = "github.com/longcall/longcall/sdk-go/otel"

// WithTracing makes spans by a provider, nil for the global one. Where a request is sampled or not, its traceparent is
// sent; one of longcall.WithTraceparent wins.
func WithTracing(provider trace.TracerProvider) longcall.Option {
	if provider == nil {
		provider = otel.GetTracerProvider()
	}
	tracer := provider.Tracer(scope, trace.WithInstrumentationVersion(longcall.Version))
	return longcall.WithTrace(func(ctx context.Context, action, requestID string) (string, func(error)) {
		ctx, span := tracer.Start(ctx, "longcall "+action, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			attribute.String("rpc.system", "longcall"),
			attribute.String("rpc.method", action),
			attribute.String("longcall.request_id", requestID),
		))
		return traceparent(ctx), func(err error) { end(span, err) }
	})
}

// traceparent returns the W3C form of the span of a context, "" for none.
func traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}

func end(span trace.Span, err error) {
	defer span.End()
	var failed *longcall.Error
	switch {
	case err == nil:
		return
	case errors.Is(err, longcall.ErrDetached):
		span.SetAttributes(attribute.Bool("longcall.detached", true))
		return
	case errors.As(err, &failed):
		span.SetAttributes(attribute.String("error.type", string(failed.Code)), attribute.Int64("longcall.attempt", failed.Attempt))
	default:
		span.SetAttributes(attribute.String("error.type", fmt.Sprintf("%T", err)))
	}
	span.SetStatus(codes.Error, err.Error())
}
