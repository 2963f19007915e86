// SPDX-License-Identifier: Apache-2.0

package longcalltest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/longcall/longcall/sdk-go"
	"github.com/longcall/longcall/sdk-go/longcalltest"
)

// story tells the events of a handle as text.
func story(t *testing.T, handle *longcall.RequestHandle) string {
	t.Helper()
	var told []string
	for event, err := range handle.Events(patient(t)) {
		if err != nil {
			t.Fatal(err)
		}
		switch e := event.(type) {
		case longcall.Status:
			told = append(told, fmt.Sprintf("%s/%d", e.Status, e.Attempt))
			if e.ChunksKeptTo > 0 {
				told[len(told)-1] += fmt.Sprintf(" kept %d", e.ChunksKeptTo)
			}
		case longcall.Progress:
			told = append(told, fmt.Sprintf("%v%%", *e.Percentage))
		case longcall.Chunk:
			told = append(told, string(e.Data))
		}
	}
	return strings.Join(told, ", ")
}

func submit(t *testing.T, client *longcall.Client, action string, options ...longcall.RequestOption) *longcall.RequestHandle {
	t.Helper()
	handle, err := client.Submit(patient(t), action, nil, options...)
	if err != nil {
		t.Fatal(err)
	}
	return handle
}

func TestAScriptReportsAndReturnsTheResult(t *testing.T) {
	server, client := start(t)
	server.On("report", func(_ context.Context, r *longcalltest.Request) (any, error) {
		var params struct{ Format string }
		if err := r.Decode(&params); err != nil {
			return nil, err
		}
		r.Progress(50, "half", map[string]int{"page": 1})
		r.Chunk("row")
		return params.Format, nil
	})
	result, err := client.Call(patient(t), "report", map[string]string{"format": "csv"})
	if err != nil || string(result) != `"csv"` {
		t.Fatalf("got %s, %v", result, err)
	}
	if got := story(t, submit(t, client, "report")); !strings.HasSuffix(got, `"row"`) || !strings.HasPrefix(got, "queued/0, processing/1") {
		t.Fatalf("told %s", got)
	}
}

func TestAScriptThatRetriesRunsAgainAndSaysWhichChunksStand(t *testing.T) {
	server, client := start(t)
	server.On("f", func(_ context.Context, r *longcalltest.Request) (any, error) {
		if r.Executions() == 1 {
			r.Chunk("kept")
			r.Checkpoint()
			r.Chunk("lost")
			r.Retry(time.Minute, errors.New("a crash"))
			return "ignored", nil
		}
		r.Chunk("again")
		return "done", nil
	})
	handle := submit(t, client, "f")
	for event, err := range handle.Events(patient(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if status, ok := event.(longcall.Status); ok && status.Status == longcall.StatusRetrying {
			if status.Err.Code != longcall.CodeHandlerError || status.RetryAt.IsZero() {
				t.Fatalf("retrying %+v", status)
			}
			break
		}
	}
	server.Clock.Advance(time.Minute)
	want := `queued/0, processing/1, "kept", "lost", retrying/1 kept 3, processing/2 kept 3, "again"`
	if got := story(t, handle); got != want {
		t.Fatalf("told %s, not %s", got, want)
	}
}

func TestATestPlaysTheHandlerItself(t *testing.T) {
	server, client := start(t)
	server.On("f", nil)
	handle := submit(t, client, "f", longcall.WithMetadata(map[string]string{"a": "b"}), longcall.WithTraceparent("00-1"))
	r, err := server.Next(patient(t), "f")
	if err != nil || r.ID != handle.ID() || r.Metadata["a"] != "b" || r.Traceparent != "00-1" {
		t.Fatalf("got %v, %v", r, err)
	}
	r.Progress(10, "", nil)
	r.Fail(&longcall.Error{Code: longcall.CodeHandlerError, Message: "no", Details: json.RawMessage(`{"code":"EMPTY"}`)})
	r.Complete("too late")
	var failed *longcall.Error
	if _, err := handle.Result(patient(t)); !errors.As(err, &failed) || string(failed.Details) != `{"code":"EMPTY"}` || failed.Attempt != 1 {
		t.Fatalf("got %v", err)
	}
	if r.Status() != longcall.StatusFailed || server.Request(r.ID) != r || r.Context().Err() == nil {
		t.Fatalf("the request stands at %s", r.Status())
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := server.Next(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestAQuickActionIsAnsweredAtOnceAndStoredWhereItMustBe(t *testing.T) {
	server, client := start(t)
	server.OnQuick("f", func(_ context.Context, r *longcalltest.Request) (any, error) { return 1, nil })
	server.OnQuick("fails", func(context.Context, *longcalltest.Request) (any, error) { return nil, errors.New("no") })
	server.OnQuick("chunks", func(_ context.Context, r *longcalltest.Request) (any, error) { r.Chunk(1); return 2, nil })
	if result, err := client.Call(patient(t), "f", nil); err != nil || string(result) != "1" {
		t.Fatalf("got %s, %v", result, err)
	}
	var failed *longcall.Error
	if _, err := client.Call(patient(t), "fails", nil); !errors.As(err, &failed) || !failed.Executed {
		t.Fatalf("got %v", err)
	}
	if got := story(t, submit(t, client, "chunks")); got != "queued/0, processing/1, 1" {
		t.Fatalf("told %s", got)
	}
}

func TestAQuickActionThatTakesLongIsStored(t *testing.T) {
	server, client := start(t)
	begun, goOn := make(chan struct{}), make(chan struct{})
	server.OnQuick("f", func(context.Context, *longcalltest.Request) (any, error) { close(begun); <-goOn; return 1, nil })
	go func() {
		<-begun
		server.Clock.Advance(2 * time.Second)
	}()
	handle := submit(t, client, "f")
	if r := server.Request(handle.ID()); r == nil || r.Status() != longcall.StatusProcessing {
		t.Fatalf("it is %v", r)
	}
	close(goOn)
	if result, err := handle.Result(patient(t)); err != nil || string(result) != "1" {
		t.Fatalf("got %s, %v", result, err)
	}
}

func TestAnUnknownActionAndARefusedOneAreTypedErrors(t *testing.T) {
	server, client := start(t)
	if _, err := client.Submit(patient(t), "f", nil); !errors.Is(err, longcall.ErrUnknownAction) {
		t.Fatalf("got %v", err)
	}
	server.OnRefuse("f", &longcall.Error{Code: longcall.CodeForbidden, Message: "no"})
	if _, err := client.Submit(patient(t), "f", nil); !errors.Is(err, longcall.ErrForbidden) {
		t.Fatalf("got %v", err)
	}
}

func TestTheSameIDIsTheSameRequestAndAnotherPayloadAConflict(t *testing.T) {
	server, client := start(t)
	server.On("f", func(context.Context, *longcalltest.Request) (any, error) { return "once", nil })
	handle, err := client.Submit(patient(t), "f", map[string]int{"a": 1, "b": 2}, longcall.WithID("a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := handle.Result(patient(t)); err != nil {
		t.Fatal(err)
	}
	other, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if result, err := other.Call(patient(t), "f", json.RawMessage(`{"b":2, "a":1.0}`), longcall.WithID("a")); err != nil || string(result) != `"once"` {
		t.Fatalf("got %s, %v", result, err)
	}
	if _, err := other.Submit(patient(t), "g", nil, longcall.WithID("a")); !errors.Is(err, longcall.ErrConflict) {
		t.Fatalf("got %v", err)
	}
	if n := server.Request("a").Executions(); n != 1 {
		t.Fatalf("it ran %d times", n)
	}
}

func TestACancelEndsTheContextOfTheScriptAndAfterTheGraceTheRequest(t *testing.T) {
	server, client := start(t)
	server.On("obeys", func(ctx context.Context, _ *longcalltest.Request) (any, error) { <-ctx.Done(); return nil, ctx.Err() })
	goOn := make(chan struct{})
	server.On("does.not", func(context.Context, *longcalltest.Request) (any, error) { <-goOn; return "too late", nil })
	defer close(goOn)
	for _, action := range []string{"obeys", "does.not"} {
		handle := submit(t, client, action)
		if err := handle.Cancel(patient(t), "enough"); err != nil {
			t.Fatal(err)
		}
		if action == "does.not" {
			if snapshot, err := handle.Snapshot(patient(t)); err != nil || !snapshot.Request.CancelRequested {
				t.Fatalf("got %+v, %v", snapshot, err)
			}
			server.Clock.Advance(10 * time.Second)
		}
		var failed *longcall.Error
		if _, err := handle.Result(patient(t)); !errors.Is(err, longcall.ErrCancelled) || !errors.As(err, &failed) || string(failed.Details) != `{"reason":"enough"}` {
			t.Fatalf("%s: got %v", action, err)
		}
	}
}

func TestADeadlineAndADelayAreOfTheClock(t *testing.T) {
	server, client := start(t)
	server.On("f", func(ctx context.Context, _ *longcalltest.Request) (any, error) { return "done", nil })
	late := submit(t, client, "f", longcall.WithDelay(time.Hour))
	dead := submit(t, client, "f", longcall.WithDelay(2*time.Hour), longcall.WithDeadline(90*time.Minute))
	server.Clock.Advance(time.Hour - time.Millisecond)
	if status := server.Request(late.ID()).Status(); status != longcall.StatusQueued {
		t.Fatalf("it is %s", status)
	}
	server.Clock.Advance(time.Millisecond)
	if result, err := late.Result(patient(t)); err != nil || string(result) != `"done"` {
		t.Fatalf("got %s, %v", result, err)
	}
	server.Clock.Advance(time.Hour)
	if _, err := dead.Result(patient(t)); !errors.Is(err, longcall.ErrTimeout) {
		t.Fatalf("got %v", err)
	}
}

func TestRequestsAreListedTheNewestFirstAndToTheirOwnerAlone(t *testing.T) {
	server, client := start(t)
	server.Authenticate(func(token string) (longcalltest.Identity, longcall.CloseCode) {
		return longcalltest.Identity{Principal: token}, 0
	})
	other, err := server.Connect(longcall.WithToken("other"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	server.On("f", nil)
	for _, id := range []string{"a", "b"} {
		submit(t, client, "f", longcall.WithID(id))
		server.Clock.Advance(time.Second)
	}
	submit(t, other, "f", longcall.WithID("a"))
	var ids []string
	for summary, err := range client.Requests(patient(t), longcall.Filter{Action: "f", Status: []longcall.RequestStatus{longcall.StatusQueued}}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, summary.ID)
	}
	if got := strings.Join(ids, " "); got != "b a" {
		t.Fatalf("listed %s", got)
	}
	stranger, err := other.Attach("b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Result(patient(t)); !errors.Is(err, longcall.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
}
