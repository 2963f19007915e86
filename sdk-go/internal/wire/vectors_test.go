// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
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

func vectors(t *testing.T) []vector {
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
	if got := canonical(t, text); got != *v.Canonical {
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

// canonical returns the RFC 8785 form. encoding/json writes numbers as ECMAScript does; the order of keys and a
// few escapes are other.
func canonical(t *testing.T, text []byte) string {
	t.Helper()
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	var out bytes.Buffer
	writeCanonical(t, &out, value)
	return out.String()
}

func writeCanonical(t *testing.T, out *bytes.Buffer, value any) {
	switch v := value.(type) {
	case map[string]any:
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, key)
		}
		slices.SortFunc(keys, func(a, b string) int {
			return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		})
		out.WriteByte('{')
		for i, key := range keys {
			if i > 0 {
				out.WriteByte(',')
			}
			writeCanonical(t, out, key)
			out.WriteByte(':')
			writeCanonical(t, out, v[key])
		}
		out.WriteByte('}')
	case []any:
		out.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				out.WriteByte(',')
			}
			writeCanonical(t, out, item)
		}
		out.WriteByte(']')
	case float64:
		writeScalar(t, out, v+0) // -0 is 0
	default:
		writeScalar(t, out, v)
	}
}

func writeScalar(t *testing.T, out *bytes.Buffer, value any) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		t.Fatal(err)
	}
	scalar := strings.TrimSuffix(text.String(), "\n")
	out.WriteString(strings.NewReplacer(`\\`, `\\`, `\u2028`, "\u2028", `\u2029`, "\u2029").Replace(scalar))
}
