// SPDX-License-Identifier: Apache-2.0

package longcalltest_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/longcall/longcall/sdk-go"
	"github.com/longcall/longcall/sdk-go/longcalltest"
)

func TestWhatIsDroppedIsReadOnAndNothingComesTwice(t *testing.T) {
	server, client := start(t)
	server.On("f", nil)
	handle := submit(t, client, "f")
	r, err := server.Next(patient(t), "")
	if err != nil {
		t.Fatal(err)
	}
	r.Chunk(1)
	server.Drop(0)
	r.Chunk(2)
	server.Drop(longcall.CloseServiceRestart)
	r.Complete("done")
	if got := story(t, handle); got != "queued/0, processing/1, 1, 2" {
		t.Fatalf("told %s", got)
	}
	if n := len(server.Received("request")); n != 1 {
		t.Fatalf("it was sent %d times", n)
	}
}

func TestNobodyCanConnectWhileTheServerRefuses(t *testing.T) {
	server := longcalltest.NewServer()
	defer server.Close()
	server.On("f", func(context.Context, *longcalltest.Request) (any, error) { return 1, nil })
	server.Refuse(0)
	client, err := server.Connect(longcall.WithRandom(func() float64 { return 1 }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if state := wait(t, client, longcall.ConnectionReconnecting); state.RetryIn != 500*time.Millisecond {
		t.Fatalf("it is %+v", state)
	}
	server.Accept()
	server.Clock.Advance(500 * time.Millisecond)
	if result, err := client.Call(patient(t), "f", nil); err != nil || string(result) != "1" || server.Opened() != 2 {
		t.Fatalf("got %s, %v", result, err)
	}
	server.Refuse(longcall.CloseForbidden)
	server.Drop(0)
	wait(t, client, longcall.ConnectionReconnecting)
	server.Clock.Advance(time.Second)
	if state := wait(t, client, longcall.ConnectionClosed); state.Code != longcall.CloseForbidden {
		t.Fatalf("it is %+v", state)
	}
	if server.Connections() != 0 {
		t.Fatal("a refused connection counts")
	}
}

func TestAHalfOpenConnectionIsLeftAndOneThatIsAliveIsNot(t *testing.T) {
	states := make(chan longcall.State, 100)
	server, client := start(t, longcall.WithStateFunc(func(s longcall.State) { states <- s }))
	wait(t, client, longcall.ConnectionReady)
	server.Clock.Advance(time.Hour / 2)
	if server.Opened() != 1 {
		t.Fatalf("%d connections were opened", server.Opened())
	}
	server.Stall()
	server.Clock.Advance(35 * time.Second)
	for state := range states {
		if state.Name == longcall.ConnectionReconnecting {
			if state.Code != longcall.CloseTooSlow {
				t.Fatalf("it is %+v", state)
			}
			break
		}
	}
	server.Resume()
	if state := wait(t, client, longcall.ConnectionReady); !state.Resumed {
		t.Fatalf("it is %+v", state)
	}
}

func TestAGoawayMovesTheClientAndTheApplicationSeesNoError(t *testing.T) {
	server, client := start(t)
	server.On("f", nil)
	handle := submit(t, client, "f")
	r, err := server.Next(patient(t), "f")
	if err != nil {
		t.Fatal(err)
	}
	server.Goaway("a deploy", time.Second)
	wait(t, client, longcall.ConnectionDraining)
	server.Clock.Advance(time.Second)
	wait(t, client, longcall.ConnectionReady)
	r.Complete(1)
	if result, err := handle.Result(patient(t)); err != nil || string(result) != "1" || server.Opened() != 2 {
		t.Fatalf("got %s, %v", result, err)
	}
}

func TestATokenIsRefreshedBeforeItExpires(t *testing.T) {
	tokens := make(chan longcall.TokenReason, 10)
	server, client := start(t, longcall.WithToken(func(_ context.Context, reason longcall.TokenReason) (string, error) {
		tokens <- reason
		return "fresh", nil
	}))
	server.Authenticate(func(string) (longcalltest.Identity, longcall.CloseCode) {
		return longcalltest.Identity{Life: 10 * time.Minute}, 0
	})
	if err := client.Ready(patient(t)); err != nil {
		t.Fatal(err)
	}
	if reason := <-tokens; reason != longcall.TokenForConnect {
		t.Fatalf("asked for %s", reason)
	}
	server.Clock.Advance(time.Hour * 9 / 10)
	if reason := <-tokens; reason != longcall.TokenForRefresh {
		t.Fatalf("asked for %s", reason)
	}
}

func TestAnnouncementsLimitsAndStreamsAreSeen(t *testing.T) {
	server := longcalltest.NewServer()
	defer server.Close()
	server.SetLimits(longcalltest.Limits{MaxMessageBytes: 4096, MaxInFlight: 1})
	words := make(chan longcall.Announcement, 1)
	client, err := server.Connect(longcall.WithAnnouncementFunc(func(a longcall.Announcement) { words <- a }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if err := client.Ready(patient(t)); err != nil {
		t.Fatal(err)
	}
	server.Announce("maintenance", map[string]int{"at": 5})
	if a := <-words; a.Message != "maintenance" || string(a.Details) != `{"at":5}` {
		t.Fatalf("got %+v", a)
	}
	server.On("f", nil)
	if _, err := client.Call(patient(t), "f", make([]byte, 8192)); !errors.Is(err, longcall.ErrPayloadTooLarge) {
		t.Fatalf("got %v", err)
	}
	handle := submit(t, client, "f")
	if server.Streams("") != 1 || server.Streams(handle.ID()) != 1 || server.Connections() != 1 {
		t.Fatalf("%d streams on %d connections", server.Streams(""), server.Connections())
	}
	kinds := []string{}
	for _, text := range server.Received("") {
		var m struct{ Type string }
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, m.Type)
	}
	if !slices.Equal(kinds, []string{"hello", "request"}) {
		t.Fatalf("received %v", kinds)
	}
}
