// SPDX-License-Identifier: Apache-2.0

package longcall

import "time"

// tokenBucket says when a message may be sent: a burst, then so many a minute (PROTOCOL 9.6.1). It holds
// only half of the burst that the server allows: messages that the network held up arrive together, and
// then count at once.
type tokenBucket struct {
	capacity float64
	rate     float64 // tokens a second
	tokens   float64
	filledAt time.Duration
}

func newTokenBucket(burst, perMinute int64, now time.Duration) *tokenBucket {
	capacity := float64(burst/2 + burst%2)
	return &tokenBucket{capacity: capacity, rate: float64(perMinute) / 60, tokens: capacity, filledAt: now}
}

// take takes a token if there is one.
func (b *tokenBucket) take(now time.Duration) bool {
	b.fill(now)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// giveBack returns a token that was taken for nothing.
func (b *tokenBucket) giveBack() { b.tokens++ }

// force takes a token that must be taken; what is owed is waited for later.
func (b *tokenBucket) force(now time.Duration) {
	b.fill(now)
	b.tokens--
}

// readyAt returns when the next token is there.
func (b *tokenBucket) readyAt(now time.Duration) time.Duration {
	b.fill(now)
	missing := max(0, 1-b.tokens) / b.rate * float64(time.Second)
	// Never a hair too early: a timer that fires just before would fire for ever.
	return now + time.Duration(missing) + time.Millisecond
}

func (b *tokenBucket) fill(now time.Duration) {
	gained := max(0, now-b.filledAt).Seconds() * b.rate
	b.tokens = min(b.capacity, b.tokens+gained)
	b.filledAt = now
}

// heartbeatGrace is how late a sign of life may be (PROTOCOL 6.7.6).
const heartbeatGrace = 10 * time.Second

// heartbeat knows when to ping and when the peer is dead (PROTOCOL 6.7).
type heartbeat struct {
	interval time.Duration
	heardAt  time.Duration
	pings    bool
	pingAt   time.Duration
}

func newHeartbeat(interval time.Duration, pings bool, now time.Duration) *heartbeat {
	return &heartbeat{interval: interval, heardAt: now, pings: pings, pingAt: now + interval}
}

func (h *heartbeat) heard(now time.Duration)       { h.heardAt = now }
func (h *heartbeat) deadAt() time.Duration         { return h.heardAt + h.interval + heartbeatGrace }
func (h *heartbeat) isDead(now time.Duration) bool { return now >= h.deadAt() }

// takePing is true once an interval, when this side pings (PROTOCOL 6.7.3).
func (h *heartbeat) takePing(now time.Duration) bool {
	if !h.pings || now < h.pingAt {
		return false
	}
	h.pingAt = now + h.interval
	return true
}

func (h *heartbeat) nextTimeout() time.Duration {
	if h.pings {
		return min(h.deadAt(), h.pingAt)
	}
	return h.deadAt()
}
