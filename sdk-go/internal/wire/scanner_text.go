// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Strings, and the names of members.

// key reads a member's name and its colon.
func (s *scanner) key() (string, error) {
	if s.peek() != '"' {
		return "", bad("not JSON: a member has no name")
	}
	name, err := s.name()
	if err != nil {
		return "", err
	}
	return name, s.expect(':', "not JSON: a colon is missing")
}

// name reads a string that is likely a word of the protocol: that costs no memory.
func (s *scanner) name() (string, error) {
	plain, err := s.plain()
	if err != nil || plain == nil {
		return s.slowText(err)
	}
	if word, ok := words[string(plain)]; ok {
		return word, nil
	}
	return string(plain), nil
}

// text reads a string value.
func (s *scanner) text() (string, error) {
	plain, err := s.plain()
	if err != nil || plain == nil {
		return s.slowText(err)
	}
	return string(plain), nil
}

// plain reads a string of ASCII without escapes, and returns what is between its quotes; nil, and nothing is read, for
// any other.
func (s *scanner) plain() ([]byte, error) {
	if s.peek() != '"' {
		return nil, bad("must be a string")
	}
	start := s.pos + 1
	for i := start; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == '"':
			s.pos = i + 1
			return s.data[start:i:i], nil
		case c == '\\' || c < ' ' || c >= utf8.RuneSelf:
			return nil, nil
		}
	}
	return nil, bad("not JSON: a string has no end")
}

// slowText reads a string that has escapes or characters beyond ASCII, unless plain has failed.
func (s *scanner) slowText(failed error) (string, error) {
	if failed != nil {
		return "", failed
	}
	out := make([]byte, 0, 64)
	for i := s.pos + 1; i < len(s.data); {
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

// skipText checks a string value and passes over it.
func (s *scanner) skipText() error {
	plain, err := s.plain()
	if err == nil && plain == nil {
		_, err = s.slowText(nil)
	}
	return err
}
