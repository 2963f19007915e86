// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestAnAddressOrOptionThatCannotBeUsedIsAConfigurationError(t *testing.T) {
	connect := func(address string, options ...Option) error {
		client, err := Connect(context.Background(), address, options...)
		if err == nil {
			_ = client.Close()
		}
		return err
	}
	const good = "ws://127.0.0.1:1"
	for name, err := range map[string]error{
		"scheme":   connect("http://host/v1/connect"),
		"host":     connect("ws:///v1/connect"),
		"fragment": connect("ws://host/v1/connect#a"),
		"syntax":   connect("ws://host:port"),
		"token":    connect(good, WithToken("")),
		"function": connect(good, WithToken(TokenFunc(nil))),
		"backoff":  connect(good, WithBackoff(-1, time.Second)),
		"timeouts": connect(good, WithTimeouts(time.Second, -1)),
		"queue":    connect(good, WithQueueLimits(-1, 1)),
		"iterator": connect(good, WithIteratorLimits(1, -1)),
		"name":     connect(good, WithApplicationName(strings.Repeat("a", 128))),
	} {
		var bad *ConfigurationError
		if !errors.As(err, &bad) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := connect(good, WithToken(strings.Repeat("s", maxTokenBytes+1))); strings.Contains(err.Error(), "sss") {
		t.Errorf("the token is quoted: %v", err)
	}
}

func TestTheZeroValueOfAnOptionLeavesItsDefault(t *testing.T) {
	c, want := defaultConfig(), defaultConfig()
	for _, option := range []Option{
		WithTimeouts(0, 0), WithBackoff(0, 0), WithQueueLimits(0, 0), WithIteratorLimits(0, 0), WithHTTPClient(nil),
		WithLogger(nil), WithRandom(nil), WithClock(nil), WithStateFunc(nil), WithAnnouncementFunc(nil), WithTrace(nil),
		WithApplicationName(""),
	} {
		option(c)
	}
	if c.random == nil || c.clock == nil || c.logger == nil {
		t.Fatalf("got %+v", c)
	}
	c.random, c.clock, c.logger = nil, nil, nil
	want.random, want.clock, want.logger = nil, nil, nil
	if !reflect.DeepEqual(c, want) {
		t.Fatalf("got %+v, not %+v", c, want)
	}
	var settings requestSettings
	for _, option := range []RequestOption{WithID(""), WithDeadline(0), WithDelay(0), WithMetadata(nil), WithCallbackURL(""), WithTraceparent("")} {
		option(&settings)
	}
	if !reflect.DeepEqual(settings, requestSettings{}) {
		t.Fatalf("got %+v", settings)
	}
	var watching callSettings
	action := NewAction[any, any, any]("f")
	for _, option := range []CallOption{OnProgress(nil), OnStatus(nil), OnChunk(func(Chunk) {}), action.OnChunk(nil),
		action.OnChunk(func(TypedChunk[any]) {}), OnChunk(nil)} {
		option.applyToCall(&watching)
	}
	if watching.watches() {
		t.Fatalf("a nil function watches: %+v", watching)
	}
}

func TestTheEndOfAContextIsFoundByItsErrorAndByItsCause(t *testing.T) {
	leaving := errors.New("the user has left")
	cancelled, cancel := context.WithCancelCause(context.Background())
	cancel(leaving)
	late, stop := context.WithTimeoutCause(context.Background(), 0, leaving)
	defer stop()
	plain, end := context.WithCancel(context.Background())
	end()
	s := newTestServer(t)
	client := s.connect()
	s.welcome()
	for _, sample := range []struct {
		ctx  context.Context
		want []error
	}{
		{cancelled, []error{leaving, context.Canceled}},
		{late, []error{leaving, context.DeadlineExceeded}},
		{plain, []error{context.Canceled}},
	} {
		_, failed := client.Call(sample.ctx, "f", nil)
		_, refused := Connect(sample.ctx, "ws://127.0.0.1:1")
		for _, want := range sample.want {
			if !errors.Is(failed, want) || !errors.Is(refused, want) {
				t.Errorf("%v, %v: neither may lack %v", failed, refused, want)
			}
		}
	}
}

func TestAContextThatHasEndedConnectsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Connect(ctx, "ws://127.0.0.1:1"); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestThePathIsPutWhereItLacks(t *testing.T) {
	for address, want := range map[string]string{
		"ws://host":                          "ws://host/v1/connect http://host",
		"wss://host/":                        "wss://host/v1/connect https://host",
		"wss://host:8/proxy/v1/connect?a=b":  "wss://host:8/proxy/v1/connect?a=b https://host:8/proxy",
		"ws://[::1]:8765/v1/connect":         "ws://[::1]:8765/v1/connect http://[::1]:8765",
		"wss://host/somewhere/else/connects": "wss://host/somewhere/else/connects https://host",
	} {
		u, err := checkedURL(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := u.String() + " " + httpBase(u).String(); got != want {
			t.Errorf("%s became %s", address, got)
		}
	}
}

func TestTheClockCountsSleepAndNeverGoesBack(t *testing.T) {
	start := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	now := start // without a monotonic part: every step is one of the wall clock
	clock := newSystemClock(func() time.Time { return now })
	now = start.Add(8 * 24 * time.Hour)
	if got := clock.Now(); got != 8*24*time.Hour {
		t.Fatalf("got %v", got)
	}
	now = start
	if got := clock.Now(); got != 8*24*time.Hour {
		t.Fatalf("it went back to %v", got)
	}
}

// clause: 9.4.2, 9.4.3, 9.4.4
func TestBackoffIsARandomPartOfADoublingBound(t *testing.T) {
	random := 1.0
	b := newBackoff(time.Second, 5*time.Second, func() float64 { return random })
	var got []time.Duration
	for _, random = range []float64{1, 0.5, 1, 1, 0} {
		got = append(got, b.wait())
	}
	if want := []time.Duration{1e9, 1e9, 4e9, 5e9, 0}; !equal(got, want) {
		t.Fatalf("got %v", got)
	}
	b.startOver()
	random = 1
	if first := b.wait(); first != time.Second {
		t.Fatalf("got %v", first)
	}
	b.takeBack()
	if again := b.wait(); again != 5*time.Second {
		t.Fatalf("got %v", again)
	}
}

func equal[T comparable](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// clause: 5.1.3
func TestAnIdIsAUUIDv7OfItsTime(t *testing.T) {
	entropy := [10]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	if got := uuid7(0x0123456789ab, entropy); got != "01234567-89ab-7fff-bfff-ffffffffffff" {
		t.Fatalf("got %s", got)
	}
	first, second := newRequestID(), newRequestID()
	if first == second || checkRequestID(first) != nil {
		t.Fatalf("got %s and %s", first, second)
	}
}

func TestRetryAfterInSecondsIsRead(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "Mon, 23 Nov 2026 18:40:00 GMT": 0, "99999999999999999": time.Hour,
	} {
		if got := retryAfter(value); got != want {
			t.Errorf("%q: got %v", value, got)
		}
	}
}

func TestAFailedDialDoesNotShowItsAddress(t *testing.T) {
	err := &url.Error{Op: "Get", URL: "http://host/?access_token=secret", Err: errors.New("refused")}
	if failure := toOpenFailure(nil, err); failure.reason != "refused" {
		t.Fatalf("got %s", failure.reason)
	}
}

func TestStatesAndErrorsMarshalWithTheNamesOfTheWire(t *testing.T) {
	for want, value := range map[string]any{
		`{"state":"ready","resumed":false}`:                                           State{Name: ConnectionReady, RetryIn: 1},
		`{"state":"reconnecting","retry_in_ms":1.5,"code":1012,"reason":"a restart"}`: State{Name: ConnectionReconnecting, RetryIn: 1500 * time.Microsecond, Code: 1012, Reason: "a restart"},
		`{"state":"closed"}`: State{Name: ConnectionClosed, Resumed: true},
		`{"code":"RATE_LIMITED","message":"m","retryable":true,"request_id":"a","attempt":1,"executed":false,"outcome_unknown":false,"origin":"server","retry_after_ms":1500}`: &Error{
			Code: CodeRateLimited, Message: "m", Retryable: true, RetryAfter: 1500 * time.Millisecond, RequestID: "a", Attempt: 1, Origin: OriginServer},
	} {
		if got, err := json.Marshal(value); err != nil || string(got) != want {
			t.Errorf("%s, %v\nnot %s", got, err, want)
		}
	}
}
