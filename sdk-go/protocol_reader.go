// SPDX-License-Identifier: Apache-2.0

package longcall

// readerLimits say how much one iterator may hold for an application that does not take it.
type readerLimits struct {
	maxEvents int
	maxBytes  int64
}

// passiveLimits say what is kept for the first iterator of a handle before it starts.
var passiveLimits = readerLimits{maxEvents: 64, maxBytes: 64 << 10}

// waitingEvent is an event that waits to be taken.
type waitingEvent struct {
	event Event
	size  int64
}

// eventReader is one iterator's place in the log of a request, and the events that wait there for it:
// events from number 1 on, each once and in order, as far as they have arrived.
//
// The log stands on the server, so little is kept here: a reader that holds as much as it may is
// stalled and takes no more, until the application has taken half of it. What it misses meanwhile is read
// again, after its position. So a slow application costs bounded memory, and holds up nobody else
// (PROTOCOL 6.4.4, 9.2).
type eventReader struct {
	position int64 // the number of the last event taken in
	passive  bool  // kept for the first iterator, before there is one
	err      error // what ended it before the terminal event
	changed  signal

	limits   readerLimits
	attempt  int64 // the one whose beginning was seen here
	finished bool
	stalled  bool
	queue    []*waitingEvent
	bytes    int64
	waiting  *waitingEvent // the progress in the queue, if any
	held     *Progress     // waits for the beginning of its attempt
	newest   [2]int64      // attempt and version of the newest progress
}

// isNewer orders progress (PROTOCOL 10.36).
func isNewer(p Progress, attempt, version int64) bool {
	return p.Attempt > attempt || p.Attempt == attempt && p.Version > version
}

// isReading is true for an iterator of the application that has not ended.
func (r *eventReader) isReading() bool { return !r.passive && !r.isOver() }

// isHungry is true while it takes what comes next.
func (r *eventReader) isHungry() bool { return !r.stalled && !r.isOver() }

// isOver is true when nothing more comes in; something may still wait in it.
func (r *eventReader) isOver() bool { return r.finished || r.err != nil }

// activate hands the passive reader to the first iterator.
func (r *eventReader) activate(limits readerLimits) { r.passive, r.limits = false, limits }

// offer takes the next event, nil for a message of unknown type. Others are left.
func (r *eventReader) offer(seq int64, event Event, size int64) {
	if !r.isHungry() || seq != r.position+1 {
		return
	}
	r.position = seq
	if status, ok := event.(Status); ok && status.Status == StatusProcessing {
		r.attempt = status.Attempt
	}
	if event != nil {
		r.push(&waitingEvent{event, size})
	}
}

// offerProgress takes progress that is newer than the newest; it waits for release.
func (r *eventReader) offerProgress(progress Progress) {
	if !r.isOver() && isNewer(progress, r.newest[0], r.newest[1]) {
		r.newest = [2]int64{progress.Attempt, progress.Version}
		r.held = &progress
	}
}

// release lets held progress out: its attempt has begun here, or nothing numbered comes before it.
func (r *eventReader) release(lastSeq int64) {
	if r.held == nil || r.held.Attempt > r.attempt && r.position < lastSeq {
		return
	}
	progress := *r.held
	r.held = nil
	if r.waiting != nil && r.waiting.event.(Progress).Attempt == progress.Attempt {
		r.waiting.event = progress // newest wins, in the place of the older
		return
	}
	r.waiting = &waitingEvent{event: progress}
	r.push(r.waiting)
}

// finish takes the terminal event, if it is the next; the last progress comes before it.
func (r *eventReader) finish(seq int64) {
	if r.isHungry() && seq == r.position+1 {
		r.release(0)
		r.position = seq
		r.end()
	}
}

// end ends it at the terminal event, or without one: a quick request has no log.
func (r *eventReader) end() {
	if !r.isOver() {
		r.finished = true
		r.changed.fire()
	}
}

// fail ends it with an error, behind what already waits.
func (r *eventReader) fail(err error) {
	if !r.isOver() {
		r.err = err
		r.changed.fire()
	}
}

// pop returns the next event; false if none waits.
func (r *eventReader) pop() (Event, bool) {
	if len(r.queue) == 0 {
		return nil, false
	}
	first := r.queue[0]
	r.queue[0] = nil
	r.queue = r.queue[1:]
	r.bytes -= first.size
	if first == r.waiting {
		r.waiting = nil
	}
	if r.stalled && len(r.queue) <= r.limits.maxEvents/2 && r.bytes <= r.limits.maxBytes/2 {
		r.stalled = false
	}
	return first.event, true
}

// clear forgets what waits; for a reader that nobody will read.
func (r *eventReader) clear() {
	r.queue, r.bytes, r.waiting, r.held = nil, 0, nil, nil
}

func (r *eventReader) push(event *waitingEvent) {
	r.queue = append(r.queue, event)
	r.bytes += event.size
	if len(r.queue) >= r.limits.maxEvents || r.bytes >= r.limits.maxBytes {
		r.stalled = true
	}
	r.changed.fire()
}
