// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"math"
	"strconv"
)

// Numbers.

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
