// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

type traced struct{ ends chan error }

func (x traced) of(context.Context, string, string) (string, func(error)) {
	return traceparent, func(err error) { x.ends <- err }
}

func TestComplaint24TheTraceGoesWithEachRequestAndEndsWithIt(t *testing.T) {
	s := newTestServer(t)
	x := traced{make(chan error, 1)}
	client := s.connect(WithTrace(x.of))
	conn := s.welcome()
	for _, c := range []struct {
		id      string
		answer  string
		options []RequestOption
		header  string
		end     error
	}{
		{"a", complete("a", 2), nil, traceparent, nil},
		{"b", `{"type":"error","request_id":"b","seq":2,"error":{"code":"TIMEOUT","message":"m","retryable":false}}`, nil, traceparent, ErrTimeout},
		{"c", complete("c", 2), []RequestOption{WithTraceparent("00-own")}, "00-own", nil},
	} {
		go func() {
			conn.want("request", "traceparent", c.header)
			conn.send(acknowledgment(c.id), c.answer)
		}()
		options := []CallOption{WithID(c.id)}
		for _, option := range c.options {
			options = append(options, option)
		}
		_, err := client.Call(patient(t), "f", nil, options...)
		if end := <-x.ends; !errors.Is(err, c.end) || !errors.Is(end, c.end) {
			t.Fatalf("%s: got %v, and its trace %v", c.id, err, end)
		}
	}
}

func TestATraceEndsAlsoWhereARequestIsRefusedDetachedOrNeverMade(t *testing.T) {
	s := newTestServer(t)
	x := traced{make(chan error, 1)}
	client := s.connect(WithTrace(x.of), WithQueueLimits(1, 400))
	conn := s.welcome()
	if _, err := client.Submit(patient(t), "not an action", nil); !errors.Is(err, ErrValidation) || !errors.Is(<-x.ends, ErrValidation) {
		t.Fatalf("got %v", err)
	}
	if _, err := client.Submit(patient(t), "f", strings.Repeat("x", 500)); !errors.Is(err, ErrQueueFull) || !errors.Is(<-x.ends, ErrQueueFull) {
		t.Fatalf("got %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		conn.want("request")
		conn.send(acknowledgment("a"), `{"type":"ping"}`)
		conn.want("pong")
		cancel()
	}()
	if _, err := client.Call(ctx, "f", nil, WithID("a")); !errors.Is(err, context.Canceled) || !errors.Is(<-x.ends, ErrDetached) {
		t.Fatalf("got %v", err)
	}
	go func() {
		conn.want("detach")
		conn.want("request")
		conn.send(refusal("b", "request", "FORBIDDEN", false, ""))
	}()
	if _, err := client.Submit(patient(t), "f", nil, WithID("b")); !errors.Is(err, ErrForbidden) || !errors.Is(<-x.ends, ErrForbidden) {
		t.Fatalf("got %v", err)
	}
	go func() {
		conn.want("request")
		conn.send(acknowledgment("c"))
	}()
	if _, err := client.Submit(patient(t), "f", nil, WithID("c")); err != nil {
		t.Fatal(err)
	}
	_ = client.Close()
	var closed *CloseError
	if !errors.As(<-x.ends, &closed) {
		t.Fatal("the end of the client did not end the trace")
	}
}

// clause: 9.9.1
func TestATraceFunctionBreaksNothing(t *testing.T) {
	s := newTestServer(t)
	n := 0
	client := s.connect(WithTrace(func(context.Context, string, string) (string, func(error)) {
		n++
		switch n {
		case 1:
			panic("of the application")
		case 2:
			return strings.Repeat("x", 300), nil
		}
		return "", func(error) { panic("of the application") }
	}))
	conn := s.welcome()
	for i := range 4 {
		id := fmt.Sprint(i)
		go func() {
			if m := conn.want("request", "id", id); m["traceparent"] != nil {
				t.Errorf("sent %v", m)
			}
			conn.send(acknowledgment(id), complete(id, 2))
		}()
		if _, err := client.Call(patient(t), "f", nil, WithID(id)); err != nil {
			t.Fatal(err)
		}
	}
}
