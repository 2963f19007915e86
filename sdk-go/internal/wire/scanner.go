// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// TrustedDepth bounds the nesting of messages that no limit of a server is put to, so that no text can
// exhaust the stack.
const TrustedDepth = 512

// maxInteger is the largest integer that every language reads exactly (PROTOCOL 2: I-JSON).
const maxInteger = 1<<53 - 1

// DecodeError tells where a message is not what its schema says.
type DecodeError struct {
	// Pointer is the JSON Pointer (RFC 6901) of the offending place, "" for the whole text.
	Pointer string
	// Reason says what is wrong there, for people.
	Reason string
}

func (e *DecodeError) Error() string {
	if e.Pointer == "" {
		return "longcall: bad message: " + e.Reason
	}
	return "longcall: bad message at " + e.Pointer + ": " + e.Reason
}

func bad(reason string) error { return &DecodeError{Reason: reason} }

var escapePointer = strings.NewReplacer("~", "~0", "/", "~1")

// at puts a member's name or an item's index before the place that err names.
func at(segment string, err error) error {
	if e, ok := err.(*DecodeError); ok {
		e.Pointer = "/" + escapePointer.Replace(segment) + e.Pointer
	}
	return err
}

// scanner reads one JSON text from front to back, once. encoding/json is not used to decode: it
// matches keys without regard to case, takes null for anything, and would parse a payload twice.
type scanner struct {
	data     []byte
	pos      int
	depth    int
	maxDepth int
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the next significant byte, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) expect(c byte, reason string) error {
	if s.peek() != c {
		return bad(reason)
	}
	s.pos++
	return nil
}

// end checks that nothing but white space is left.
func (s *scanner) end() error {
	if s.space(); s.pos != len(s.data) {
		return bad("text goes on after the JSON value")
	}
	return nil
}

// enter opens an object or an array.
func (s *scanner) enter(open byte, reason string) error {
	if err := s.expect(open, reason); err != nil {
		return err
	}
	if s.depth++; s.depth > s.maxDepth {
		return bad("nested too deeply")
	}
	return nil
}

// more tells whether another member or item follows; first is true before the first one.
func (s *scanner) more(closing byte, first bool) (bool, error) {
	switch c := s.peek(); {
	case c == closing:
		s.pos++
		s.depth--
		return false, nil
	case first:
		return true, nil
	case c == ',':
		s.pos++
		return true, nil
	default:
		return false, bad("not JSON: a comma or a closing bracket is missing")
	}
}

// boolean reads true or false.
func (s *scanner) boolean() (bool, error) {
	switch {
	case s.word("true"):
		return true, nil
	case s.word("false"):
		return false, nil
	}
	return false, bad("must be true or false")
}

func (s *scanner) word(word string) bool {
	s.space()
	if bytes.HasPrefix(s.data[s.pos:], []byte(word)) {
		s.pos += len(word)
		return true
	}
	return false
}

// raw checks any value and returns its text, which shares the memory of the message.
func (s *scanner) raw() (json.RawMessage, error) {
	s.space()
	start := s.pos
	if err := s.skip(); err != nil {
		return nil, err
	}
	return json.RawMessage(s.data[start:s.pos:s.pos]), nil
}

// skip checks any value and passes over it.
func (s *scanner) skip() error {
	switch c := s.peek(); c {
	case '{':
		return s.skipObject()
	case '[':
		return s.array(s.skip)
	case '"':
		return s.skipText()
	case 't', 'f':
		_, err := s.boolean()
		return err
	case 'n':
		if s.word("null") {
			return nil
		}
	}
	_, _, err := s.number()
	return err
}

// skipObject looks at the name of a member only where its value is bad.
func (s *scanner) skipObject() error {
	if err := s.enter('{', "must be an object"); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := s.more('}', first)
		if err != nil || !more {
			return err
		}
		if s.peek() != '"' {
			return bad("not JSON: a member has no name")
		}
		name := scanner{data: s.data, pos: s.pos}
		if err := s.skipText(); err != nil {
			return err
		}
		if err := s.expect(':', "not JSON: a colon is missing"); err != nil {
			return err
		}
		if err := s.skip(); err != nil {
			key, _ := name.text()
			return at(key, err)
		}
	}
}

// object calls member for each member; member reads the value.
func (s *scanner) object(member func(key string) error) error {
	if err := s.enter('{', "must be an object"); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := s.more('}', first)
		if err != nil || !more {
			return err
		}
		key, err := s.key()
		if err != nil {
			return err
		}
		if err := member(key); err != nil {
			return at(key, err)
		}
	}
}

// array calls item for each item; item reads the value.
func (s *scanner) array(item func() error) error {
	if err := s.enter('[', "must be an array"); err != nil {
		return err
	}
	for i := 0; ; i++ {
		more, err := s.more(']', i == 0)
		if err != nil || !more {
			return err
		}
		if err := item(); err != nil {
			return at(strconv.Itoa(i), err)
		}
	}
}
