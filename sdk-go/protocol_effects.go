// SPDX-License-Identifier: Apache-2.0

package longcall

// effect is something that the protocol wants done; the front end takes them after each call, in order.
type effect interface{ effect() }

// openEffect: get a token, open a socket, then call handleOpened or handleOpenFailed.
type openEffect struct {
	link   int
	reason TokenReason
}

// sendEffect: send one text frame.
type sendEffect struct {
	link int
	text []byte
}

// closeEffect: close the socket, opened or still opening, then call handleClosed, whatever happens.
type closeEffect struct {
	link   int
	code   CloseCode
	reason string
	abort  bool // the peer is dead: cut the connection without a closing handshake
}

// readLimitEffect: let the socket refuse messages over this size from now on (PROTOCOL 6.5.3).
type readLimitEffect struct {
	link     int
	maxBytes int64
}

// fetchTokenEffect: get a fresh token, then call handleToken.
type fetchTokenEffect struct{ link int }

// stateEffect: the state of the connection is another.
type stateEffect struct{ state State }

// announceEffect: an announcement arrived.
type announceEffect struct{ announcement Announcement }

// tracedEffect: tell the application that a request has ended which it traces.
type tracedEffect struct{ ended func() }

// warnEffect: something for the log, never with a token in it.
type warnEffect struct{ text string }

func (openEffect) effect()       {}
func (sendEffect) effect()       {}
func (closeEffect) effect()      {}
func (readLimitEffect) effect()  {}
func (fetchTokenEffect) effect() {}
func (stateEffect) effect()      {}
func (announceEffect) effect()   {}
func (tracedEffect) effect()     {}
func (warnEffect) effect()       {}
