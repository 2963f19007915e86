// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
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

// key reads a member's name and its colon.
func (s *scanner) key() (string, error) {
	if s.peek() != '"' {
		return "", bad("not JSON: a member has no name")
	}
	name, err := s.text()
	if err != nil {
		return "", err
	}
	return name, s.expect(':', "not JSON: a colon is missing")
}

// text reads a string value.
func (s *scanner) text() (string, error) {
	if s.peek() != '"' {
		return "", bad("must be a string")
	}
	start := s.pos + 1
	for i := start; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == '"':
			s.pos = i + 1
			return string(s.data[start:i]), nil
		case c == '\\' || c < ' ' || c >= utf8.RuneSelf:
			return s.slowText(start)
		}
	}
	return "", bad("not JSON: a string has no end")
}

// slowText reads a string that has escapes or characters beyond ASCII.
func (s *scanner) slowText(start int) (string, error) {
	out := make([]byte, 0, 64)
	for i := start; i < len(s.data); {
		switch c := s.data[i]; {
		case c == '"':
			s.pos = i + 1
			return string(out), nil
		case c < ' ':
			return "", bad("not JSON: a control character in a string")
		case c == '\\':
			r, width, err := unescape(s.data[i:])
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
			i += width
		default:
			r, width := utf8.DecodeRune(s.data[i:])
			if r == utf8.RuneError && width == 1 {
				return "", bad("not UTF-8")
			}
			out = append(out, s.data[i:i+width]...)
			i += width
		}
	}
	return "", bad("not JSON: a string has no end")
}

var shortEscapes = map[byte]rune{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// unescape reads one escape sequence and returns its character and its length in bytes.
func unescape(data []byte) (rune, int, error) {
	if len(data) < 2 {
		return 0, 0, bad("not JSON: an escape has no end")
	}
	if r, ok := shortEscapes[data[1]]; ok {
		return r, 2, nil
	}
	high, ok := hex4(data)
	if !ok {
		return 0, 0, bad("not JSON: an escape that is none")
	}
	if !utf16.IsSurrogate(high) {
		return high, 6, nil
	}
	low, ok := hex4(data[6:])
	if pair := utf16.DecodeRune(high, low); ok && pair != utf8.RuneError {
		return pair, 12, nil
	}
	return 0, 0, bad("a lone surrogate")
}

// hex4 reads a \uXXXX.
func hex4(data []byte) (rune, bool) {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	return rune(n), err == nil
}

// number reads a number's text and checks its grammar and range.
func (s *scanner) number() (text []byte, integer bool, err error) {
	s.space()
	start, i := s.pos, s.pos
	digits := func() bool {
		from := i
		for i < len(s.data) && s.data[i] >= '0' && s.data[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(s.data) && s.data[i] == '-' {
		i++
	}
	whole := i
	if !digits() || (s.data[whole] == '0' && i > whole+1) {
		return nil, false, bad("not JSON: no value")
	}
	integer = true
	if i < len(s.data) && s.data[i] == '.' {
		i++
		if integer = false; !digits() {
			return nil, false, bad("not JSON: a number ends with its point")
		}
	}
	if i < len(s.data) && (s.data[i] == 'e' || s.data[i] == 'E') {
		if i++; i < len(s.data) && (s.data[i] == '+' || s.data[i] == '-') {
			i++
		}
		if integer = false; !digits() {
			return nil, false, bad("not JSON: a number ends with its exponent")
		}
	}
	text, s.pos = s.data[start:i], i
	return text, integer, checkRange(text, integer)
}

// checkRange keeps to I-JSON: integers that every reader holds exactly, doubles that do not overflow.
func checkRange(text []byte, integer bool) error {
	if len(text) < 16 && (integer || !bytes.ContainsAny(text, "eE")) {
		return nil
	}
	if integer {
		if n, err := strconv.ParseInt(string(text), 10, 64); err != nil || n > maxInteger || n < -maxInteger {
			return bad("an integer beyond ±(2^53 − 1)")
		}
	} else if f, err := strconv.ParseFloat(string(text), 64); err != nil || math.IsInf(f, 0) {
		return bad("a number that a double cannot hold")
	}
	return nil
}

// integer reads an integer within bounds.
func (s *scanner) integer(low, high int64) (int64, error) {
	if c := s.peek(); c != '-' && (c < '0' || c > '9') {
		return 0, bad("must be an integer")
	}
	text, integer, err := s.number()
	if err != nil {
		return 0, err
	}
	if !integer {
		return 0, bad("must be an integer")
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n < low || n > high {
		return 0, bad("must be from " + strconv.FormatInt(low, 10) + " to " + strconv.FormatInt(high, 10))
	}
	return n, nil
}

// float reads a number within bounds.
func (s *scanner) float(low, high float64) (float64, error) {
	if c := s.peek(); c != '-' && (c < '0' || c > '9') {
		return 0, bad("must be a number")
	}
	text, _, err := s.number()
	if err != nil {
		return 0, err
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || f < low || f > high {
		return 0, bad("out of bounds")
	}
	return f, nil
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
		return s.object(func(string) error { return s.skip() })
	case '[':
		return s.array(s.skip)
	case '"':
		_, err := s.text()
		return err
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
