// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"unicode/utf8"
)

// Message is any message of the protocol, of either side.
type Message interface {
	// MessageType returns the type as it stands on the wire.
	MessageType() string
	// tagged returns the message with its type as the first member, ready to marshal.
	tagged() any
}

// UnknownMessage stands for a message whose type this version does not know: ignored but for its
// number (PROTOCOL 2.5.4).
type UnknownMessage struct {
	// Type is the type as it stands on the wire.
	Type string `json:"type"`
	// RequestID is the request that it names, "" where it names none.
	RequestID string `json:"request_id,omitzero"`
	// Seq is its number in the log of that request, 0 where it has none.
	Seq int64 `json:"seq,omitzero"`
}

// MessageType returns the type as it stands on the wire.
func (m *UnknownMessage) MessageType() string { return m.Type }
func (m *UnknownMessage) tagged() any         { return m }
func (*UnknownMessage) clientMessage()        {}
func (*UnknownMessage) serverMessage()        {}

// decode takes the two members only where they have the form of known ones: nothing else is promised.
func (m *UnknownMessage) decode(s *scanner) error {
	return s.object(func(key string) error {
		start := *s
		switch key {
		case "request_id":
			if id, err := s.limited(1, 128, requestIdPattern); err == nil {
				m.RequestID = id
				return nil
			}
		case "seq":
			if seq, err := s.integer(1, maxInteger); err == nil {
				m.Seq = seq
				return nil
			}
		}
		*s = start
		return s.skip()
	})
}

// Encode returns the text of a message. Characters such as < and & are written as they are.
func Encode(m Message) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(m.tagged()); err != nil {
		return nil, fmt.Errorf("longcall: encode %s: %w", m.MessageType(), err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// messageType finds the type of the object that the scanner stands before, and stays there. Where the
// type comes first, as every sender writes it, nothing behind it is read yet.
func messageType(s *scanner) (string, error) {
	start := *s
	defer func() { *s = start }()
	if s.peek() != '{' {
		return "", bad("must be an object")
	}
	if name, ok := firstMember(s); ok {
		return name, nil
	}
	*s = start
	name, found := "", false
	err := s.object(func(key string) (err error) {
		if key != "type" {
			return s.skip()
		}
		found = true
		name, err = s.name()
		return err
	})
	if err == nil {
		err = s.end()
	}
	if err == nil && !found {
		err = at("type", bad("is required"))
	}
	return name, err
}

// firstMember reads the type where it is the first member of the object.
func firstMember(s *scanner) (string, bool) {
	s.pos++
	if s.peek() != '"' {
		return "", false
	}
	key, err := s.key()
	if err != nil || key != "type" || s.peek() != '"' {
		return "", false
	}
	name, err := s.name()
	return name, err == nil
}

// constant reads a string that must be this one: an object with two types is refused.
func (s *scanner) constant(text string) error {
	got, err := s.name()
	if err == nil && got != text {
		err = bad("there are two types")
	}
	return err
}

// limited reads a string of min to max characters (max < 0: any number) that fits the pattern, if any.
func (s *scanner) limited(minimum, maximum int, pattern *regexp.Regexp) (string, error) {
	text, err := s.text()
	if err != nil {
		return "", err
	}
	return text, checkText(text, minimum, maximum, pattern)
}

func checkText(text string, minimum, maximum int, pattern *regexp.Regexp) error {
	if n := utf8.RuneCountInString(text); n < minimum {
		return bad("is too short")
	} else if maximum >= 0 && n > maximum {
		return bad("is too long")
	}
	if pattern != nil && !pattern.MatchString(text) {
		return bad("does not match " + pattern.String())
	}
	return nil
}

// textMap reads an object of strings.
func (s *scanner) textMap(maxKeys, maxKey, maxValue int) (map[string]string, error) {
	out := map[string]string{}
	err := s.object(func(key string) (err error) {
		if err := checkText(key, 0, maxKey, nil); err != nil {
			return err
		}
		out[key], err = s.limited(0, maxValue, nil)
		return err
	})
	if err == nil && len(out) > maxKeys {
		err = bad("has too many members")
	}
	return out, err
}

// list reads an array of minimum to maximum items (maximum < 0: any number).
func list[T any](s *scanner, minimum, maximum int, item func(*T) error) ([]T, error) {
	out := []T{}
	err := s.array(func() error {
		var value T
		if err := item(&value); err != nil {
			return err
		}
		out = append(out, value)
		return nil
	})
	if err == nil && (len(out) < minimum || maximum >= 0 && len(out) > maximum) {
		err = bad("has too few or too many items")
	}
	return out, err
}

// optional makes a value that may be absent.
func optional[T any](value T, err error) (*T, error) { return &value, err }

// required checks that each of the names was seen; bit i of seen stands for names[i].
func required(err error, seen uint32, names ...string) error {
	for i, name := range names {
		if err == nil && seen&(1<<i) == 0 {
			err = at(name, bad("is required"))
		}
	}
	return err
}
