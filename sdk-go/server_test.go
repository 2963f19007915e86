// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// patience bounds every wait of these tests; none comes near it.
const patience = 20 * time.Second

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// testServer speaks on real sockets what a test tells it to, connection by connection.
type testServer struct {
	*httptest.Server
	t     *testing.T
	conns chan *testConn // as they are accepted
	ended chan struct{}
	files map[string]http.HandlerFunc
	raw   func(io.ReadWriter) // takes the first connection, right after its upgrade
}

func newTestServer(t *testing.T) *testServer {
	s := &testServer{t: t, conns: make(chan *testConn, 1000), ended: make(chan struct{}), files: map[string]http.HandlerFunc{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() {
		close(s.ended)
		s.Close()
	})
	return s
}

func (s *testServer) serve(w http.ResponseWriter, r *http.Request) {
	if handler, ok := s.files[r.URL.Path]; ok {
		handler(w, r)
		return
	}
	s.upgrade(w, r)
}

// hijack upgrades without a WebSocket library, so that a test can send what none would.
func (s *testServer) hijack(w http.ResponseWriter, r *http.Request, play func(io.ReadWriter)) {
	accept := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	conn, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		s.t.Error(err)
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Protocol: %s\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		subprotocol, base64.StdEncoding.EncodeToString(accept[:]))
	_ = conn.SetDeadline(time.Now().Add(patience))
	play(struct {
		io.Reader
		io.Writer
	}{buffered, conn})
}

func (s *testServer) upgrade(w http.ResponseWriter, r *http.Request) {
	if play := s.raw; play != nil {
		s.raw = nil
		s.hijack(w, r, play)
		return
	}
	socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}})
	if err != nil {
		return
	}
	socket.SetReadLimit(1 << 22)
	conn := &testConn{t: s.t, socket: socket, done: make(chan struct{})}
	s.conns <- conn
	select {
	case <-conn.done:
	case <-s.ended:
	}
	_ = socket.CloseNow()
}

// connect returns a client of this server; its waits are short.
func (s *testServer) connect(options ...Option) *Client {
	s.t.Helper()
	address := "ws" + strings.TrimPrefix(s.URL, "http")
	options = append([]Option{WithToken("secret-token"), WithBackoff(time.Millisecond, 5*time.Millisecond), WithTimeouts(patience, 100*time.Millisecond)}, options...)
	client, err := Connect(context.Background(), address, options...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = client.Close() })
	return client
}

// accept returns the next connection.
func (s *testServer) accept() *testConn {
	s.t.Helper()
	select {
	case conn := <-s.conns:
		s.t.Cleanup(conn.leave)
		return conn
	case <-time.After(patience):
		s.t.Fatal("nobody connects")
		return nil
	}
}

// welcome accepts the next connection, and its hello.
func (s *testServer) welcome(replacements ...string) *testConn {
	s.t.Helper()
	conn := s.accept()
	conn.want("hello")
	conn.send(welcomeText(replacements...))
	return conn
}

// testConn is one connection of a testServer.
type testConn struct {
	t      *testing.T
	socket *websocket.Conn
	done   chan struct{}
}

// leave cuts the connection.
func (c *testConn) leave() {
	select {
	case <-c.done:
	default:
		close(c.done)
	}
}

func (c *testConn) send(texts ...string) {
	c.t.Helper()
	for _, text := range texts {
		if err := c.socket.Write(patient(c.t), websocket.MessageText, []byte(text)); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *testConn) close(code CloseCode) {
	_ = c.socket.Close(websocket.StatusCode(code), "")
	c.leave()
}

// read returns the next message.
func (c *testConn) read() map[string]any {
	c.t.Helper()
	_, text, err := c.socket.Read(patient(c.t))
	if err != nil {
		c.t.Fatal(err)
	}
	var message map[string]any
	if err := json.Unmarshal(text, &message); err != nil {
		c.t.Fatal(err)
	}
	return message
}

// want returns the next message, which must be of this type and have these members: name, value, …
func (c *testConn) want(kind string, members ...any) map[string]any {
	c.t.Helper()
	message := c.read()
	if message["type"] != kind {
		c.t.Fatalf("got %v, not a %s", message, kind)
	}
	for i := 0; i < len(members); i += 2 {
		if got := message[members[i].(string)]; fmt.Sprint(got) != fmt.Sprint(members[i+1]) {
			c.t.Fatalf("%v: %v is %v, not %v", message, members[i], got, members[i+1])
		}
	}
	return message
}

// wantClose reads until the client closes, which must be with this code.
func (c *testConn) wantClose(code CloseCode) {
	c.t.Helper()
	for {
		_, _, err := c.socket.Read(patient(c.t))
		if err == nil {
			continue
		}
		if got := websocket.CloseStatus(err); CloseCode(got) != code {
			c.t.Fatalf("closed with %d, not %d: %v", got, code, err)
		}
		c.leave()
		return
	}
}

// attach returns the handle of a request that the server has.
func attach(t *testing.T, client *Client, id string) *RequestHandle {
	t.Helper()
	handle, err := client.Attach(id)
	if err != nil {
		t.Fatal(err)
	}
	return handle
}
