// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// seed gives a fuzzer every vector of a direction, and what is near a limit.
func seed(f *testing.F, direction string) {
	for _, v := range vectors(f) {
		if v.Direction == direction {
			f.Add([]byte(v.Text))
		}
	}
	f.Add([]byte(`{"type":"chunk","request_id":"a","seq":2,"attempt":1,"data":{"é":["\ud83d\ude00",1e3,null]}}`))
	f.Add([]byte(`{"seq":1,"type":"hint"}`))
}

func FuzzDecodeServerMessage(f *testing.F) {
	seed(f, "server")
	f.Fuzz(func(t *testing.T, text []byte) {
		check(t, text, func(text []byte) (Message, error) { return DecodeServerMessage(text) })
	})
}

func FuzzDecodeClientMessage(f *testing.F) {
	seed(f, "client")
	f.Fuzz(func(t *testing.T, text []byte) {
		check(t, text, func(text []byte) (Message, error) { return DecodeClientMessage(text, 64) })
	})
}

// check holds a decoder to a second reading, that of encoding/json: what is taken is JSON, and what is written of it
// says the same in every member that is written; what is said to be no JSON is none.
func check(t *testing.T, text []byte, decode func([]byte) (Message, error)) {
	message, err := decode(text)
	if err != nil {
		if reason := err.Error(); strings.Contains(reason, "not JSON") && json.Valid(text) && utf8.Valid(text) {
			t.Fatalf("%q is JSON, and was refused: %v", text, err)
		}
		return
	}
	if !json.Valid(text) || !utf8.Valid(text) {
		t.Fatalf("%q is no JSON, and was taken", text)
	}
	again, err := Encode(message)
	if err != nil {
		t.Fatalf("%q was read, and cannot be written: %v", text, err)
	}
	second, err := decode(again)
	if err != nil {
		t.Fatalf("%q became %q, which is refused: %v", text, again, err)
	}
	if third, err := Encode(second); err != nil || !bytes.Equal(again, third) {
		t.Fatalf("%q became %q, and that %q: %v", text, again, third, err)
	}
	if _, unknown := message.(*UnknownMessage); unknown {
		return
	}
	var read, written map[string]json.RawMessage
	if json.Unmarshal(text, &read) != nil || json.Unmarshal(again, &written) != nil {
		t.Fatalf("%q or %q is no object", text, again)
	}
	for name := range written {
		if _, ok := read[name]; !ok {
			t.Fatalf("%q became %q: where is %q from?", text, again, name)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	f.Add([]byte(`{"b":[1.0,-0,1e21,"\u2028"],"a":null,"\ud83d\ude00":true}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		once, err := Canonical(text)
		if err != nil {
			return
		}
		twice, err := Canonical(once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%q became %q, and that %q: %v", text, once, twice, err)
		}
	})
}
