// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"cmp"
	"slices"
	"time"

	"github.com/longcall/longcall/sdk-go/internal/wire"
)

// pollInterval is the time between questions whether requests that nobody reads have ended; they are asked
// only while new requests wait for room in the window.
const pollInterval = 5 * time.Second

// sender sends what is due on the ready link, as far as the server's limits let it. It is no queue of
// frames: each is made from what is known when it goes. On a new connection the order is: requests sent
// again, cancels, attaches, lists, new requests (PROTOCOL 9.5, 9.6, 10.13).
type sender struct {
	*core
	end func(*tracked, error) // ends a request with an error that was found here

	// inFlight are the ids that may count as stored and unfinished on the server (PROTOCOL 9.6.2).
	inFlight     map[string]struct{}
	resends      []*tracked         // in the order of their first sending
	cancels      *ordered[*tracked] // whose cancels are to be sent
	attention    *ordered[*tracked] // to attach or detach, perhaps
	lists        *ordered[*listQuestion]
	waiting      *ordered[*tracked] // never sent
	waitingBytes int64
}

func newSender(c *core, end func(*tracked, error)) *sender {
	return &sender{
		core:      c,
		end:       end,
		inFlight:  map[string]struct{}{},
		cancels:   newOrdered[*tracked](),
		attention: newOrdered[*tracked](),
		lists:     newOrdered[*listQuestion](),
		waiting:   newOrdered[*tracked](),
	}
}

// What is to be sent.

// isMoving is true while attaches are still to be sent.
func (s *sender) isMoving() bool { return s.attention.len() > 0 }

// enqueue sends a new request when its turn comes.
func (s *sender) enqueue(t *tracked) {
	s.waiting.set(t.id, t)
	s.waitingBytes += t.size
}

// mark looks whether this request is read where it should be.
func (s *sender) mark(t *tracked) { s.attention.set(t.id, t) }

// cancel sends the cancels of this request.
func (s *sender) cancel(t *tracked) { s.cancels.set(t.id, t) }

func (s *sender) ask(q *listQuestion) { s.lists.set(q.id, q) }

// resend sends requests again, all in the order of their first sending (PROTOCOL 9.5.1).
func (s *sender) resend(requests ...*tracked) {
	for _, t := range requests {
		if !t.resending {
			t.resending = true
			s.resends = append(s.resends, t)
		}
	}
	slices.SortFunc(s.resends, func(a, b *tracked) int { return cmp.Compare(a.number, b.number) })
}

// forget sends nothing more for this request.
func (s *sender) forget(t *tracked) {
	if waiting, ok := s.waiting.get(t.id); ok && waiting == t {
		s.waiting.take(t.id)
		s.waitingBytes -= t.size
	}
	if t.resending {
		t.resending = false
		s.resends = slices.DeleteFunc(s.resends, func(other *tracked) bool { return other == t })
	}
	s.cancels.take(t.id)
	delete(s.inFlight, t.id)
}

// forgetAll sends nothing more at all, and returns the lists that were still to be asked.
func (s *sender) forgetAll() []*listQuestion {
	var lists []*listQuestion
	for _, q := range s.lists.all() {
		lists = append(lists, q)
	}
	s.resends, s.waitingBytes = nil, 0
	s.cancels.clear()
	s.attention.clear()
	s.lists.clear()
	s.waiting.clear()
	clear(s.inFlight)
	return lists
}

// Sending.

// sendNow sends a message that waits for no limit: ping, refresh.
func (s *sender) sendNow(l *link, m wire.ClientMessage, now time.Duration) {
	l.bucket.force(now)
	s.send(l, encode(m))
}

// pump sends all that may be sent now.
func (s *sender) pump(now time.Duration) {
	l := s.ready()
	if l == nil {
		return
	}
	for len(s.resends)+s.cancels.len()+s.attention.len()+s.lists.len()+s.waiting.len() > 0 {
		if !l.bucket.take(now) {
			s.timers.set(bucketTimer, l.bucket.readyAt(now))
			return
		}
		if !s.sendNext(l, now) {
			l.bucket.giveBack()
			return
		}
	}
}

func (s *sender) sendNext(l *link, now time.Duration) bool {
	return s.sendResend(l, now) || s.sendCancel(l) || s.sendAttach(l) || s.sendList(l) || s.sendNew(l, now)
}

func (s *sender) sendResend(l *link, now time.Duration) bool {
	for len(s.resends) > 0 {
		t := s.resends[0]
		s.resends = s.resends[1:]
		t.resending = false
		if now-t.firstSentAt > millis(l.limits.IDRetentionMs) { // PROTOCOL 10.31
			s.end(t, expired(t))
			continue
		}
		// PROTOCOL 10.6: "MUST set resend: true on every sending of an id after the first"
		if text := withResend(t.text); s.fits(l, t, text) {
			s.sendRequest(l, t, text)
			return true
		}
	}
	return false
}

func (s *sender) sendNew(l *link, now time.Duration) bool {
	for {
		t, ok := s.waiting.first()
		if !ok {
			return false
		}
		if int64(len(s.inFlight)) >= l.limits.MaxInFlight {
			if !s.timers.has(pollTimer) {
				s.timers.set(pollTimer, now+pollInterval)
			}
			return false
		}
		if !s.fits(l, t, t.text) {
			continue
		}
		s.waiting.take(t.id)
		s.waitingBytes -= t.size
		t.phase = phaseSent
		t.firstSentAt = now
		s.sendRequest(l, t, t.text)
		return true
	}
}

func (s *sender) sendRequest(l *link, t *tracked, text []byte) {
	t.sends++
	s.inFlight[t.id] = struct{}{}
	l.unanswered.set(t.id, t)
	l.lastSent = t
	s.send(l, text)
}

// fits ends a request that is over the limit of this connection (PROTOCOL 10.43).
func (s *sender) fits(l *link, t *tracked, text []byte) bool {
	if int64(len(text)) <= l.limits.MaxMessageBytes {
		return true
	}
	s.end(t, tooLarge(t.id, int64(len(text)), l.limits.MaxMessageBytes, t.sends > 0))
	return false
}

func (s *sender) sendCancel(ready *link) bool {
	for id, t := range s.cancels.all() {
		l := s.cancelLink(ready, t)
		if l == nil {
			if t.isSettled() || len(t.cancels) == 0 {
				s.cancels.take(id)
			}
			continue
		}
		q := t.cancels[0]
		if t.cancels = t.cancels[1:]; len(t.cancels) == 0 {
			s.cancels.take(id)
		}
		l.cancels[id] = append(l.cancels[id], q)
		l.lastSent = q
		s.send(l, q.text)
		return true
	}
	return false
}

// cancelLink returns where a cancel may go now: behind its own request (PROTOCOL 10.13, 6.8.10).
func (s *sender) cancelLink(ready *link, t *tracked) *link {
	if len(t.cancels) == 0 {
		return nil
	}
	if t.phase == phaseStored {
		return ready
	}
	for _, l := range s.links() {
		if l.phase != linkClosing && l.unanswered.has(t.id) {
			return l
		}
	}
	return nil
}

func (s *sender) sendAttach(l *link) bool {
	for {
		t, ok := s.attention.takeFirst()
		if !ok {
			return false
		}
		if m := s.reconcile(l, t); m != nil {
			l.lastSent = nil
			s.send(l, encode(m))
			return true
		}
	}
}

// reconcile returns what makes this link read the log where it is wanted; nil if it does.
func (s *sender) reconcile(l *link, t *tracked) wire.ClientMessage {
	// PROTOCOL 4.5.9: not while its own request is unanswered. A refused attach waits for its turn.
	if !t.isStored() || l.unanswered.has(t.id) || s.timers.has(attachTimer(t.id)) {
		return nil
	}
	after, wanted := t.wanted()
	at := l.cursors[t.id]
	if asked := len(t.snapshots) > 0 || t.poll; asked {
		return s.attach(l, t, after, wanted, at)
	}
	switch {
	case !wanted && at == nil:
		return nil
	case !wanted:
		delete(l.cursors, t.id)
		return &wire.DetachMessage{RequestID: t.id}
	case at != nil && !at.broken && at.position <= after:
		return nil
	}
	return s.attach(l, t, after, wanted, at)
}

func (s *sender) attach(l *link, t *tracked, after int64, wanted bool, at *cursor) wire.ClientMessage {
	l.attaches[t.id] = append(l.attaches[t.id], t.snapshots)
	t.snapshots, t.poll = nil, false
	if !wanted { // a question only: nothing of the log is taken
		delete(l.cursors, t.id)
		follow := false
		return &wire.AttachMessage{RequestID: t.id, AfterSeq: t.last, Follow: &follow}
	}
	gaps := 0
	if at != nil && at.broken {
		gaps = at.gaps
	}
	l.cursors[t.id] = &cursor{position: after, gaps: gaps}
	return &wire.AttachMessage{RequestID: t.id, AfterSeq: after}
}

func (s *sender) sendList(l *link) bool {
	for {
		q, ok := s.lists.takeFirst()
		if !ok {
			return false
		}
		if size := int64(len(q.text)); size > l.limits.MaxMessageBytes {
			q.fail(tooLarge("", size, l.limits.MaxMessageBytes, false))
			continue
		}
		l.lists[q.id] = q
		l.lastSent = q
		s.send(l, q.text)
		return true
	}
}

// expired returns the error for a request that must not be sent again (PROTOCOL 9.5.6, 10.31).
func expired(t *tracked) error {
	err := localError(CodeConflict, t.id,
		"the request was sent too long ago to be sent again: the server may have forgotten its id",
		map[string]string{"reason": "expired"})
	err.OutcomeUnknown = true
	return err
}
