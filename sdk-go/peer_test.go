// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longcall/longcall/sdk-go/internal/wire"
)

// createdAt is when every request of these tests was accepted.
const createdAt = "2026-11-23T18:40:00.120Z"

// peer is a server that is played by a test: it has the protocol in its hand, and the time.
type peer struct {
	t         *testing.T
	p         *protocol
	now       time.Duration
	link      int // the newest
	sent      []string
	closed    []closeEffect
	opened    []openEffect
	states    []string
	limits    []int64
	announced []Announcement
	asked     []int // links for which a fresh token is wanted
}

// newPeer plays with a random of 1, so that every wait is its bound.
func newPeer(t *testing.T, options ...Option) *peer {
	t.Helper()
	c := defaultConfig()
	c.random = func() float64 { return 1 }
	c.logger = slog.New(slog.DiscardHandler)
	for _, option := range options {
		option(c)
	}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	x := &peer{t: t, p: newProtocol(c)}
	x.p.start()
	x.settle()
	return x
}

// welcomed is newPeer with a connection that is ready.
func welcomed(t *testing.T, options ...Option) *peer {
	t.Helper()
	x := newPeer(t, options...)
	x.welcome()
	return x
}

// settle takes what the protocol wants done.
func (x *peer) settle() {
	for _, effect := range x.p.takeEffects() {
		switch e := effect.(type) {
		case sendEffect:
			x.sent = append(x.sent, fmt.Sprintf("%d %s", e.link, e.text))
		case closeEffect:
			x.closed = append(x.closed, e)
		case openEffect:
			x.opened = append(x.opened, e)
			x.link = e.link
		case stateEffect:
			x.states = append(x.states, showState(e.state))
		case readLimitEffect:
			x.limits = append(x.limits, e.maxBytes)
		case announceEffect:
			x.announced = append(x.announced, e.announcement)
		case fetchTokenEffect:
			x.asked = append(x.asked, e.link)
		}
	}
}

func showState(s State) string {
	text := string(s.Name)
	if s.Name == ConnectionReady {
		text += fmt.Sprintf(" resumed=%t", s.Resumed)
	}
	if s.Name == ConnectionReconnecting {
		text += fmt.Sprintf(" in %v", s.RetryIn)
	}
	if s.Code != 0 {
		text += fmt.Sprintf(" code=%d", s.Code)
	}
	return text
}

// welcomeText is a welcome with some members replaced: old, new, old, new, …
func welcomeText(replacements ...string) string {
	text := `{"type":"welcome","connection_id":"c-1","principal":"p_1","server_time":"2026-11-23T18:40:00.000Z",` +
		`"server":{"name":"test","version":"1"},"heartbeat":{"interval_ms":25000,"from":"server"},` +
		`"expires_at":"2026-11-23T19:40:00.000Z","limits":{"max_message_bytes":1048576,"max_depth":64,` +
		`"max_in_flight":1000,"messages_per_minute":6000,"message_burst":1000,"max_log_bytes":67108864,` +
		`"id_retention_ms":604800000}}`
	return strings.NewReplacer(replacements...).Replace(text)
}

// welcome opens the newest link and makes it ready.
func (x *peer) welcome(replacements ...string) {
	x.t.Helper()
	x.open()
	x.got(welcomeText(replacements...))
	x.sent = slices.DeleteFunc(x.sent, func(text string) bool { return strings.Contains(text, `"hello"`) })
}

func (x *peer) open() {
	x.p.handleOpened(x.link, "token", x.now)
	x.settle()
}

// got lets texts of the server arrive on the newest link.
func (x *peer) got(texts ...string) {
	for _, text := range texts {
		x.gotOn(x.link, text)
	}
}

func (x *peer) gotOn(link int, text string) {
	x.p.handleText(link, []byte(text), x.now)
	x.settle()
}

// lose lets the newest link be closed by the server, code 0: lost.
func (x *peer) lose(code CloseCode) { x.loseLink(x.link, code) }

func (x *peer) loseLink(link int, code CloseCode) {
	x.p.handleClosed(link, code, "", x.now)
	x.settle()
}

// obeyClose says that what the protocol has closed last is closed.
func (x *peer) obeyClose() {
	x.t.Helper()
	if len(x.closed) == 0 {
		x.t.Fatal("nothing was closed")
	}
	x.loseLink(x.closed[len(x.closed)-1].link, 0)
}

// pass lets time pass, with every timer on its way.
func (x *peer) pass(d time.Duration) {
	end := x.now + d
	for {
		due, ok := x.p.nextTimeout()
		if !ok || due > end {
			break
		}
		x.now = max(x.now, due)
		x.p.handleTimeout(x.now)
		x.settle()
	}
	x.now = end
}

// want compares what was sent since the last time with texts such as `1 {"type":"ping"}`.
func (x *peer) want(texts ...string) {
	x.t.Helper()
	if !slices.Equal(x.sent, texts) && len(x.sent)+len(texts) > 0 {
		x.t.Fatalf("sent\n  %s\nnot\n  %s", strings.Join(x.sent, "\n  "), strings.Join(texts, "\n  "))
	}
	x.sent = nil
}

func (x *peer) wantStates(states ...string) {
	x.t.Helper()
	if !slices.Equal(x.states, states) {
		x.t.Fatalf("states\n  %s\nnot\n  %s", strings.Join(x.states, "\n  "), strings.Join(states, "\n  "))
	}
	x.states = nil
}

func (x *peer) wantClosed(code CloseCode) {
	x.t.Helper()
	if len(x.closed) == 0 || x.closed[len(x.closed)-1].code != code {
		x.t.Fatalf("closed %v, not with %d", x.closed, code)
	}
}

// do calls a verb of the application.
func do[T any](x *peer, verb func(now time.Duration) (T, error)) (T, error) {
	value, err := verb(x.now)
	x.settle()
	return value, err
}

// submit submits a request of action f with this id.
func (x *peer) submit(id string) *tracked {
	x.t.Helper()
	t, err := x.trySubmit(id, "null")
	if err != nil {
		x.t.Fatal(err)
	}
	return t
}

func (x *peer) trySubmit(id, payload string) (*tracked, error) {
	m := &wire.RequestMessage{ID: id, Action: "f", Payload: []byte(payload)}
	if payload == "null" {
		m.Payload = nil
	}
	text, err := encodeChecked(m, id)
	if err != nil {
		x.t.Fatal(err)
	}
	return do(x, func(now time.Duration) (*tracked, error) { return x.p.submit(m, text, true, now) })
}

// attach attaches to a request.
func (x *peer) attach(id string) *tracked {
	x.t.Helper()
	t, err := do(x, func(now time.Duration) (*tracked, error) { return x.p.attach(id, now) })
	if err != nil {
		x.t.Fatal(err)
	}
	return t
}

func (x *peer) read(t *tracked) *eventReader {
	reader, _ := do(x, func(now time.Duration) (*eventReader, error) {
		return x.p.openReader(t, false, now), nil
	})
	return reader
}

// stop ends an iterator.
func (x *peer) stop(t *tracked, reader *eventReader) {
	x.p.closeReader(t, reader, x.now)
	x.settle()
}

func (x *peer) release(t *tracked) {
	x.p.release(t, x.now)
	x.settle()
}

func (x *peer) cancel(t *tracked) *cancelQuestion {
	x.t.Helper()
	text := encode(&wire.CancelMessage{RequestID: t.id})
	q, err := do(x, func(now time.Duration) (*cancelQuestion, error) { return x.p.cancel(t, text, now) })
	if err != nil {
		x.t.Fatal(err)
	}
	return q
}

// take returns all events that wait in a reader, as text.
func (x *peer) take(t *tracked, reader *eventReader) string {
	return x.takeSome(t, reader, 10_000)
}

func (x *peer) takeSome(t *tracked, reader *eventReader, n int) string {
	events := x.p.takeEvents(t, reader, make([]Event, 0, n), x.now)
	x.settle()
	var texts []string
	for _, event := range events {
		switch e := event.(type) {
		case Status:
			texts = append(texts, fmt.Sprintf("%d:%s/%d", e.Seq, e.Status, e.Attempt))
		case Chunk:
			texts = append(texts, fmt.Sprintf("%d:%s", e.Seq, e.Data))
		case Progress:
			texts = append(texts, fmt.Sprintf("progress %d.%d", e.Attempt, e.Version))
		}
	}
	if reader.isOver() {
		end := "end"
		if reader.err != nil {
			end = "failed"
		}
		texts = append(texts, end)
	}
	return strings.Join(texts, " ")
}

func (x *peer) wantEvents(t *tracked, reader *eventReader, want string) {
	x.t.Helper()
	if got := x.take(t, reader); got != want {
		x.t.Fatalf("events\n  %s\nnot\n  %s", got, want)
	}
}

// wantOutcome compares how a request ended: its result, or code and marks of its error; "" while it has not.
func (x *peer) wantOutcome(t *tracked, want string) {
	x.t.Helper()
	if got := showOutcome(t); got != want {
		x.t.Fatalf("%s ended with %q, not %q", t.id, got, want)
	}
}

func showOutcome(t *tracked) string {
	if t.outcome == nil {
		return ""
	}
	switch err := t.outcome.err.(type) {
	case nil:
		return string(t.outcome.result)
	case *Error:
		text := fmt.Sprintf("%s %s", err.Code, err.Origin)
		if err.Executed {
			text += " executed"
		}
		if err.OutcomeUnknown {
			text += " unknown"
		}
		return text
	case *CloseError:
		return fmt.Sprintf("closed %d unknown=%t", err.Code, err.OutcomeUnknown)
	default:
		return err.Error()
	}
}

// The messages of a server about a request.

func acknowledgment(id string) string {
	return fmt.Sprintf(`{"type":"acknowledgment","request_id":%q,"seq":1,"status":"queued","created_at":%q}`, id, createdAt)
}

func processing(id string, seq, attempt, keptTo int) string {
	return fmt.Sprintf(`{"type":"status","request_id":%q,"seq":%d,"status":"processing","attempt":%d,"chunks_kept_to":%d}`,
		id, seq, attempt, keptTo)
}

func chunk(id string, seq int) string {
	return fmt.Sprintf(`{"type":"chunk","request_id":%q,"seq":%d,"attempt":1,"data":%d}`, id, seq, seq)
}

func complete(id string, seq int) string {
	return fmt.Sprintf(`{"type":"complete","request_id":%q,"seq":%d,"result":"done"}`, id, seq)
}

func progress(id string, attempt, version int) string {
	return fmt.Sprintf(`{"type":"progress","request_id":%q,"attempt":%d,"version":%d,"updated_at":%q}`,
		id, attempt, version, createdAt)
}

func snapshotText(id, replyTo, status string, lastSeq int) string {
	return fmt.Sprintf(`{"type":"snapshot","request_id":%q,"reply_to":%q,"request":{"id":%q,"action":"f","status":%q,`+
		`"attempt":1,"created_at":%q,"updated_at":%q,"last_seq":%d}}`, id, replyTo, id, status, createdAt, createdAt, lastSeq)
}

// refusal is an error without seq; more are further members such as `,"executed":true`.
func refusal(id, replyTo, code string, retryable bool, more string) string {
	return fmt.Sprintf(`{"type":"error","request_id":%q,"reply_to":%q,"error":{"code":%q,"message":"m","retryable":%t}%s}`,
		id, replyTo, code, retryable, more)
}

// The messages of this client about a request, on a link.

func request(link int, id string) string {
	return fmt.Sprintf(`%d {"type":"request","id":%q,"action":"f"}`, link, id)
}

func resent(link int, id string) string {
	return fmt.Sprintf(`%d {"type":"request","id":%q,"action":"f","resend":true}`, link, id)
}

func attachText(link int, id string, after int) string {
	return fmt.Sprintf(`%d {"type":"attach","request_id":%q,"after_seq":%d}`, link, id, after)
}

func askText(link int, id string, after int) string {
	return fmt.Sprintf(`%d {"type":"attach","request_id":%q,"after_seq":%d,"follow":false}`, link, id, after)
}

func detachText(link int, id string) string {
	return fmt.Sprintf(`%d {"type":"detach","request_id":%q}`, link, id)
}

func cancelText(link int, id string) string {
	return fmt.Sprintf(`%d {"type":"cancel","request_id":%q}`, link, id)
}
