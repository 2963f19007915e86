// SPDX-License-Identifier: Apache-2.0

package longcalltest

import (
	"slices"
	"sync"
	"time"
)

// settlePatience bounds the wait for what goes on between two steps of a clock; nothing comes near it.
const settlePatience = 10 * time.Second

// Clock is the time of a Server and of its clients: heartbeats, waits, deadlines, the life of tokens. It stands
// still until a test advances it. The patience of a context, and the time that opening and closing a socket may take,
// are real. It is safe for concurrent use.
type Clock struct {
	settle func()        // waits for what goes on; nil: for nothing
	step   time.Duration // the most that passes without settle

	mu     sync.Mutex // protects what follows
	now    time.Duration
	timers []*timer // by due
}

type timer struct {
	due time.Duration
	f   func()
}

// Now returns the time that has passed.
func (c *Clock) Now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc calls f once this time has passed, in the goroutine of Advance; at once, in one of its own, if it is 0.
func (c *Clock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	if d <= 0 {
		go f()
		return func() bool { return false }
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &timer{c.now + d, f}
	at, _ := slices.BinarySearchFunc(c.timers, t.due+1, func(t *timer, due time.Duration) int { return int(t.due - due) })
	c.timers = slices.Insert(c.timers, at, t)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		n := len(c.timers)
		c.timers = slices.DeleteFunc(c.timers, func(other *timer) bool { return other == t })
		return len(c.timers) < n
	}
}

// Advance lets time pass: what becomes due is called, each at its moment. Before the first and after each, all that
// was sent over open connections is awaited, and the server pings as often as a server does, so that no client thinks
// it dead.
func (c *Clock) Advance(d time.Duration) {
	end := c.Now() + d
	c.rest()
	for {
		for _, f := range c.move(end) {
			f()
		}
		c.rest()
		if c.Now() >= end {
			return
		}
	}
}

// move goes to the next moment until end, and takes what is due there.
func (c *Clock) move(end time.Duration) (due []func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := end
	if len(c.timers) > 0 {
		next = min(next, max(c.now, c.timers[0].due))
	}
	if c.step > 0 {
		next = min(next, c.now+c.step)
	}
	c.now = next
	for len(c.timers) > 0 && c.timers[0].due <= c.now {
		due = append(due, c.timers[0].f)
		c.timers = c.timers[1:]
	}
	return due
}

func (c *Clock) rest() {
	if c.settle != nil {
		c.settle()
	}
}
