// SPDX-License-Identifier: Apache-2.0

package otel_test

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/longcall/longcall/sdk-go"
	"github.com/longcall/longcall/sdk-go/longcalltest"
	"github.com/longcall/longcall/sdk-go/otel"
)

// traced returns a server, a client whose spans go into the exporter when it is closed, and a tracer beside it.
func traced(t *testing.T) (*longcalltest.Server, *longcall.Client, *tracetest.InMemoryExporter, trace.Tracer) {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	server := longcalltest.NewServer()
	t.Cleanup(server.Close)
	client, err := server.Connect(otel.WithTracing(provider))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return server, client, exporter, provider.Tracer("application")
}

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func attributes(span tracetest.SpanStub) map[attribute.Key]string {
	found := map[attribute.Key]string{}
	for _, one := range span.Attributes {
		found[one.Key] = one.Value.Emit()
	}
	return found
}

func TestARequestIsASpanOfItsCallerAndItsTraceGoesOnInTheHandler(t *testing.T) {
	server, client, exporter, tracer := traced(t)
	sent := make(chan string, 1)
	server.On("report", func(_ context.Context, r *longcalltest.Request) (any, error) {
		sent <- r.Traceparent
		return nil, nil
	})
	ctx, caller := tracer.Start(patient(t), "caller")
	if _, err := client.Call(ctx, "report", nil, longcall.WithID("a")); err != nil {
		t.Fatal(err)
	}
	caller.End()
	_ = client.Close()
	spans := map[string]tracetest.SpanStub{}
	for _, span := range exporter.GetSpans() {
		spans[span.Name] = span
	}
	span := spans["longcall report"]
	if span.Parent.SpanID() != caller.SpanContext().SpanID() || span.SpanKind != trace.SpanKindClient || span.Status.Code != codes.Unset {
		t.Fatalf("spans %+v", spans)
	}
	want := "00-" + span.SpanContext.TraceID().String() + "-" + span.SpanContext.SpanID().String() + "-01"
	if got := <-sent; got != want {
		t.Fatalf("sent %s, not %s", got, want)
	}
	if got := attributes(span); got["rpc.system"] != "longcall" || got["rpc.method"] != "report" || got["longcall.request_id"] != "a" {
		t.Fatalf("attributes %v", got)
	}
}

func TestASpanTellsHowTheRequestEnded(t *testing.T) {
	server, client, exporter, _ := traced(t)
	server.On("fails", func(context.Context, *longcalltest.Request) (any, error) { return nil, errors.New("no data") })
	server.On("waits", nil)
	if _, err := client.Call(patient(t), "fails", nil); !errors.Is(err, longcall.ErrHandler) {
		t.Fatalf("got %v", err)
	}
	left, err := client.Submit(patient(t), "waits", nil)
	if err != nil {
		t.Fatal(err)
	}
	left.Detach()
	if _, err := client.Submit(patient(t), "waits", nil); err != nil {
		t.Fatal(err)
	}
	_ = client.Close()
	told := []string{}
	for _, span := range exporter.GetSpans() {
		got := attributes(span)
		told = append(told, strings.Join([]string{span.Name, span.Status.Code.String(), got["error.type"],
			got["longcall.attempt"], got["longcall.detached"]}, " "))
	}
	want := "longcall fails Error HANDLER_ERROR 1 |longcall waits Unset   true|longcall waits Error *longcall.CloseError  "
	if got := strings.Join(told, "|"); got != want {
		t.Fatalf("told\n%s\nnot\n%s", got, want)
	}
}

func TestLongcallItselfHasOneDependency(t *testing.T) {
	command := exec.Command("go", "mod", "graph")
	command.Dir = ".."
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		_, needed, _ := strings.Cut(line, " ")
		name, _, _ := strings.Cut(needed, "@")
		if name != "github.com/coder/websocket" && name != "go" && name != "toolchain" {
			t.Errorf("it needs %s", needed)
		}
	}
	if !strings.Contains(string(out), "github.com/coder/websocket") {
		t.Fatalf("the graph is\n%s", out)
	}
}
