// SPDX-License-Identifier: Apache-2.0

package longcall_test

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

// What users of systems like this suffer from (docs/complaints.md), as their applications meet it.

// patience bounds every wait of these tests; none comes near it.
const patience = 60 * time.Second

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func connect(t *testing.T, server *longcalltest.Server, options ...longcall.Option) *longcall.Client {
	t.Helper()
	client, err := server.Connect(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// played returns a server, a client, and a request whose handler the test plays.
func played(t *testing.T, options ...longcall.Option) (*longcalltest.Server, *longcall.Client, *longcall.RequestHandle, *longcalltest.Request) {
	t.Helper()
	server := longcalltest.NewServer()
	t.Cleanup(server.Close)
	server.On("f", nil)
	client := connect(t, server, options...)
	handle, err := client.Submit(patient(t), "f", nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := server.Next(patient(t), "f")
	if err != nil {
		t.Fatal(err)
	}
	return server, client, handle, r
}

func want(t *testing.T, handle *longcall.RequestHandle, result string) {
	t.Helper()
	if got, err := handle.Result(patient(t)); err != nil || string(got) != result {
		t.Fatalf("got %s, %v, not %s", got, err, result)
	}
}

func TestComplaint02ACallThatReportsProgressForADayIsNotEndedByAClock(t *testing.T) {
	server := longcalltest.NewServer()
	defer server.Close()
	server.On("f", nil)
	client := connect(t, server)
	type end struct {
		result json.RawMessage
		err    error
	}
	ended, told := make(chan end, 1), make(chan longcall.Progress, 100)
	go func() {
		result, err := client.Call(context.Background(), "f", nil, longcall.OnProgress(func(p longcall.Progress) { told <- p }))
		ended <- end{result, err}
	}()
	r, err := server.Next(patient(t), "f")
	if err != nil {
		t.Fatal(err)
	}
	for hour := range 24 {
		r.Progress(float64(hour), fmt.Sprint("hour ", hour), nil)
		if p := <-told; *p.Percentage != float64(hour) {
			t.Fatalf("told %+v", p)
		}
		server.Clock.Advance(time.Hour)
	}
	r.Complete("done")
	if got := <-ended; got.err != nil || string(got.result) != `"done"` || r.Executions() != 0 || len(server.Received("cancel")) != 0 {
		t.Fatalf("got %s, %v", got.result, got.err)
	}
}

func TestComplaint03ALostConnectionIsNoCancelAndACancelComesFromAnywhere(t *testing.T) {
	server, client, handle, r := played(t)
	server.Drop(0)
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := handle.Result(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	_ = client.Close()
	if r.Context().Err() != nil || len(server.Received("cancel")) != 0 {
		t.Fatal("who left has cancelled")
	}
	other, err := connect(t, server).Attach(handle.ID()) // another device
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Cancel(patient(t), "stop"); err != nil {
		t.Fatal(err)
	}
	<-r.Context().Done()
	r.Fail(errors.New("stopped"))
	if _, err := other.Result(patient(t)); !errors.Is(err, longcall.ErrCancelled) {
		t.Fatalf("got %v", err)
	}
}

func TestComplaint10TheResultIsReadFromTheLogWhoeverMissedThePush(t *testing.T) {
	server, _, handle, r := played(t)
	server.Refuse(0)
	server.Drop(0) // nobody is connected when it ends
	r.Complete("done")
	server.Accept()
	server.Clock.Advance(time.Minute)
	want(t, handle, `"done"`)
	late, err := connect(t, server).Attach(handle.ID()) // asked for the first time after the end
	if err != nil {
		t.Fatal(err)
	}
	want(t, late, `"done"`)
	want(t, late, `"done"`) // and again
}

func TestComplaint11ALostPushIsNoSpinnerForEver(t *testing.T) {
	states := make(chan longcall.State, 100)
	server, _, handle, r := played(t, longcall.WithStateFunc(func(s longcall.State) { states <- s }))
	server.Stall()
	r.Complete("done") // it never arrives on this connection
	server.Clock.Advance(35 * time.Second)
	for state := range states {
		if state.Name == longcall.ConnectionReconnecting {
			break
		}
	}
	server.Drop(0) // what stalled is gone for good
	server.Resume()
	want(t, handle, `"done"`)
}

func TestComplaint14ARunningCallIsCancelledWithAReasonAndTheHandleIsTold(t *testing.T) {
	_, _, handle, r := played(t)
	r.Progress(1, "", nil)
	if err := handle.Cancel(patient(t), "no longer needed"); err != nil {
		t.Fatal(err)
	}
	<-r.Context().Done()
	r.Complete(nil)
	if _, err := handle.Result(patient(t)); err != nil {
		t.Fatalf("a result that was there before the end of the grace counts: %v", err)
	}
	_, _, handle, r = played(t)
	if err := handle.Cancel(patient(t), "no longer needed"); err != nil {
		t.Fatal(err)
	}
	r.Fail(context.Canceled)
	var failed *longcall.Error
	if _, err := handle.Result(patient(t)); !errors.As(err, &failed) || failed.Code != longcall.CodeCancelled ||
		string(failed.Details) != `{"reason":"no longer needed"}` {
		t.Fatalf("got %v", err)
	}
}

func TestComplaint15ASlowCallBlocksNoOtherAndTheWindowIsKept(t *testing.T) {
	server := longcalltest.NewServer()
	defer server.Close()
	server.SetLimits(longcalltest.Limits{MaxInFlight: 2})
	server.On("slow", nil)
	server.On("fast", func(context.Context, *longcalltest.Request) (any, error) { return "fast", nil })
	client := connect(t, server)
	slow, err := client.Submit(patient(t), "slow", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // one at a time fits beside it
		if result, err := client.Call(patient(t), "fast", nil); err != nil || string(result) != `"fast"` {
			t.Fatalf("got %s, %v", result, err)
		}
	}
	results := make(chan error, 20)
	for range 20 { // twenty at once wait for their turn here, and none is refused
		go func() {
			_, err := client.Call(patient(t), "fast", nil)
			results <- err
		}()
	}
	for range 20 {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	server.Request(slow.ID()).Complete("slow")
	want(t, slow, `"slow"`)
}

func TestComplaint16ADeadConnectionIsNoticedAndLeft(t *testing.T) {
	states := make(chan longcall.State, 100)
	server, client, handle, r := played(t, longcall.WithStateFunc(func(s longcall.State) { states <- s }))
	server.Stall()
	server.Clock.Advance(34 * time.Second)
	if state := client.State(); state.Name != longcall.ConnectionReady {
		t.Fatalf("it is %+v before its time", state)
	}
	server.Clock.Advance(time.Second)
	for state := range states {
		if state.Name == longcall.ConnectionReconnecting {
			if state.Code != longcall.CloseTooSlow {
				t.Fatalf("it is %+v", state)
			}
			break
		}
	}
	server.Drop(0)
	server.Resume()
	r.Complete(1)
	want(t, handle, "1")
}

func TestComplaint21ProgressIsTheNewestAndChunksAreAllInOrder(t *testing.T) {
	server, _, handle, r := played(t)
	for n := range 100 {
		r.Progress(float64(n), "", nil)
		r.Chunk(n)
		if n == 50 {
			server.Drop(0)
		}
	}
	r.Progress(100, "the last", nil)
	r.Complete(nil)
	var chunks []string
	newest := -1.0
	for event, err := range handle.Events(patient(t)) {
		if err != nil {
			t.Fatal(err)
		}
		switch e := event.(type) {
		case longcall.Chunk:
			chunks = append(chunks, string(e.Data))
		case longcall.Progress:
			if *e.Percentage <= newest {
				t.Fatalf("%v after %v", *e.Percentage, newest)
			}
			newest = *e.Percentage
		}
	}
	for n, data := range chunks {
		if data != fmt.Sprint(n) {
			t.Fatalf("chunk %d is %s", n, data)
		}
	}
	if len(chunks) != 100 || newest != 100 {
		t.Fatalf("%d chunks, and %v", len(chunks), newest)
	}
}

func TestComplaint23WhatIsTooLargeIsRefusedBeforeItIsSentWithTheLimit(t *testing.T) {
	server := longcalltest.NewServer()
	defer server.Close()
	server.SetLimits(longcalltest.Limits{MaxMessageBytes: 2000})
	server.On("f", func(context.Context, *longcalltest.Request) (any, error) { return "done", nil })
	client := connect(t, server)
	var failed *longcall.Error
	_, err := client.Call(patient(t), "f", strings.Repeat("x", 3000))
	if !errors.As(err, &failed) || failed.Code != longcall.CodePayloadTooLarge || failed.Origin != longcall.OriginClient {
		t.Fatalf("got %v", err)
	}
	var details struct{ Limit, Size int }
	if err := json.Unmarshal(failed.Details, &details); err != nil || details.Limit != 2000 || details.Size < 3000 {
		t.Fatalf("details %s, %v", failed.Details, err)
	}
	if result, err := client.Call(patient(t), "f", strings.Repeat("x", 1000)); err != nil || string(result) != `"done"` {
		t.Fatalf("got %s, %v", result, err)
	}
	if len(server.Received("request")) != 1 || server.Opened() != 1 {
		t.Fatal("what is too large has left this process")
	}
}

func TestComplaint26WhoComesBackSeesEveryChunkOnce(t *testing.T) {
	count := 50_000
	if testing.Short() {
		count = 2_000
	}
	server, client, handle, r := played(t)
	go func() {
		for n := range count {
			r.Chunk(n)
			switch { // sleeps, restarts, deploys
			case n%10_000 == 5_000:
				server.Drop(longcall.CloseServiceRestart)
			case n%5_000 == 1_000:
				server.Drop(0)
			case n%10_000 == 7_000:
				server.Goaway("a deploy", 0)
			}
		}
		r.Complete(count)
	}()
	// read counts the chunks until it has so many, each once and in order.
	read := func(handle *longcall.RequestHandle, enough int) {
		t.Helper()
		next := 0
		for event, err := range handle.Events(patient(t)) {
			if err != nil {
				t.Fatal(err)
			}
			if c, ok := event.(longcall.Chunk); ok {
				if string(c.Data) != fmt.Sprint(next) {
					t.Fatalf("chunk %s where %d is due", c.Data, next)
				}
				if next++; next == enough {
					return
				}
			}
		}
		if next != count {
			t.Fatalf("%d chunks of %d", next, count)
		}
	}
	read(handle, count/2)
	_ = client.Close() // a reload: another process, another client
	again, err := connect(t, server).Attach(handle.ID())
	if err != nil {
		t.Fatal(err)
	}
	read(again, count+1)
	want(t, again, fmt.Sprint(count))
}
