// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"log/slog"
	"sync"
)

// maxCalls bounds the calls that wait for an application that is busy with one.
const maxCalls = 1000

// dispatcher calls the application's functions, one after the other, in a goroutine of its own.
type dispatcher struct {
	logger *slog.Logger
	done   chan struct{}

	mu    sync.Mutex // protects what follows
	calls []func()
	ended bool
	wake  *sync.Cond
}

func newDispatcher(logger *slog.Logger) *dispatcher {
	d := &dispatcher{logger: logger, done: make(chan struct{})}
	d.wake = sync.NewCond(&d.mu)
	return d
}

// add calls f behind those that wait; over maxCalls the oldest is left out.
func (d *dispatcher) add(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, f)
	if len(d.calls) > maxCalls {
		d.calls = d.calls[1:]
	}
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
		f := d.calls[0]
		d.calls = d.calls[1:]
		d.mu.Unlock()
		callSafely(d.logger, f)
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
