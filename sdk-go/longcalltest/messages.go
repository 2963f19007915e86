// SPDX-License-Identifier: Apache-2.0

package longcalltest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/longcall/longcall/sdk-go"
	"github.com/longcall/longcall/sdk-go/internal/wire"
)

// What a session answers to the messages about requests.

func (x *session) request(m *wire.RequestMessage) {
	s := x.server
	if known := x.find(m.ID); known != nil { // PROTOCOL 10.5: first of all
		same, failed := known.Action == m.Action, error(nil)
		if same {
			same, failed = equal(known.Payload, m.Payload)
		}
		if !same || failed != nil {
			x.refuse(m.ID, "request", longcall.CodeConflict, "the id stands for another request")
			return
		}
		if known.quickOn != nil {
			known.store()
		}
		x.follow(known, 0)
		x.catchUp(known)
		return
	}
	action, ok := s.actions[m.Action]
	switch {
	case !ok:
		x.refuse(m.ID, "request", longcall.CodeUnknownAction, "there is no action "+m.Action)
	case action.refusal != nil:
		replyTo := "request"
		x.send(&wire.ErrorMessage{RequestID: &m.ID, ReplyTo: &replyTo, Error: *action.refusal})
	default:
		s.admit(x, m, action)
	}
}

// find returns a request of this principal.
func (x *session) find(id string) *Request { return x.server.requests[x.key(id)] }

func (x *session) key(id string) string { return x.principal + " " + id }

// follow reads the log of a request after a position, from now on.
func (x *session) follow(r *Request, after int64) {
	x.position[r.key] = after
	x.told[r.key] = 0
}

func (x *session) attach(m *wire.AttachMessage) {
	r := x.find(m.RequestID)
	switch {
	case r == nil || r.quickOn != nil:
		x.refuse(m.RequestID, "attach", longcall.CodeNotFound, "there is no such request")
		return
	case m.AfterSeq > int64(len(r.log)):
		x.refuse(m.RequestID, "attach", longcall.CodeConflict, "the log is not as long")
		return
	}
	x.snapshot(r, "attach")
	if m.Follow != nil && !*m.Follow {
		delete(x.position, r.key)
		for _, event := range r.log[m.AfterSeq:] {
			x.send(event)
		}
		return
	}
	x.follow(r, m.AfterSeq)
	x.catchUp(r)
}

func (x *session) snapshot(r *Request, replyTo string) {
	x.send(&wire.SnapshotMessage{RequestID: r.ID, ReplyTo: replyTo, Request: r.summary(), Result: r.result, Error: r.failure})
}

func (x *session) cancel(m *wire.CancelMessage) {
	r := x.find(m.RequestID)
	if r == nil || r.quickOn != nil && r.quickOn != x {
		x.refuse(m.RequestID, "cancel", longcall.CodeNotFound, "there is no such request")
		return
	}
	var reason string
	if m.Reason != nil {
		reason = *m.Reason
	}
	r.askToEnd(reason)
	x.snapshot(r, "cancel")
}

// catchUp sends what a follower of this request has not got.
func (x *session) catchUp(r *Request) {
	position, ok := x.position[r.key]
	if !ok {
		return
	}
	for ; position < int64(len(r.log)) && len(x.out) < maxUnsent; position++ {
		if r.status.Terminal() && position == int64(len(r.log))-1 { // PROTOCOL 10.35
			x.tellProgress(r)
		}
		x.send(r.log[position])
	}
	if x.position[r.key] = position; position < int64(len(r.log)) {
		x.behind[r.key] = r // readOn goes on
		return
	}
	if r.status.Terminal() {
		delete(x.position, r.key)
		return
	}
	x.tellProgress(r)
}

// readOn goes on with the logs that were not read to their end, now that the socket has taken what waited.
func (x *session) readOn() {
	behind := x.behind
	x.behind = map[string]*Request{}
	for _, r := range behind {
		x.catchUp(r)
	}
}

func (x *session) tellProgress(r *Request) {
	p := r.progress
	if p == nil || p.Attempt<<32|p.Version <= x.told[r.key] {
		return
	}
	x.told[r.key] = p.Attempt<<32 | p.Version
	x.send(&wire.ProgressMessage{RequestID: r.ID, Attempt: p.Attempt, Version: p.Version, Percentage: p.Percentage,
		Message: p.Message, Details: p.Details, UpdatedAt: p.UpdatedAt})
}

func (x *session) list(m *wire.ListMessage) {
	answer := &wire.ListingMessage{ID: m.ID, Requests: []wire.RequestSummary{}}
	for key, r := range x.server.requests {
		fits := strings.HasPrefix(key, x.key("")) && r.quickOn == nil && (m.Action == nil || *m.Action == r.Action) &&
			(m.Status == nil || slices.Contains(m.Status, string(r.status)))
		if fits {
			answer.Requests = append(answer.Requests, r.summary())
		}
	}
	slices.SortFunc(answer.Requests, func(a, b wire.RequestSummary) int { // PROTOCOL 10.47
		return -strings.Compare(a.CreatedAt+" "+a.ID, b.CreatedAt+" "+b.ID)
	})
	x.send(answer)
}

// equal tells whether two payloads are the same request; absent equals null (PROTOCOL 10.23).
func equal(a, b json.RawMessage) (bool, error) {
	var forms [2][]byte
	for i, text := range []json.RawMessage{a, b} {
		if text == nil {
			text = json.RawMessage("null")
		}
		form, err := wire.Canonical(text)
		if err != nil {
			return false, fmt.Errorf("longcalltest: %w", err)
		}
		forms[i] = form
	}
	return bytes.Equal(forms[0], forms[1]), nil
}
