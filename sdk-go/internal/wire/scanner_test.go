// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"strings"
	"testing"
)

func TestATypeThatDoesNotComeFirstIsFound(t *testing.T) {
	message, err := DecodeServerMessage([]byte(` {"nonce" : "1" , "type" : "ping"} `))
	if ping, ok := message.(*PingMessage); err != nil || !ok || *ping.Nonce != "1" {
		t.Fatalf("got %v, %v", message, err)
	}
}

func TestTwoDifferentTypesAreRefused(t *testing.T) {
	if _, err := DecodeServerMessage([]byte(`{"type":"ping","type":"pong"}`)); err == nil {
		t.Fatal("it is accepted")
	}
}

func TestAnUnknownMessageKeepsItsRequestAndNumber(t *testing.T) {
	message, err := DecodeServerMessage([]byte(`{"type":"hint","seq":5,"request_id":"a"}`))
	if err != nil || *message.(*UnknownMessage) != (UnknownMessage{"hint", "a", 5}) {
		t.Fatalf("got %v, %v", message, err)
	}
}

func TestMembersOfAnUnknownMessageThatHaveAnotherFormAreSkipped(t *testing.T) {
	message, err := DecodeServerMessage([]byte(`{"type":"hint","seq":"five","request_id":{"a":[1]}}`))
	if err != nil || *message.(*UnknownMessage) != (UnknownMessage{Type: "hint"}) {
		t.Fatalf("got %v, %v", message, err)
	}
}

func TestNestingWithoutEndIsRefusedAndNotRecursed(t *testing.T) {
	text := `{"type":"complete","request_id":"a","seq":2,"result":` + strings.Repeat("[", 1_000_000)
	if _, err := DecodeServerMessage([]byte(text)); err == nil || !strings.Contains(err.Error(), "deep") {
		t.Fatalf("got %v", err)
	}
}

func TestCharactersOfHTMLAreNotEscaped(t *testing.T) {
	reason := "a<b>&c"
	text, err := Encode(&CancelMessage{RequestID: "a", Reason: &reason})
	if err != nil || string(text) != `{"type":"cancel","request_id":"a","reason":"a<b>&c"}` {
		t.Fatalf("got %s, %v", text, err)
	}
}
