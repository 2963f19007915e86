// SPDX-License-Identifier: Apache-2.0

package longcall

import "time"

// Clock is the time of a client: it tells it, and wakes the client. That of longcalltest stands still until a test
// advances it.
type Clock interface {
	// Now returns the time since any moment; it never goes back. One goroutine at a time calls it.
	Now() time.Duration
	// AfterFunc calls f, which does not block, once this time has passed, in any goroutine; at once if it is 0.
	// stop forgets it, and may come too late. One that comes too early does no harm.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// systemClock never goes back and counts the sleep of the machine: a laptop that slept for a week must know that its
// unanswered request is old (PROTOCOL 10.31). Go's monotonic clock stands still meanwhile, and shows it by a wall
// clock that has run ahead.
type systemClock struct {
	time    func() time.Time
	elapsed time.Duration
	last    time.Time
}

func newSystemClock(now func() time.Time) *systemClock {
	return &systemClock{time: now, last: now()}
}

func (c *systemClock) Now() time.Duration {
	const asleep = 5 * time.Second // less is a correction of the wall clock
	t := c.time()
	step := max(0, t.Sub(c.last))
	if wall := t.Round(0).Sub(c.last.Round(0)); wall-step > asleep {
		step = wall
	}
	c.last = t
	c.elapsed += step
	return c.elapsed
}

func (c *systemClock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	return time.AfterFunc(d, f).Stop
}

// alarm sets one timer of a clock at a time.
type alarm struct {
	clock Clock
	fired chan struct{} // holds one
	stop  func() bool   // nil while nothing is set
	due   time.Duration
}

func newAlarm(clock Clock) *alarm { return &alarm{clock: clock, fired: make(chan struct{}, 1)} }

// set lets fired receive at the latest when due; false: there is nothing to wait for.
func (a *alarm) set(due time.Duration, ok bool) {
	if ok && a.stop != nil && a.due == due {
		return
	}
	if a.stop != nil {
		a.stop()
		a.stop = nil
	}
	if ok {
		a.due = due
		a.stop = a.clock.AfterFunc(max(0, due-a.clock.Now()), func() {
			select {
			case a.fired <- struct{}{}:
			default:
			}
		})
	}
}
