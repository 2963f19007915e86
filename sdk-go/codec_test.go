// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/longcall/longcall/sdk-go/internal/wire"
)

func TestTimestampsAreReadWithLeapSecondsAndWithoutDaysThatDoNotExist(t *testing.T) {
	got, err := parseTimestamp("2016-12-31T23:59:60.500Z")
	if want := time.Date(2017, 1, 1, 0, 0, 0, 500_000_000, time.UTC); err != nil || !got.Equal(want) {
		t.Fatalf("got %v, %v", got, err)
	}
	if _, err := parseTimestamp("2026-02-30T00:00:00.000Z"); err == nil {
		t.Fatal("a day that does not exist is read")
	}
}

func TestAPayloadIsMarshalledWithoutHTMLEscapesAndRawJSONPasses(t *testing.T) {
	for want, payload := range map[string]any{
		`{"a":"<&>"}`: map[string]string{"a": "<&>"},
		`{ "a":1.0}`:  json.RawMessage(`{ "a":1.0}`),
		`null`:        json.RawMessage("null"),
		``:            nil,
	} {
		if got, err := marshalPayload(payload, "a"); err != nil || string(got) != want {
			t.Errorf("%v became %s, %v", payload, got, err)
		}
	}
}

// clause: 10.6.1
func TestResendIsAddedToTheTextOfARequest(t *testing.T) {
	text := encode(&wire.RequestMessage{ID: "a", Action: "f"})
	again := withResend(text)
	message, err := wire.DecodeClientMessage(again, 64)
	if err != nil || !*message.(*wire.RequestMessage).Resend || string(text) != `{"type":"request","id":"a","action":"f"}` {
		t.Fatalf("%s became %s, %v", text, again, err)
	}
}

func TestEqualCanonicalFormsAreTheSameRequest(t *testing.T) {
	base := digest("f", json.RawMessage(`{"a":[1,-0.0],"b":"é"}`))
	if digest("f", json.RawMessage(` {"b":"\u00e9","a":[1.0,0]}`)) != base {
		t.Error("equal payloads differ")
	}
	if digest("g", json.RawMessage(`{"a":[1,0],"b":"é"}`)) == base || digest("f", nil) == base {
		t.Error("other requests are equal")
	}
	if digest("f", nil) != digest("f", json.RawMessage("null")) {
		t.Error("an absent payload is not null")
	}
}

// clause: 7.1.4
func TestSentinelsMatchTheirCodeAlone(t *testing.T) {
	for code := range errorCodeRetryable {
		err := error(&Error{Code: code})
		for other, sentinel := range map[ErrorCode]error{
			CodeNotFound: ErrNotFound, CodeCancelled: ErrCancelled, CodeTimeout: ErrTimeout, CodeInternalError: ErrInternal,
		} {
			if errors.Is(err, sentinel) != (code == other) {
				t.Errorf("%s is %v: %v", code, sentinel, code != other)
			}
		}
	}
	if !errors.Is(&Error{Code: "OF_LATER"}, ErrInternal) {
		t.Error("an unknown code is no internal error")
	}
}

func TestErrorsSayWhatIsKnown(t *testing.T) {
	for want, err := range map[string]error{
		"longcall: CONFLICT: m (request a, attempt 2, outcome unknown)": &Error{
			Code: CodeConflict, Message: "m", RequestID: "a", Attempt: 2, OutcomeUnknown: true},
		"longcall: the client is closed (close code 4403): no":                            &CloseError{Code: 4403, Reason: "no"},
		"longcall: request a was not sent, and is withdrawn: gone":                        &WaitError{RequestID: "a", Err: errors.New("gone")},
		"longcall: request a is not finished, and goes on: gone":                          &WaitError{RequestID: "a", Sent: true, Err: errors.New("gone")},
		"longcall: download: it broke off: gone":                                          &DownloadError{Reason: "it broke off", Err: errors.New("gone")},
		"longcall: WithBackoff: a value is out of range":                                  &ConfigurationError{"WithBackoff: a value is out of range"},
		"longcall: NOT_FOUND: the request is gone, and its id was used again (request a)": otherIncarnation("a"),
	} {
		if got := err.Error(); got != want {
			t.Errorf("%s\nnot %s", got, want)
		}
	}
}

func TestWhatIsShownMarshalsWithTheNamesOfTheWire(t *testing.T) {
	text, err := json.Marshal(Progress{Attempt: 1, Version: 2, UpdatedAt: time.Unix(0, 0).UTC()})
	if err != nil || string(text) != `{"attempt":1,"version":2,"updated_at":"1970-01-01T00:00:00Z"}` {
		t.Fatalf("got %s, %v", text, err)
	}
}
