// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// What users of systems like this suffer from (docs/complaints.md), where every frame counts. The others stand in
// complaints_test.go.

func TestComplaint04ResumingWorksBeforeAnyEventWasSeen(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	conn := s.welcome()
	handle := attach(t, client, "a")
	for range 3 { // again and again, not once
		conn.want("attach", "request_id", "a", "after_seq", 0)
		conn.leave()
		conn = s.welcome()
	}
	conn.want("attach", "request_id", "a", "after_seq", 0)
	conn.send(snapshotText("a", "attach", "completed", 2), acknowledgment("a"), complete("a", 2))
	if result, err := handle.Result(patient(t)); err != nil || string(result) != `"done"` {
		t.Fatalf("got %s, %v", result, err)
	}
}

func TestComplaint05AGapIsReadAgainAndALogThatIsGoneIsTold(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	conn := s.welcome()
	handle, err := client.Attach("a")
	if err != nil {
		t.Fatal(err)
	}
	conn.want("attach")
	conn.send(snapshotText("a", "attach", "processing", 4), acknowledgment("a"), chunk("a", 2), chunk("a", 4))
	conn.want("attach", "request_id", "a", "after_seq", 2)
	conn.send(snapshotText("a", "attach", "processing", 4), chunk("a", 3), chunk("a", 4))
	var got []string
	for event, failed := range handle.Events(patient(t)) {
		if err = failed; failed != nil {
			break
		}
		if c, ok := event.(Chunk); ok {
			if got = append(got, string(c.Data)); c.Seq == 4 { // now retention takes the log away
				conn.send(refusal("a", "attach", "NOT_FOUND", false, ""))
			}
		}
	}
	if text := strings.Join(got, " "); text != "2 3 4" || !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %s, and then %v", text, err)
	}
}

func TestComplaint06NothingComesTwiceNorAfterTheEnd(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	conn := s.welcome()
	handle := attach(t, client, "a")
	conn.want("attach")
	conn.send(snapshotText("a", "attach", "processing", 2), acknowledgment("a"), chunk("a", 2), `{"type":"ping"}`)
	conn.want("pong")
	conn.leave()
	conn = s.welcome()
	conn.want("attach", "after_seq", 2)
	conn.send(snapshotText("a", "attach", "processing", 3), acknowledgment("a"), chunk("a", 2), chunk("a", 3), chunk("a", 3),
		complete("a", 4), chunk("a", 5), complete("a", 5), progress("a", 1, 1))
	var got []string
	for event, err := range handle.Events(patient(t)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%T", event))
	}
	if text := strings.Join(got, " "); text != "longcall.Status longcall.Chunk longcall.Chunk" {
		t.Fatalf("got %s", text)
	}
}

func TestComplaint07EverySendingAgainBearsTheSameID(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	conn := s.welcome()
	results := make(chan error, 1)
	go func() {
		_, err := client.Call(patient(t), "f", nil)
		results <- err
	}()
	id := conn.want("request", "resend", nil)["id"]
	for range 3 {
		conn.close(CloseTryAgainLater) // the server may have stored it or not
		conn = s.welcome()
		conn.want("request", "id", id, "resend", true)
	}
	conn.send(acknowledgment(id.(string)), complete(id.(string), 2))
	if err := <-results; err != nil {
		t.Fatal(err)
	}
}

func TestComplaint12TheEndOfTheStreamIsNotTheEndOfTheWork(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	conn := s.welcome()
	handle := attach(t, client, "a")
	ended := make(chan string, 1)
	go func() {
		var got []string
		for event, err := range handle.Events(patient(t)) {
			got = append(got, fmt.Sprintf("%T %v", event, err))
		}
		ended <- strings.Join(got, ", ")
	}()
	for n, code := range []CloseCode{closeNormal, CloseGoingAway, CloseServiceRestart, 0} {
		conn.want("attach", "after_seq", n)
		conn.send(snapshotText("a", "attach", "processing", n+1))
		if n == 0 {
			conn.send(acknowledgment("a"), `{"type":"ping"}`)
		} else {
			conn.send(chunk("a", n+1), `{"type":"ping"}`)
		}
		conn.want("pong")
		if code == 0 {
			conn.leave()
		} else {
			conn.close(code)
		}
		conn = s.welcome()
	}
	conn.want("attach", "after_seq", 4)
	select {
	case got := <-ended:
		t.Fatalf("it ended with the connection: %s", got)
	default:
	}
	conn.send(snapshotText("a", "attach", "completed", 5), complete("a", 5))
	if got := <-ended; got != "longcall.Status <nil>, longcall.Chunk <nil>, longcall.Chunk <nil>, longcall.Chunk <nil>" {
		t.Fatalf("got %s", got)
	}
}

func TestComplaint13ATokenThatExpiresLosesNothing(t *testing.T) {
	s := newTestServer(t)
	asked, may := make(chan TokenReason, 10), make(chan string, 10)
	client := s.connect(WithToken(func(ctx context.Context, reason TokenReason) (string, error) {
		asked <- reason
		select {
		case token := <-may:
			return token, nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}))
	token := func(reason TokenReason, token string) {
		t.Helper()
		if got := <-asked; got != reason {
			t.Fatalf("asked with %s, not %s", got, reason)
		}
		may <- token
	}
	token(TokenForConnect, "one")
	conn := s.accept()
	conn.want("hello", "token", "one")
	conn.send(welcomeText("2026-11-23T19:40:00.000Z", "2026-11-23T18:40:01.500Z")) // it lives 1.5 s
	handle := attach(t, client, "a")
	conn.want("attach")
	conn.send(snapshotText("a", "attach", "processing", 2), acknowledgment("a"), chunk("a", 2))
	token(TokenForRefresh, "two") // on the open connection
	conn.want("refresh", "token", "two")
	conn.close(CloseUnauthorized) // and yet
	token(TokenAfterRefusal, "three")
	conn = s.accept()
	conn.want("hello", "token", "three")
	conn.send(welcomeText())
	conn.want("attach", "after_seq", 2)
	conn.send(snapshotText("a", "attach", "completed", 3), complete("a", 3))
	if result, err := handle.Result(patient(t)); err != nil || string(result) != `"done"` {
		t.Fatalf("got %s, %v", result, err)
	}
	if len(asked) != 0 {
		t.Fatal("asked more often than needed")
	}
}

func TestComplaint18ClientsDoNotComeBackAtTheSameMoment(t *testing.T) {
	waits := map[string]bool{}
	for n := range 10 {
		part := float64(n) / 10
		x := welcomed(t, WithRandom(func() float64 { return part }))
		x.states = nil
		x.lose(CloseServiceRestart) // a deploy: already the first wait is spread
		if len(x.states) != 1 {
			t.Fatalf("states %v", x.states)
		}
		waits[x.states[0]] = true
		x.pass(time.Duration(part*500) * time.Millisecond)
		x.lose(0)
		if want := fmt.Sprintf("reconnecting in %v", time.Duration(part*float64(time.Second))); x.states[len(x.states)-1] != want {
			t.Fatalf("the second wait is %v, not %s", x.states, want)
		}
	}
	if len(waits) != 10 {
		t.Fatalf("ten clients wait %v", waits)
	}
	x := welcomed(t)
	x.got(`{"type":"goaway","reason":"deploy","reconnect_after_ms":7000}`)
	x.pass(6999 * time.Millisecond)
	if len(x.opened) != 1 {
		t.Fatal("it is back before its time")
	}
	x.pass(time.Millisecond)
	if len(x.opened) != 2 {
		t.Fatal("it does not come back")
	}
}

func TestComplaint20WhatWaitsOfflineIsBoundedInOrderAndPatientForItself(t *testing.T) {
	s := newTestServer(t)
	client := s.connect(WithQueueLimits(3, 0))
	results, early := make(chan error, 3), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	waiting := func(n int) {
		t.Helper()
		for { // each turn is one of the client's own goroutine
			var have int
			client.connection.do(func(time.Duration) { have = client.connection.protocol.requests.sender.waiting.len() })
			if have == n {
				return
			}
		}
	}
	for n, id := range []string{"one", "two", "three"} {
		go func() {
			if id == "two" {
				_, err := client.Call(ctx, "f", nil, WithID(id))
				early <- err
				return
			}
			_, err := client.Call(patient(t), "f", nil, WithID(id))
			results <- err
		}()
		waiting(n + 1)
	}
	if _, err := client.Call(patient(t), "f", nil); !errors.Is(err, ErrQueueFull) {
		t.Fatalf("got %v", err)
	}
	cancel()
	var waited *WaitError
	if err := <-early; !errors.As(err, &waited) || waited.Sent {
		t.Fatalf("got %v", err)
	}
	conn := s.accept()
	conn.want("hello") // nothing goes before the handshake
	conn.send(welcomeText())
	conn.want("request", "id", "one")
	conn.want("request", "id", "three")
	conn.send(acknowledgment("one"), complete("one", 2), acknowledgment("three"), complete("three", 2))
	for range 2 {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
}
