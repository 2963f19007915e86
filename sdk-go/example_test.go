// SPDX-License-Identifier: Apache-2.0

package longcall_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/longcall/longcall/sdk-go"
	"github.com/longcall/longcall/sdk-go/longcalltest"
)

// Params, Report and Row are the types of the action generate_report.
type (
	Params struct {
		Format string `json:"format"`
	}
	Report struct {
		Rows int `json:"rows"`
	}
	Row struct {
		Name string `json:"name"`
	}
)

var GenerateReport = longcall.NewAction[Params, Report, Row]("generate_report")

// exampleServer plays a server that makes reports.
func exampleServer() *longcalltest.Server {
	server := longcalltest.NewServer()
	server.On("generate_report", func(ctx context.Context, r *longcalltest.Request) (any, error) {
		r.Progress(100, "all of it", nil)
		r.Chunk(Row{Name: "Ada"})
		return Report{Rows: 1}, nil
	})
	server.On("dream", func(ctx context.Context, r *longcalltest.Request) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	return server
}

// exampleClient returns a client of a server in memory, and what ends both.
func exampleClient(options ...longcall.Option) (*longcall.Client, func()) {
	server := exampleServer()
	client, err := server.Connect(options...)
	if err != nil {
		log.Fatal(err)
	}
	return client, func() { _ = client.Close(); server.Close() }
}

func ExampleConnect() {
	ctx := context.Background()
	client, err := longcall.Connect(ctx, "wss://example.com/v1/connect",
		longcall.WithToken(func(ctx context.Context, reason longcall.TokenReason) (string, error) {
			return os.Getenv("LONGCALL_TOKEN"), nil // a fresh one, each time
		}),
		longcall.WithLogger(slog.Default()),
		longcall.WithApplicationName("reports/1.0"),
		longcall.WithHeader("X-Team", "reports"),
		longcall.WithHTTPClient(&http.Client{}), // proxies, certificates
		longcall.WithCompression(),
		longcall.WithTimeouts(5*time.Second, 0), // 0: the default
		longcall.WithBackoff(0, time.Minute),
		longcall.WithQueueLimits(100, 0),
		longcall.WithIteratorLimits(0, 1<<20),
		longcall.WithStateFunc(func(s longcall.State) { log.Println(s.Name, s.Reason) }),
		longcall.WithAnnouncementFunc(func(a longcall.Announcement) { log.Println(a.Message) }),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
}

func ExampleClient_Call() {
	client, end := exampleClient()
	defer end()
	result, err := client.Call(context.Background(), "generate_report", Params{Format: "csv"},
		longcall.OnProgress(func(p longcall.Progress) { fmt.Println(*p.Percentage, p.Message) }),
		longcall.OnChunk(func(c longcall.Chunk) { fmt.Println("chunk", string(c.Data)) }),
		longcall.OnStatus(func(s longcall.Status) { fmt.Println(s.Status) }),
		longcall.WithDeadline(time.Hour)) // the server's; your own patience is the context's
	fmt.Println(string(result), err)
	// Unordered output:
	// queued
	// processing
	// 100 all of it
	// chunk {"name":"Ada"}
	// {"rows":1} <nil>
}

func ExampleClient_Submit() {
	client, end := exampleClient()
	defer end()
	ctx := context.Background()
	handle, err := client.Submit(ctx, "generate_report", Params{Format: "csv"},
		longcall.WithID("monthly-2026-11"), // the idempotency key: sent twice, run once
		longcall.WithPriority(7), longcall.WithDelay(0), longcall.WithMetadata(map[string]string{"team": "sales"}))
	if err != nil {
		log.Fatal(err) // nothing was stored
	}
	fmt.Println(handle.ID()) // from here on it survives anything
	result, err := handle.Result(ctx)
	fmt.Println(string(result), err)
	// Output:
	// monthly-2026-11
	// {"rows":1} <nil>
}

func ExampleClient_Attach() {
	client, end := exampleClient()
	defer end()
	ctx := context.Background()
	if _, err := client.Call(ctx, "generate_report", nil, longcall.WithID("a")); err != nil {
		log.Fatal(err)
	}
	handle, err := client.Attach("a") // from any process, until the request expires
	if err != nil {
		log.Fatal(err)
	}
	result, err := handle.Result(ctx)
	fmt.Println(string(result), err)
	// Output: {"rows":1} <nil>
}

func ExampleClient_Requests() {
	client, end := exampleClient()
	defer end()
	ctx := context.Background()
	if _, err := client.Call(ctx, "generate_report", nil, longcall.WithID("a")); err != nil {
		log.Fatal(err)
	}
	for summary, err := range client.Requests(ctx, longcall.Filter{Action: "generate_report"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(summary.ID, summary.Status, summary.Status.Terminal())
	}
	// Output: a completed true
}

func ExampleClient_States() {
	client, end := exampleClient()
	defer end()
	for state := range client.States(context.Background()) {
		if state.Name == longcall.ConnectionReady || state.Name.Terminal() {
			fmt.Println(state.Name, state.Resumed)
			break
		}
	}
	fmt.Println(client.State().Name, client.Ready(context.Background()), client.Ignored())
	// Output:
	// ready false
	// ready <nil> 0
}

func ExampleRequestHandle_Events() {
	client, end := exampleClient()
	defer end()
	ctx := context.Background()
	handle, err := client.Submit(ctx, "generate_report", nil)
	if err != nil {
		log.Fatal(err)
	}
	var rows []longcall.Chunk
	for event, err := range handle.Events(ctx) {
		if err != nil {
			log.Fatal(err) // the handle has ended without the terminal event: ctx, Close, Detach, an expired log
		}
		switch e := event.(type) {
		case longcall.Status: // another attempt begins: drop what does not stand
			for len(rows) > 0 && e.Status == longcall.StatusProcessing && rows[len(rows)-1].Seq > e.ChunksKeptTo {
				rows = rows[:len(rows)-1]
			}
		case longcall.Progress:
			log.Println(e.Message)
		case longcall.Chunk:
			rows = append(rows, e)
		}
	}
	fmt.Println(len(rows), string(rows[0].Data))
	// Output: 1 {"name":"Ada"}
}

func ExampleRequestHandle_Cancel() {
	client, end := exampleClient()
	defer end()
	ctx := context.Background()
	handle, err := client.Submit(ctx, "dream", nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := handle.Cancel(ctx, "no longer needed"); err != nil {
		log.Fatal(err)
	}
	_, err = handle.Result(ctx)
	fmt.Println(errors.Is(err, longcall.ErrCancelled))
	// Output: true
}

func ExampleRequestHandle_Snapshot() {
	client, end := exampleClient()
	defer end()
	ctx := context.Background()
	handle, err := client.Submit(ctx, "dream", nil)
	if err != nil {
		log.Fatal(err)
	}
	snapshot, err := handle.Snapshot(ctx)
	fmt.Println(snapshot.Request.Action, snapshot.Request.Status.Terminal(), err)
	handle.Detach() // ends the handle here; the request goes on
	_, err = handle.Result(ctx)
	fmt.Println(errors.Is(err, longcall.ErrDetached))
	// Output:
	// dream false <nil>
	// true
}

func ExampleRequestHandle_Download() {
	ctx := context.Background()
	client, err := longcall.Connect(ctx, "wss://example.com", longcall.WithToken("…"))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	handle, err := client.Attach("monthly-2026-11")
	if err != nil {
		log.Fatal(err)
	}
	file, err := handle.Download(ctx, "report.pdf", ".") // whole and checked, or not at all
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(file.Path, file.Size, file.SHA256)
}

func ExampleNewAction() {
	client, end := exampleClient()
	defer end()
	report, err := GenerateReport.Call(context.Background(), client, Params{Format: "csv"},
		GenerateReport.OnChunk(func(row longcall.TypedChunk[Row]) { fmt.Println(row.Data.Name) }))
	fmt.Println(GenerateReport.Name(), report.Rows, err)
	// Output:
	// Ada
	// generate_report 1 <nil>
}

func ExampleAction_Submit() {
	client, end := exampleClient()
	defer end()
	ctx := context.Background()
	handle, err := GenerateReport.Submit(ctx, client, Params{}, longcall.WithID("a"))
	if err != nil {
		log.Fatal(err)
	}
	for event, err := range handle.Events(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		if row, ok := event.(longcall.TypedChunk[Row]); ok {
			fmt.Println(row.Data.Name)
		}
	}
	again, err := GenerateReport.Attach(client, "a")
	if err != nil {
		log.Fatal(err)
	}
	report, err := again.Result(ctx)
	fmt.Println(report.Rows, err)
	// Output:
	// Ada
	// 1 <nil>
}

func ExampleCancelOnDone() {
	client, end := exampleClient()
	defer end()
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(time.Millisecond, cancel)
	_, err := client.Call(ctx, "dream", nil, longcall.CancelOnDone())
	var waited *longcall.WaitError
	fmt.Println(errors.As(err, &waited), errors.Is(err, context.Canceled))
	// Output: true true
}

func ExampleWithTrace() {
	client, end := exampleClient(longcall.WithTrace(
		func(ctx context.Context, action, requestID string) (traceparent string, ended func(error)) {
			return "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", func(err error) { fmt.Println(action, err) }
		}))
	defer end()
	_, _ = client.Call(context.Background(), "generate_report", nil,
		longcall.WithTraceparent("")) // one of its own wins; "" is none
	// Output: generate_report <nil>
}

func ExampleError() {
	client, end := exampleClient()
	defer end()
	_, err := client.Submit(context.Background(), "no.such.action", nil, longcall.WithCallbackURL(""))
	var failed *longcall.Error
	if errors.As(err, &failed) {
		fmt.Println(failed.Code, failed.Retryable, failed.OutcomeUnknown, failed.Origin)
	}
	fmt.Println(errors.Is(err, longcall.ErrUnknownAction))
	// Output:
	// UNKNOWN_ACTION false false server
	// true
}

func ExampleCanonicalJSON() {
	text, err := longcall.CanonicalJSON(json.RawMessage(`{"b": 1.0, "a": "é"}`))
	fmt.Println(string(text), err)
	// Output: {"a":"é","b":1} <nil>
}

func ExampleWithClock() {
	server := exampleServer()
	defer server.Close()
	client, err := longcall.Connect(context.Background(), server.URL, append(server.Options(),
		longcall.WithClock(server.Clock), longcall.WithRandom(func() float64 { return 1 }))...)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	server.Clock.Advance(time.Hour)
	fmt.Println(server.Clock.Now())
	// Output: 1h0m0s
}
