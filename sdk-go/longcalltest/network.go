// SPDX-License-Identifier: Apache-2.0

package longcalltest

import (
	"strings"
	"time"

	"github.com/longcall/longcall/sdk-go"
	"github.com/longcall/longcall/sdk-go/internal/wire"
)

// Opened returns how many connections were tried, those that were refused included.
func (s *Server) Opened() (n int) {
	s.locked(func() { n = s.opened })
	return n
}

// Connections returns how many connections are open and welcomed.
func (s *Server) Connections() (n int) {
	s.locked(func() { n = len(s.welcomed()) })
	return n
}

// Streams returns how many logs are followed, over all connections: of this request, or of all ("").
func (s *Server) Streams(id string) (n int) {
	s.locked(func() {
		for x := range s.sessions {
			for followed := range x.position {
				if id == "" || strings.HasSuffix(followed, " "+id) {
					n++
				}
			}
		}
	})
	return n
}

// Drop loses all connections without a word, or closes them with a code. What runs goes on.
func (s *Server) Drop(code longcall.CloseCode) {
	s.locked(func() {
		for x := range s.sessions {
			x.close(code, "dropped")
		}
	})
}

// Refuse lets no new connection be made: nobody listens or, with a code, each is closed with that. Those that are open
// stay.
func (s *Server) Refuse(code longcall.CloseCode) {
	s.locked(func() { s.refusing, s.refusal = true, code })
}

// Accept ends Refuse.
func (s *Server) Accept() { s.locked(func() { s.refusing, s.refusal = false, 0 }) }

// Goaway asks all clients to move to a new connection.
func (s *Server) Goaway(reason string, reconnectAfter time.Duration) {
	s.locked(func() {
		for _, x := range s.welcomed() {
			x.send(&wire.GoawayMessage{Reason: reason, ReconnectAfterMs: reconnectAfter.Milliseconds()})
		}
	})
}

// Announce sends an operator's word to all; details is nil or anything for programs.
func (s *Server) Announce(message string, details any) {
	m := &wire.AnnouncementMessage{Message: message, CreatedAt: s.timestamp(0)}
	if details != nil {
		m.Details = marshal(details)
	}
	s.locked(func() {
		for _, x := range s.welcomed() {
			x.send(m)
		}
	})
}

// Stall keeps connections open and lets nothing of the server through: half open, as behind a dead proxy.
func (s *Server) Stall() { s.locked(func() { s.stalled = true }) }

// Resume ends Stall: what happened meanwhile is sent.
func (s *Server) Resume() {
	s.locked(func() {
		s.stalled = false
		for x := range s.sessions {
			x.nudge()
		}
	})
}
