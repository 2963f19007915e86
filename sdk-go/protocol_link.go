// SPDX-License-Identifier: Apache-2.0

package longcall

import "github.com/longcall/longcall/sdk-go/internal/wire"

// linkPhase says how far a connection has come.
type linkPhase int

const (
	linkOpening  linkPhase = iota
	linkGreeting           // hello is sent, welcome is awaited
	linkReady
	linkDraining // the server said goaway: answers and events still come
	linkClosing  // closed from here; the front end has not yet said that it is
)

// cursor is the place of a connection in one log (PROTOCOL 10.25).
type cursor struct {
	position int64
	gaps     int  // attaches because of a gap, since it last advanced
	broken   bool // a gap was seen; the log is read again
}

// link is one socket, from the wish to open it until it is really closed.
type link struct {
	id       int
	phase    linkPhase
	wasReady bool
	// closedWith is why it was closed from here: then the close-code table is not asked.
	ours       bool
	closedWith struct {
		code   CloseCode
		reason string
	}
	// After welcome.
	limits    wire.Limits
	bucket    *tokenBucket
	heartbeat *heartbeat
	// What awaits an answer here, in the order of sending.
	unanswered *ordered[*tracked]
	attaches   map[string][][]*question[Snapshot] // who asked by each attach
	cancels    map[string][]*cancelQuestion
	lists      map[string]*listQuestion
	// Where it stands in the logs.
	cursors map[string]*cursor
	// lastSent is what a close with 1009 is about (PROTOCOL 10.43): *tracked, *listQuestion,
	// *cancelQuestion or nil.
	lastSent any
}

func newLink(id int) *link {
	return &link{
		id:         id,
		unanswered: newOrdered[*tracked](),
		attaches:   map[string][][]*question[Snapshot]{},
		cancels:    map[string][]*cancelQuestion{},
		lists:      map[string]*listQuestion{},
		cursors:    map[string]*cursor{},
	}
}

// isQuiet is true when nothing is unanswered here.
func (l *link) isQuiet() bool {
	return l.unanswered.len()+len(l.attaches)+len(l.cancels)+len(l.lists) == 0
}

// takeAttach returns who asked by the oldest unanswered attach of this id.
func (l *link) takeAttach(id string) []*question[Snapshot] {
	questions, _ := takeOldest(l.attaches, id)
	return questions
}

// takeCancel returns the oldest unanswered cancel of this id; false: there is none.
func (l *link) takeCancel(id string) (*cancelQuestion, bool) { return takeOldest(l.cancels, id) }

func takeOldest[T any](waiting map[string][]T, id string) (item T, ok bool) {
	queue := waiting[id]
	if len(queue) == 0 {
		return item, false
	}
	if len(queue) == 1 {
		delete(waiting, id)
	} else {
		waiting[id] = queue[1:]
	}
	return queue[0], true
}
