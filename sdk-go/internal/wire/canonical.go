// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf16"
)

// Canonical returns the canonical form (RFC 8785) of a JSON text: two values are equal exactly when theirs are.
func Canonical(text []byte) ([]byte, error) {
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return nil, err
	}
	return appendCanonical(nil, value)
}

func appendCanonical(out []byte, value any) (_ []byte, err error) {
	switch v := value.(type) {
	case map[string]any:
		return appendObject(out, v)
	case []any:
		out = append(out, '[')
		for i, item := range v {
			if i > 0 {
				out = append(out, ',')
			}
			if out, err = appendCanonical(out, item); err != nil {
				return nil, err
			}
		}
		return append(out, ']'), nil
	case float64:
		return appendScalar(out, v+0) // -0 is written 0
	}
	return appendScalar(out, value)
}

func appendObject(out []byte, object map[string]any) (_ []byte, err error) {
	type member struct {
		name  string
		order []uint16 // by UTF-16, as ECMAScript sorts
	}
	members := make([]member, 0, len(object))
	for name := range object {
		members = append(members, member{name, utf16.Encode([]rune(name))})
	}
	slices.SortFunc(members, func(a, b member) int { return slices.Compare(a.order, b.order) })
	out = append(out, '{')
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = appendScalar(out, m.name); err != nil {
			return nil, err
		}
		out = append(out, ':')
		if out, err = appendCanonical(out, object[m.name]); err != nil {
			return nil, err
		}
	}
	return append(out, '}'), nil
}

// encoding/json writes numbers as ECMAScript does, and escapes two characters more than RFC 8785.
var fewerEscapes = strings.NewReplacer(`\\`, `\\`, `\u2028`, "\u2028", `\u2029`, "\u2029")

func appendScalar(out []byte, value any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	scalar := strings.TrimSuffix(text.String(), "\n")
	if strings.Contains(scalar, `\u202`) {
		scalar = fewerEscapes.Replace(scalar)
	}
	return append(out, scalar...), nil
}
