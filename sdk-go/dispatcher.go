// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"log/slog"
	"slices"
	"sync"
)

// maxCalls bounds the calls that wait for an application that is busy with one.
const maxCalls = 1000

// dispatcher calls the application's functions, one after the other, in a goroutine of its own.
type dispatcher struct {
	logger *slog.Logger
	done   chan struct{}

	mu       sync.Mutex // protects what follows
	calls    []call
	optional int // of calls
	ended    bool
	wake     *sync.Cond
}

// call is a call that waits.
type call struct {
	f        func()
	optional bool
}

func newDispatcher(logger *slog.Logger) *dispatcher {
	d := &dispatcher{logger: logger, done: make(chan struct{})}
	d.wake = sync.NewCond(&d.mu)
	return d
}

// add calls f behind those that wait; of those that add has brought more than maxCalls, the oldest is left out.
func (d *dispatcher) add(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, call{f, true})
	if d.optional++; d.optional > maxCalls {
		d.optional--
		oldest := slices.IndexFunc(d.calls, func(c call) bool { return c.optional })
		d.calls = slices.Delete(d.calls, oldest, oldest+1)
	}
	d.wake.Signal()
}

// mustAdd calls f behind those that wait; it is never left out. There is one for each request at most.
func (d *dispatcher) mustAdd(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, call{f: f})
	d.wake.Signal()
}

// end lets run end when all calls are made.
func (d *dispatcher) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	d.wake.Signal()
}

func (d *dispatcher) run() {
	defer close(d.done)
	for {
		d.mu.Lock()
		for len(d.calls) == 0 && !d.ended {
			d.wake.Wait()
		}
		if len(d.calls) == 0 {
			d.mu.Unlock()
			return
		}
		next := d.calls[0]
		d.calls = d.calls[1:]
		if next.optional {
			d.optional--
		}
		d.mu.Unlock()
		callSafely(d.logger, next.f)
	}
}

// callSafely calls the application; a panic is logged and goes no further (PROTOCOL 9.9.1).
func callSafely(logger *slog.Logger, f func()) {
	defer func() {
		if problem := recover(); problem != nil {
			logger.Error("a callback of the application panicked", "panic", problem)
		}
	}()
	f()
}
