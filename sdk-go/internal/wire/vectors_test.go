// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// vector is a text, and what a codec makes of it: schema/vectors/README.md.
type vector struct {
	Name      string  `json:"name"`
	Direction string  `json:"direction"`
	Text      string  `json:"text"`
	Valid     bool    `json:"valid"`
	Outcome   string  `json:"outcome"`
	Canonical *string `json:"canonical"`
	Error     *struct {
		Code    string  `json:"code"`
		Pointer *string `json:"pointer"`
	} `json:"error"`
}

// fewest guards against a folder that is not found, or lost files.
const fewest = 650

func vectors(t testing.TB) []vector {
	t.Helper()
	files, err := filepath.Glob("../../../schema/vectors/*.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var some []vector
		if err := json.Unmarshal(text, &some); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, some...)
	}
	if len(all) < fewest {
		t.Fatalf("only %d vectors are there", len(all))
	}
	return all
}

// decode reads a text as the other side of its sender would. A server's limit of depth is 64.
func decode(v vector) (Message, error) {
	if v.Direction == "server" {
		return DecodeServerMessage([]byte(v.Text))
	}
	return DecodeClientMessage([]byte(v.Text), 64)
}

// clause: 2.3.14, 2.5.1, 2.5.2, 2.5.7, 2.5.8
func TestEveryVectorIsReadAsItSays(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			message, err := decode(v)
			_, unknown := message.(*UnknownMessage)
			switch {
			case v.Outcome == "ignored":
				if err != nil || !unknown {
					t.Fatalf("%s is not ignored: %v, %v", v.Text, message, err)
				}
			case v.Outcome == "either" && (err != nil || !v.Valid):
			case v.Valid:
				checkAccepted(t, v, message, err)
			case v.Direction == "client" && unknown && err == nil:
				// What a server answers with UNSUPPORTED_TYPE.
			default:
				checkRefused(t, v, err)
			}
		})
	}
}

func checkAccepted(t *testing.T, v vector, message Message, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s is refused: %v", v.Text, err)
	}
	text, err := Encode(message)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Canonical(text)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != *v.Canonical {
		t.Fatalf("%s\nbecame %s\n   not %s", v.Text, got, *v.Canonical)
	}
}

func checkRefused(t *testing.T, v vector, err error) {
	t.Helper()
	var bad *DecodeError
	if !errors.As(err, &bad) {
		t.Fatalf("%s is not refused: %v", v.Text, err)
	}
	if v.Direction == "server" && v.Error.Pointer != nil && bad.Pointer != *v.Error.Pointer {
		t.Fatalf("%s: the defect is at %q, not %q", v.Text, bad.Pointer, *v.Error.Pointer)
	}
}
