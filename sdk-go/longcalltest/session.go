// SPDX-License-Identifier: Apache-2.0

package longcalltest

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/coder/websocket"

	"github.com/longcall/longcall/sdk-go"
	"github.com/longcall/longcall/sdk-go/internal/wire"
)

// maxUnsent is how many messages wait for a socket before logs are read no further for it (PROTOCOL 6.4.1).
const maxUnsent = 256

// session is one connection of a client.
type session struct {
	server *Server
	socket *websocket.Conn
	ctx    context.Context
	cut    context.CancelFunc
	wake   chan struct{} // holds one: there is something for the writer

	// Protected by the server's mutex.
	principal string // "" before welcome
	expires   func() bool
	out       [][]byte
	closing   *websocket.CloseError
	position  map[string]int64    // of the logs that are followed
	told      map[string]int64    // the newest version of progress that was sent
	behind    map[string]*Request // logs that were not read to their end, because too much waits
	pings     int
	pongs     map[string]chan struct{}
}

// serve speaks with one client until its connection ends.
func (s *Server) serve(socket *websocket.Conn) {
	x := &session{server: s, socket: socket, wake: make(chan struct{}, 1), position: map[string]int64{},
		told: map[string]int64{}, behind: map[string]*Request{}, pongs: map[string]chan struct{}{}}
	x.ctx, x.cut = context.WithCancel(context.Background())
	s.mu.Lock()
	s.sessions[x] = struct{}{}
	if s.stopped {
		x.cut()
	}
	s.mu.Unlock()
	written := make(chan struct{})
	go func() {
		defer close(written)
		x.write()
	}()
	for {
		_, text, err := socket.Read(x.ctx)
		if err != nil {
			break
		}
		s.mu.Lock()
		x.take(text)
		s.mu.Unlock()
	}
	x.cut()
	<-written
	_ = socket.CloseNow()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, x)
	if x.expires != nil {
		x.expires()
	}
}

func (x *session) write() {
	for {
		select {
		case <-x.wake:
		case <-x.ctx.Done():
			return
		}
		x.server.mu.Lock()
		texts, closing := x.out, x.closing
		if x.server.stalled {
			texts, closing = nil, nil
		} else {
			x.out = nil
		}
		x.server.mu.Unlock()
		for _, text := range texts {
			if x.socket.Write(x.ctx, websocket.MessageText, text) != nil {
				x.cut()
				return
			}
		}
		x.server.locked(x.readOn)
		if closing != nil {
			_ = x.socket.Close(closing.Code, closing.Reason)
			x.cut()
			return
		}
	}
}

func (x *session) send(m wire.ServerMessage) {
	text, err := wire.Encode(m)
	if err == nil {
		_, err = wire.DecodeServerMessage(text)
	}
	if err != nil {
		panic("longcalltest: no server sends this: " + err.Error())
	}
	x.out = append(x.out, text)
	x.nudge()
}

func (x *session) nudge() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// close closes behind what was sent; code 0 cuts the connection.
func (x *session) close(code longcall.CloseCode, reason string) {
	if code == 0 {
		x.cut()
		return
	}
	x.closing = &websocket.CloseError{Code: websocket.StatusCode(code), Reason: reason}
	x.nudge()
}

// ping asks for a pong, whose channel is closed when it is there.
func (x *session) ping() <-chan struct{} {
	x.pings++
	nonce := strconv.Itoa(x.pings)
	pong := make(chan struct{})
	x.pongs[nonce] = pong
	x.send(&wire.PingMessage{Nonce: &nonce})
	return pong
}

// take takes a message of the client.
func (x *session) take(text []byte) {
	s := x.server
	message, err := wire.DecodeClientMessage(text, wire.TrustedDepth)
	if err != nil {
		pointer := ""
		if bad := new(wire.DecodeError); errors.As(err, &bad) {
			pointer = bad.Pointer
		}
		x.send(&wire.ErrorMessage{Error: wire.ErrorInfo{Code: string(longcall.CodeValidationError),
			Message: err.Error(), Details: marshal(map[string]string{"pointer": pointer})}})
		return
	}
	s.received = append(s.received, text)
	if x.principal == "" {
		hello, ok := message.(*wire.HelloMessage)
		if !ok {
			x.close(longcall.CloseProtocolError, "not a hello")
			return
		}
		x.greet(hello)
		return
	}
	switch m := message.(type) {
	case *wire.RequestMessage:
		x.request(m)
	case *wire.AttachMessage:
		x.attach(m)
	case *wire.DetachMessage:
		delete(x.position, x.key(m.RequestID))
	case *wire.CancelMessage:
		x.cancel(m)
	case *wire.ListMessage:
		x.list(m)
	case *wire.RefreshMessage:
		x.refresh(m)
	case *wire.PingMessage:
		x.send(&wire.PongMessage{Nonce: m.Nonce})
	case *wire.PongMessage:
		if m.Nonce != nil && x.pongs[*m.Nonce] != nil {
			close(x.pongs[*m.Nonce])
			delete(x.pongs, *m.Nonce)
		}
	}
}

func (x *session) greet(m *wire.HelloMessage) {
	s := x.server
	identity, code := s.identify(m.Token)
	if code != 0 {
		x.close(code, "refused")
		return
	}
	x.principal = identity.Principal
	s.welcomes++
	x.send(&wire.WelcomeMessage{
		ConnectionID: "c-" + strconv.Itoa(s.welcomes), Principal: identity.Principal, ServerTime: s.timestamp(0),
		Server:    wire.Software{Name: "longcalltest", Version: longcall.Version},
		Heartbeat: wire.Heartbeat{IntervalMs: heartbeat.Milliseconds(), From: "server"},
		ExpiresAt: x.live(identity.Life), Limits: s.limits.wire(),
	})
}

// live lets the token expire after its life, and returns when that is.
func (x *session) live(life time.Duration) string {
	if x.expires != nil {
		x.expires()
	}
	x.expires = x.server.Clock.AfterFunc(life, func() {
		x.server.mu.Lock()
		defer x.server.mu.Unlock()
		x.close(longcall.CloseUnauthorized, "the token has expired")
	})
	return x.server.timestamp(life)
}

func (x *session) refresh(m *wire.RefreshMessage) {
	identity, code := x.server.identify(&m.Token)
	if code != 0 || identity.Principal != x.principal {
		x.refuse("", "refresh", longcall.CodeUnauthorized, "the token is refused")
		return
	}
	x.send(&wire.RefreshedMessage{ExpiresAt: x.live(identity.Life), ServerTime: x.server.timestamp(0)})
}

func (x *session) refuse(id, replyTo string, code longcall.ErrorCode, message string) {
	m := &wire.ErrorMessage{ReplyTo: &replyTo, Error: wire.ErrorInfo{Code: string(code), Message: message}}
	if id != "" {
		m.RequestID = &id
	}
	x.send(m)
}
