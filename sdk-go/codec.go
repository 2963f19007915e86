// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math"
	"time"

	"github.com/longcall/longcall/sdk-go/internal/wire"
)

// longest bounds every duration that comes from the wire, so that adding two never overflows.
const longest = time.Duration(math.MaxInt64 / 4)

// millis returns a duration of the wire.
func millis(n int64) time.Duration {
	if n > int64(longest/time.Millisecond) {
		return longest
	}
	return time.Duration(n) * time.Millisecond
}

// encode returns the text of a message that this SDK made whole.
func encode(m wire.ClientMessage) []byte {
	text, err := wire.Encode(m)
	if err != nil {
		panic(err) // only a payload can fail, and encodeChecked has looked at it
	}
	return text
}

// encodeChecked returns the text of a message with parts of the application's making, or an *Error that
// names the place of what must not be sent (PROTOCOL 2.3).
func encodeChecked(m wire.ClientMessage, requestID string) ([]byte, error) {
	text, err := wire.Encode(m)
	if err != nil {
		return nil, invalid(requestID, "/payload", "it is not JSON")
	}
	if _, err := wire.DecodeClientMessage(text, wire.TrustedDepth); err != nil {
		var bad *wire.DecodeError
		if errors.As(err, &bad) {
			return nil, invalid(requestID, bad.Pointer, bad.Reason)
		}
		return nil, err
	}
	return text, nil
}

// checkRequestID returns an *Error unless id has the form of PROTOCOL 5.1.2.
func checkRequestID(id string) error {
	_, err := encodeChecked(&wire.DetachMessage{RequestID: id}, "")
	return err
}

// withResend returns the text of a request with resend: true (PROTOCOL 10.6). The text is our own compact
// JSON of an object that is never empty.
func withResend(text []byte) []byte {
	out := make([]byte, 0, len(text)+len(`,"resend":true`))
	out = append(out, text[:len(text)-1]...)
	return append(out, `,"resend":true}`...)
}

// marshalPayload returns the JSON of a payload, without HTML escapes; nil and a nil json.RawMessage are no payload.
func marshalPayload(payload any, requestID string) (json.RawMessage, error) {
	switch value := payload.(type) {
	case nil:
		return nil, nil
	case json.RawMessage:
		if value != nil && !json.Valid(value) {
			return nil, invalid(requestID, "/payload", "it is not JSON")
		}
		return value, nil
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(payload); err != nil {
		return nil, invalid(requestID, "/payload", err.Error())
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// CanonicalJSON returns the canonical form (RFC 8785) of a JSON text: sorted keys, no spaces, numbers as
// JavaScript writes them. Two values are equal exactly when theirs are.
func CanonicalJSON(text json.RawMessage) (json.RawMessage, error) { return wire.Canonical(text) }

// digest stands for an action and a payload: equal where their canonical forms are (PROTOCOL 10.23).
func digest(action string, payload json.RawMessage) [sha256.Size]byte {
	if payload == nil {
		payload = json.RawMessage("null")
	}
	text, _ := wire.Canonical(payload) // it was checked
	return sha256.Sum256(append([]byte(action+" "), text...))
}

const timestampLayout = "2006-01-02T15:04:05.000Z"

// parseTimestamp returns a time of the wire; the schema let days pass that do not exist.
func parseTimestamp(text string) (time.Time, error) {
	var leap time.Duration
	if len(text) == len(timestampLayout) && text[17:19] == "60" { // a leap second, which time does not know
		text, leap = text[:17]+"59"+text[19:], time.Second
	}
	t, err := time.Parse(timestampLayout, text)
	if err != nil {
		return time.Time{}, &wire.DecodeError{Reason: "a time that does not exist"}
	}
	return t.Add(leap), nil
}
