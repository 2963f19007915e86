// SPDX-License-Identifier: Apache-2.0

package longcalltest

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/longcall/longcall/sdk-go"
	"github.com/longcall/longcall/sdk-go/internal/wire"
)

// heartbeat is how often the server pings, by its clock.
const heartbeat = 25 * time.Second

// epoch is when every clock begins.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Server is a server in memory, for the tests of an application. It is safe for concurrent use. See the package.
type Server struct {
	// URL is what a client is told to connect to; only with Options it leads here.
	URL string
	// Clock is the time of the server and its clients.
	Clock *Clock

	http    *http.Server
	pipes   *pipes
	served  sync.WaitGroup
	running sync.WaitGroup // scripts

	mu           sync.Mutex // protects what follows
	limits       Limits
	authenticate func(token string) (Identity, longcall.CloseCode)
	actions      map[string]action
	sessions     map[*session]struct{}
	requests     map[string]*Request // by principal and id
	untaken      []*Request
	offered      chan struct{} // closed when untaken grows
	received     []json.RawMessage
	opened       int
	welcomes     int
	refusing     bool
	refusal      longcall.CloseCode
	stalled      bool
	stopped      bool
}

// action says what becomes of the requests of an action.
type action struct {
	script  Script
	quick   bool
	refusal *wire.ErrorInfo
}

// NewServer returns a server that is up. Close ends it.
func NewServer() *Server {
	s := &Server{URL: "ws://longcalltest.invalid/v1/connect", Clock: &Clock{step: heartbeat}, pipes: newPipes(),
		actions: map[string]action{}, sessions: map[*session]struct{}{}, requests: map[string]*Request{},
		offered: make(chan struct{})}
	s.Clock.settle = s.settle
	s.http = &http.Server{Handler: http.HandlerFunc(s.upgrade), ReadHeaderTimeout: settlePatience}
	s.served.Add(1)
	go func() {
		defer s.served.Done()
		_ = s.http.Serve(s.pipes)
	}()
	return s
}

// Close cuts all connections, ends the contexts of scripts, and returns when nothing is left: no goroutine of the
// server, of a connection or of a script. A script that never returns is waited for. Clients try to reconnect until
// they are closed; a test that wants a close code uses Drop.
func (s *Server) Close() {
	s.mu.Lock()
	s.stopped = true
	for x := range s.sessions {
		x.cut()
	}
	for _, r := range s.requests {
		r.cancel(context.Canceled)
		for _, stop := range r.stops {
			stop()
		}
	}
	s.mu.Unlock()
	_ = s.http.Close()
	s.served.Wait()
	s.running.Wait()
}

func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return
	}
	s.served.Add(1)
	defer s.served.Done()
	s.opened++
	closed := s.refusing && s.refusal == 0
	limit := s.limits.wire().MaxMessageBytes
	s.mu.Unlock()
	if closed {
		http.Error(w, "nobody listens", http.StatusServiceUnavailable)
		return
	}
	socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"longcall.v1"}})
	if err == nil {
		socket.SetReadLimit(limit)
		s.serve(socket)
	}
}

// Options are what a client of this server is given: a transport in memory, the Clock, a token, and reconnects that do
// not wait. Further ones go behind them.
func (s *Server) Options() []longcall.Option {
	return []longcall.Option{
		longcall.WithHTTPClient(s.pipes.client()), longcall.WithClock(s.Clock), longcall.WithToken("token"),
		longcall.WithRandom(func() float64 { return 0 }),
	}
}

// Connect returns a client of this server.
func (s *Server) Connect(options ...longcall.Option) (*longcall.Client, error) {
	return longcall.Connect(context.Background(), s.URL, append(s.Options(), options...)...)
}

// SetLimits sets what the next welcome announces.
func (s *Server) SetLimits(limits Limits) { s.locked(func() { s.limits = limits }) }

// Authenticate sets who says whom a token ("": none) stands for, or the close code with which it is refused. By default
// every token is everybody's.
func (s *Server) Authenticate(f func(token string) (Identity, longcall.CloseCode)) {
	s.locked(func() { s.authenticate = f })
}

// On says what runs for the requests of an action; a nil script: they are stored and wait for the test, which takes
// them by Next. Requests of an action that was not named are refused with UNKNOWN_ACTION.
func (s *Server) On(name string, script Script) {
	s.locked(func() { s.actions[name] = action{script: script} })
}

// OnQuick is On for a quick action: its requests are answered at once and not stored, unless the script takes more than
// 2 s of the clock, sends a chunk, or is cancelled.
func (s *Server) OnQuick(name string, script Script) {
	s.locked(func() { s.actions[name] = action{script: script, quick: true} })
}

// OnRefuse has the requests of an action refused, before they are stored.
func (s *Server) OnRefuse(name string, err *longcall.Error) {
	s.locked(func() { s.actions[name] = action{refusal: toInfo(err)} })
}

// Next returns the next new request of an action without script ("": of any), and waits for it. The error is that of
// the context.
func (s *Server) Next(ctx context.Context, name string) (*Request, error) {
	for {
		s.mu.Lock()
		at := slices.IndexFunc(s.untaken, func(r *Request) bool { return name == "" || r.Action == name })
		var r *Request
		if at >= 0 {
			r = s.untaken[at]
			s.untaken = slices.Delete(s.untaken, at, at+1)
		}
		offered := s.offered
		s.mu.Unlock()
		if r != nil {
			return r, nil
		}
		select {
		case <-offered:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Request returns a request that the server has, of any principal; nil where there is none.
func (s *Server) Request(id string) (found *Request) {
	s.locked(func() {
		for _, r := range s.requests {
			if r.ID == id {
				found = r
			}
		}
	})
	return found
}

// Received returns the valid messages of clients of a type ("": of any), in the order of their arrival.
func (s *Server) Received(kind string) (messages []json.RawMessage) {
	s.locked(func() {
		for _, text := range s.received {
			var m struct{ Type string }
			if _ = json.Unmarshal(text, &m); kind == "" || m.Type == kind {
				messages = append(messages, text)
			}
		}
	})
	return messages
}

// For sessions and requests.

func (s *Server) locked(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *Server) welcomed() (welcomed []*session) {
	for x := range s.sessions {
		if x.principal != "" && x.closing == nil && x.ctx.Err() == nil {
			welcomed = append(welcomed, x)
		}
	}
	return welcomed
}

func (s *Server) identify(token *string) (Identity, longcall.CloseCode) {
	if s.refusing && s.refusal != 0 {
		return Identity{}, s.refusal
	}
	identity := Identity{}
	if s.authenticate != nil {
		var text string
		if token != nil {
			text = *token
		}
		var code longcall.CloseCode
		if identity, code = s.authenticate(text); code != 0 {
			return Identity{}, code
		}
	}
	if identity.Principal == "" {
		identity.Principal = "principal"
	}
	if identity.Life == 0 {
		identity.Life = time.Hour
	}
	return identity, 0
}

// admit stores a new request, or runs it at once.
func (s *Server) admit(from *session, m *wire.RequestMessage, how action) {
	r := &Request{key: from.key(m.ID), ID: m.ID, Action: m.Action, Payload: m.Payload, Metadata: m.Metadata, server: s, script: how.script,
		createdAt: s.timestamp(0), updatedAt: s.timestamp(0), status: longcall.StatusQueued}
	if m.Traceparent != nil {
		r.Traceparent = *m.Traceparent
	}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	s.requests[r.key] = r
	// PROTOCOL 10.6, 10.10
	quick := how.quick && m.Resend == nil && m.DelayMs == nil && m.CallbackURL == nil
	if how.script == nil {
		s.untaken = append(s.untaken, r)
		close(s.offered)
		s.offered = make(chan struct{})
	}
	r.start(from, quick, m)
}

// tell tells all who follow a request.
func (s *Server) tell(r *Request) {
	for x := range s.sessions {
		x.catchUp(r)
	}
}

func (s *Server) timestamp(after time.Duration) string {
	return epoch.Add(s.Clock.Now() + after).Format("2006-01-02T15:04:05.000Z")
}

// settle waits until every client has answered what was sent to it, so far as connections are open.
func (s *Server) settle() {
	var pongs []func()
	patience := time.NewTimer(settlePatience)
	defer patience.Stop()
	s.locked(func() {
		if s.stalled {
			return
		}
		for _, x := range s.welcomed() {
			pong := x.ping()
			pongs = append(pongs, func() {
				select {
				case <-pong:
				case <-x.ctx.Done():
				case <-patience.C:
				}
			})
		}
	})
	for _, wait := range pongs {
		wait()
	}
}
