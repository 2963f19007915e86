// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// firstReadLimit holds until welcome tells the limit: a welcome is small.
const firstReadLimit = 1 << 20

// transport is an open WebSocket. It knows frames and close codes, and no message. Sending never waits: what
// the socket does not take yet waits here, bounded by what the protocol lets out: its token bucket and
// its window.
type transport struct {
	socket       *websocket.Conn
	guard        *frameGuard
	closeTimeout time.Duration
	cut          context.CancelFunc // ends every read and write, and with them the connection
	cutContext   context.Context
	wake         chan struct{} // holds one: there is something for the writer

	mu       sync.Mutex // protects what follows
	outbox   [][]byte
	closing  *websocket.CloseError
	deadline *time.Timer // of the closing handshake
}

// openTransport opens a socket within the timeout. alive is called at each control frame. The error is of
// the kind openFailure, whose text never holds the address, which may hold a token.
func openTransport(ctx context.Context, address *url.URL, c *config, alive func()) (*transport, error) {
	ctx, cancel := context.WithTimeout(ctx, c.openTimeout)
	defer cancel()
	client, upgrade := guarded(c.httpClient)
	options := &websocket.DialOptions{
		HTTPClient:     client,
		HTTPHeader:     c.header.Clone(),
		Subprotocols:   []string{subprotocol},
		OnPingReceived: func(context.Context, []byte) bool { alive(); return true },
		OnPongReceived: func(context.Context, []byte) { alive() },
	}
	if c.compression {
		options.CompressionMode = websocket.CompressionContextTakeover
	}
	socket, response, err := websocket.Dial(ctx, address.String(), options)
	if err != nil {
		return nil, toOpenFailure(response, err)
	}
	if socket.Subprotocol() != subprotocol { // PROTOCOL 2.1.5
		_ = socket.CloseNow()
		return nil, openFailure{reason: "the server does not speak " + subprotocol}
	}
	socket.SetReadLimit(firstReadLimit)
	t := &transport{socket: socket, guard: upgrade.guard, closeTimeout: c.closeTimeout, wake: make(chan struct{}, 1)}
	t.cutContext, t.cut = context.WithCancel(context.Background())
	return t, nil
}

func (f openFailure) Error() string { return f.reason }

func toOpenFailure(response *http.Response, err error) openFailure {
	if response != nil && response.StatusCode != http.StatusSwitchingProtocols {
		return openFailure{
			status:     response.StatusCode,
			retryAfter: retryAfter(response.Header.Get("Retry-After")),
			reason:     fmt.Sprintf("HTTP %d", response.StatusCode),
		}
	}
	var withAddress *url.Error
	if errors.As(err, &withAddress) {
		err = withAddress.Err
	}
	return openFailure{reason: strings.TrimPrefix(err.Error(), "failed to WebSocket dial: ")}
}

// retryAfter reads the seconds of a Retry-After; a date, which needs a right clock, counts as absent.
func retryAfter(value string) time.Duration {
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Hour, millis(min(seconds, 1<<40)*1000))
}

// send sends a text frame behind those that wait.
func (t *transport) send(text []byte) {
	t.mu.Lock()
	t.outbox = append(t.outbox, text)
	t.mu.Unlock()
	t.wakeWriter()
}

// setReadLimit lets messages over this size break the connection (PROTOCOL 6.5.3).
func (t *transport) setReadLimit(maxBytes int64) { t.socket.SetReadLimit(maxBytes) }

// close closes behind what waits, after a short closing handshake; run ends then.
func (t *transport) close(code CloseCode, reason string) {
	t.mu.Lock()
	t.closing = &websocket.CloseError{Code: websocket.StatusCode(code), Reason: reason}
	// The writer may hang in a socket that takes nothing.
	t.deadline = time.AfterFunc(t.closeTimeout, t.cut)
	t.mu.Unlock()
	t.wakeWriter()
}

// abort cuts the connection; run ends then.
func (t *transport) abort() { t.cut() }

func (t *transport) wakeWriter() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// run hands each message to take until the socket is closed, and returns the code with which the server
// closed it, 0 without any. It leaves nothing behind.
func (t *transport) run(take func(text bool, data []byte)) (CloseCode, string) {
	var writer sync.WaitGroup
	writer.Add(1)
	go func() {
		defer writer.Done()
		t.write()
	}()
	code, reason := t.read(take)
	t.cut()
	writer.Wait()
	_ = t.socket.CloseNow()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.deadline != nil {
		t.deadline.Stop()
	}
	return code, reason
}

func (t *transport) read(take func(text bool, data []byte)) (CloseCode, string) {
	for {
		kind, data, err := t.socket.Read(t.cutContext)
		if err == nil {
			take(kind == websocket.MessageText, data)
			continue
		}
		var closed websocket.CloseError
		switch {
		case t.guard.masked.Load():
			t.close(CloseCode(websocket.StatusProtocolError), errMasked.Error())
			<-t.cutContext.Done() // the writer closes, or its time is up
			return 0, errMasked.Error()
		case errors.As(err, &closed):
			return CloseCode(closed.Code), closed.Reason
		case errors.Is(err, websocket.ErrMessageTooBig):
			return 0, "the server sent a message over its own limit"
		}
		return 0, "the connection was lost"
	}
}

func (t *transport) write() {
	for {
		select {
		case <-t.wake:
		case <-t.cutContext.Done():
			return
		}
		t.mu.Lock()
		texts, closing := t.outbox, t.closing
		t.outbox = nil
		t.mu.Unlock()
		for _, text := range texts {
			if t.socket.Write(t.cutContext, websocket.MessageText, text) != nil {
				t.cut() // read sees it as well, and says why
				return
			}
		}
		if closing != nil {
			_ = t.socket.Close(closing.Code, closing.Reason)
			t.cut()
			return
		}
	}
}
