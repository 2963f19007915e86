// SPDX-License-Identifier: Apache-2.0

package longcall

import "time"

// backoff gives random waits between 0 and a bound that doubles: full jitter (PROTOCOL 9.4.2).
type backoff struct {
	initial, maximum time.Duration
	random           func() float64
	next             time.Duration
	before           time.Duration // the bound before the last startOver
}

func newBackoff(initial, maximum time.Duration, random func() float64) *backoff {
	return &backoff{initial: initial, maximum: maximum, random: random, next: initial, before: initial}
}

// wait returns how long to wait now, and doubles the bound for the next time.
func (b *backoff) wait() time.Duration {
	bound := b.next
	b.next = min(b.maximum, bound*2)
	return time.Duration(b.random() * float64(bound))
}

// startOver makes the next wait short again: a connection is ready (PROTOCOL 9.4.3).
func (b *backoff) startOver() { b.before, b.next = b.next, b.initial }

// takeBack makes waits grow as if that connection had not been: it broke the protocol (PROTOCOL 9.4.4).
func (b *backoff) takeBack() { b.next = b.before }
