// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// clause: 9.1.1, 9.3.1, 9.9.1
func TestACallGivesItsResultAndTellsWhatHappensMeanwhile(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	conn := s.welcome()
	go func() {
		m := conn.want("request", "action", "report", "deadline_ms", 1500, "priority", 7)
		if payload, _ := json.Marshal(m["payload"]); string(payload) != `{"format":"\u003ccsv\u003e"}` {
			t.Errorf("the payload is %s", payload)
		}
		id := m["id"].(string)
		conn.send(acknowledgment(id), processing(id, 2, 1, 0), progress(id, 1, 1), chunk(id, 3), complete(id, 4))
	}()
	var told []string
	result, err := client.Call(patient(t), "report", map[string]string{"format": "<csv>"},
		WithDeadline(1500*time.Millisecond), WithPriority(7),
		OnProgress(func(p Progress) { told = append(told, fmt.Sprint("progress ", p.Version)) }),
		OnChunk(func(c Chunk) { told = append(told, "chunk "+string(c.Data)); panic("of the application") }),
		OnStatus(func(s Status) { told = append(told, string(s.Status)) }))
	if err != nil || string(result) != `"done"` {
		t.Fatalf("got %s, %v", result, err)
	}
	if got := strings.Join(told, ", "); got != "queued, processing, progress 1, chunk 3" {
		t.Fatalf("told %s", got)
	}
}

// clause: 5.1.7, 9.2.3, 9.5.1, 9.5.2, 10.6.1
func TestARequestOutlivesADropAndEventsComeOnce(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	conn := s.welcome()
	results := make(chan *RequestHandle, 1)
	go func() {
		handle, err := client.Submit(patient(t), "f", nil, WithID("a"))
		if err != nil {
			t.Error(err)
		}
		results <- handle
	}()
	conn.want("request", "id", "a")
	conn.leave() // lost before the acknowledgment
	conn = s.welcome()
	conn.want("request", "id", "a", "resend", true)
	conn.send(acknowledgment("a"), processing("a", 2, 1, 0), chunk("a", 3))
	handle := <-results
	var got []string
	var last *testConn
	for event, err := range handle.Events(patient(t)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%T", event))
		if c, ok := event.(Chunk); ok && c.Seq == 3 {
			conn.close(CloseServiceRestart)
			last = s.welcome()
			last.want("attach", "request_id", "a", "after_seq", 3)
			last.send(snapshotText("a", "attach", "processing", 4), chunk("a", 3), chunk("a", 4), complete("a", 5))
		}
	}
	if text := strings.Join(got, " "); text != "longcall.Status longcall.Status longcall.Chunk longcall.Chunk" {
		t.Fatalf("events %s", text)
	}
	if result, err := handle.Result(patient(t)); err != nil || string(result) != `"done"` {
		t.Fatalf("got %s, %v", result, err)
	}
}

// clause: 9.1.4, 9.3.2
func TestTheEndOfAContextDetachesAndNeverCancels(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	conn := s.welcome()
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error, 1)
	go func() {
		_, err := client.Call(ctx, "f", nil, WithID("a"))
		failed <- err
	}()
	conn.want("request")
	conn.send(acknowledgment("a"), `{"type":"ping"}`)
	conn.want("pong")
	cancel()
	var gaveUp *WaitError
	if err := <-failed; !errors.As(err, &gaveUp) || !errors.Is(err, context.Canceled) || !gaveUp.Acknowledged {
		t.Fatalf("got %v", err)
	}
	conn.want("detach", "request_id", "a")
	handle := attach(t, client, "a")
	conn.want("attach", "request_id", "a")
	conn.send(snapshotText("a", "attach", "completed", 2), acknowledgment("a"), complete("a", 2))
	if result, err := handle.Result(patient(t)); err != nil || string(result) != `"done"` {
		t.Fatalf("got %s, %v", result, err)
	}
}

func TestAHandleThatWasLeftEarlyComesBack(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	conn := s.welcome()
	handle := attach(t, client, "a")
	conn.want("attach")
	conn.send(snapshotText("a", "attach", "processing", 2), acknowledgment("a"), processing("a", 2, 1, 0))
	for event, err := range handle.Events(patient(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if event.(Status).Seq == 2 {
			break
		}
	}
	conn.want("detach", "request_id", "a")
	go func() {
		conn.want("attach", "after_seq", 2)
		conn.send(snapshotText("a", "attach", "completed", 3), complete("a", 3))
	}()
	if result, err := handle.Result(patient(t)); err != nil || string(result) != `"done"` {
		t.Fatalf("got %s, %v", result, err)
	}
}

// clause: 9.2.10
func TestADetachedHandleIsOver(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	conn := s.welcome()
	handle := attach(t, client, "a")
	conn.want("attach")
	conn.send(snapshotText("a", "attach", "processing", 1), acknowledgment("a"))
	ended, begun := make(chan error, 2), make(chan struct{})
	go func() {
		_, err := handle.Result(patient(t))
		ended <- err
	}()
	go func() {
		for _, err := range handle.Events(patient(t)) {
			if err == nil {
				close(begun)
			} else {
				ended <- err
			}
		}
	}()
	<-begun
	handle.Detach()
	handle.Detach()
	for range 2 {
		if err := <-ended; !errors.Is(err, ErrDetached) {
			t.Fatalf("got %v", err)
		}
	}
	if err := handle.Cancel(patient(t), ""); !errors.Is(err, ErrDetached) {
		t.Fatalf("got %v", err)
	}
}

// clause: 9.2.8, 9.2.9
func TestSnapshotCancelAndListAreAnswered(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	conn := s.welcome()
	handle := attach(t, client, "a")
	conn.want("attach")
	conn.send(snapshotText("a", "attach", "processing", 1), acknowledgment("a"))
	go func() {
		conn.want("attach")
		conn.send(snapshotText("a", "attach", "processing", 4))
		conn.want("cancel", "reason", "enough")
		conn.send(snapshotText("a", "cancel", "processing", 4))
		id := conn.want("list", "action", "f", "status", "[queued]", "limit", 2)["id"]
		one := strings.TrimSuffix(strings.SplitAfterN(snapshotText("b", "attach", "queued", 1), `"request":`, 2)[1], "}")
		conn.send(fmt.Sprintf(`{"type":"listing","id":%q,"requests":[%s],"next_cursor":"n"}`, id, one))
		id = conn.want("list", "cursor", "n")["id"]
		conn.send(fmt.Sprintf(`{"type":"error","id":%q,"reply_to":"list","error":{"code":"FORBIDDEN","message":"m","retryable":false}}`, id))
	}()
	if snapshot, err := handle.Snapshot(patient(t)); err != nil || snapshot.Request.LastSeq != 4 {
		t.Fatalf("got %v, %v", snapshot, err)
	}
	if err := handle.Cancel(patient(t), "enough"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for summary, err := range client.Requests(patient(t), Filter{Status: []RequestStatus{StatusQueued}, Action: "f", PageSize: 2}) {
		if err != nil {
			if !errors.Is(err, ErrForbidden) {
				t.Fatal(err)
			}
			got = append(got, "forbidden")
			continue
		}
		got = append(got, summary.ID)
	}
	if text := strings.Join(got, " "); text != "b forbidden" {
		t.Fatalf("got %s", text)
	}
}

// clause: 9.1.5, 9.8.3
func TestRefusalsAreTypedErrors(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	conn := s.welcome()
	go func() {
		conn.want("request")
		conn.send(refusal("a", "request", "UNKNOWN_ACTION", false, ""))
	}()
	handle, err := client.Submit(patient(t), "f", nil, WithID("a"))
	var failed *Error
	if handle != nil || !errors.Is(err, ErrUnknownAction) || errors.Is(err, ErrNotFound) || !errors.As(err, &failed) {
		t.Fatalf("got %v, %v", handle, err)
	}
	if failed.Origin != OriginServer || failed.RequestID != "a" || failed.OutcomeUnknown {
		t.Fatalf("got %+v", failed)
	}
}

// clause: 2.3.1, 2.3.2, 5.1.2
func TestWhatMustNotBeSentIsRefusedHereAndNamesItsPlace(t *testing.T) {
	client := newTestServer(t).connect()
	for _, c := range []struct {
		pointer, action, id string
		payload             any
	}{
		{"/payload", "f", "a", func() {}},
		{"/payload/n/1", "f", "a", map[string]any{"n": []int64{1, 1 << 60}}},
		{"/payload", "f", "a", json.RawMessage(`{`)},
		{"/payload/a", "f", "a", json.RawMessage(`{"a":"\ud800"}`)},
		{"/action", "1f", "a", nil},
		{"/id", "f", "..", nil},
	} {
		_, err := client.Call(patient(t), c.action, c.payload, WithID(c.id))
		var failed *Error
		if !errors.As(err, &failed) || failed.Code != CodeValidationError || failed.Origin != OriginClient ||
			string(failed.Details) != `{"pointer":"`+c.pointer+`"}` {
			t.Errorf("%v: got %v", c.payload, err)
		}
	}
	if _, err := client.Attach("a/b"); !errors.Is(err, ErrValidation) {
		t.Errorf("got %v", err)
	}
}

// clause: 3.6.1, 9.4.5, 9.4.6, 10.42.3
func TestATokenIsAskedForWithItsReasonAndAFailureIsAFailedTry(t *testing.T) {
	s := newTestServer(t)
	var mu sync.Mutex
	var reasons []TokenReason
	client := s.connect(WithToken(func(_ context.Context, reason TokenReason) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		reasons = append(reasons, reason)
		switch len(reasons) {
		case 1:
			return "", errors.New("not now")
		case 2:
			panic("of the application")
		}
		return fmt.Sprint("token ", len(reasons)), nil
	}))
	conn := s.accept()
	conn.want("hello", "token", "token 3")
	conn.close(CloseUnauthorized)
	conn = s.accept()
	conn.want("hello", "token", "token 4")
	conn.send(welcomeText("2026-11-23T19:40:00.000Z", "2026-11-23T18:40:01.500Z")) // 1.2 s
	conn.want("refresh", "token", "token 5")
	mu.Lock()
	got := fmt.Sprint(reasons)
	mu.Unlock()
	if got != "[connect connect connect unauthorized refresh]" {
		t.Fatalf("reasons %s", got)
	}
	if err := client.Ready(patient(t)); err != nil {
		t.Fatal(err)
	}
}

// clause: 6.8.5, 6.8.8
func TestGoawayOpensTheNewConnectionBeforeTheOldIsClosed(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	old := s.welcome()
	results := make(chan error, 1)
	go func() {
		_, err := client.Call(patient(t), "f", nil, WithID("a"))
		results <- err
	}()
	old.want("request")
	old.send(`{"type":"goaway","reason":"restart","reconnect_after_ms":1}`)
	conn := s.welcome()
	old.send(`{"type":"response","request_id":"a","result":1}`)
	old.wantClose(closeNormal)
	if err := <-results; err != nil {
		t.Fatal(err)
	}
	conn.send(`{"type":"ping"}`)
	conn.want("pong")
}

// clause: 7.3.1, 7.3.4
func TestAClientThatIsToldToStopEndsEverythingWithTheCode(t *testing.T) {
	s := newTestServer(t)
	states := make(chan State, 100)
	client := s.connect(WithStateFunc(func(state State) { states <- state }))
	conn := s.welcome()
	results := make(chan error, 1)
	go func() {
		_, err := client.Call(patient(t), "f", nil)
		results <- err
	}()
	conn.want("request")
	conn.close(CloseForbidden)
	var closed *CloseError
	if err := <-results; !errors.As(err, &closed) || closed.Code != CloseForbidden || !closed.OutcomeUnknown {
		t.Fatalf("got %v", err)
	}
	if err := client.Ready(patient(t)); !errors.As(err, &closed) {
		t.Fatalf("got %v", err)
	}
	if _, err := client.Attach("a"); !errors.As(err, &closed) {
		t.Fatalf("got %v", err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []ConnectionState{ConnectionConnecting, ConnectionReady, ConnectionClosed} {
		if got := <-states; got.Name != want {
			t.Fatalf("the state is %v, not %s", got, want)
		}
	}
}

// clause: 9.7.1
func TestStatesAreFollowedByAnIterator(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	conn := s.welcome()
	var got []ConnectionState
	if err := client.Ready(patient(t)); err != nil {
		t.Fatal(err)
	}
	for state := range client.States(patient(t)) {
		got = append(got, state.Name)
		switch len(got) {
		case 1:
			conn.leave()
			s.welcome()
		case 4:
			go client.Close()
		}
	}
	if fmt.Sprint(got) != "[ready reconnecting connecting ready closed]" {
		t.Fatalf("states %v", got)
	}
}

// clause: 6.4.4
func TestASlowConsumerCostsBoundedMemoryAndGetsEverything(t *testing.T) {
	const chunks = 600
	s := newTestServer(t)
	client := s.connect(WithIteratorLimits(100, 1<<20))
	conn := s.welcome()
	handle := attach(t, client, "a")
	paused := make(chan struct{}, 1000)
	go func() { // a log that is read from where it is asked for, as far as the client wants it
		for {
			_, text, err := conn.socket.Read(patient(t))
			if err != nil {
				return
			}
			var m struct {
				Type     string
				AfterSeq int64 `json:"after_seq"`
			}
			if err := json.Unmarshal(text, &m); err != nil || m.Type != "attach" {
				paused <- struct{}{} // it is a detach
				continue
			}
			texts := []string{snapshotText("a", "attach", "completed", chunks+2)}
			if m.AfterSeq == 0 {
				texts = append(texts, acknowledgment("a"))
			}
			for seq := max(2, int(m.AfterSeq)+1); seq <= chunks+1; seq++ {
				texts = append(texts, chunk("a", seq))
			}
			conn.send(append(texts, complete("a", chunks+2))...)
		}
	}()
	next := int64(2)
	for event, err := range handle.Events(patient(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if c, ok := event.(Chunk); ok {
			if c.Seq != next {
				t.Fatalf("got %d, not %d", c.Seq, next)
			}
			if next++; c.Seq == 2 {
				<-paused // the application is busy until the client has had enough
			}
		}
		waiting := 0
		client.connection.do(func(time.Duration) {
			for _, reader := range handle.state.readers {
				waiting += len(reader.queue)
			}
		})
		if waiting > 100 {
			t.Fatalf("%d events wait", waiting)
		}
	}
	if next != chunks+2 {
		t.Fatalf("the last one was %d", next-1)
	}
}

// clause: 6.5.3
func TestAMessageOverTheLibrarysDefaultLimitIsReadAndOneOverTheServersOwnIsNot(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	conn := s.welcome("1048576", "200000", `"connection_id"`, `"later":"`+strings.Repeat("x", 100_000)+`","connection_id"`)
	results := make(chan json.RawMessage, 1)
	go func() {
		result, err := client.Call(patient(t), "f", nil, WithID("a"))
		if err != nil {
			t.Error(err)
		}
		results <- result
	}()
	conn.want("request")
	conn.send(`{"type":"response","request_id":"a","result":"` + strings.Repeat("x", 100_000) + `"}`)
	if result := <-results; len(result) != 100_002 {
		t.Fatalf("got %d bytes", len(result))
	}
	conn.send(`{"type":"response","request_id":"b","result":"` + strings.Repeat("x", 300_000) + `"}`)
	conn.wantClose(CloseMessageTooBig)
	s.welcome()
}

func TestManyGoroutinesMayUseAClientAtOnce(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	conn := s.welcome()
	go func() {
		for range 200 {
			id := conn.want("request")["id"].(string)
			conn.send(fmt.Sprintf(`{"type":"response","request_id":%q,"result":%q}`, id, id))
		}
	}()
	var group sync.WaitGroup
	for i := range 200 {
		group.Add(1)
		go func() {
			defer group.Done()
			id := fmt.Sprint("r", i)
			if result, err := client.Call(patient(t), "f", i, WithID(id)); err != nil || string(result) != `"`+id+`"` {
				t.Errorf("%s: got %s, %v", id, result, err)
			}
		}()
	}
	group.Wait()
}

// clause: 9.4.8
func TestAnUpgradeThatIsRefusedIsTriedAgain(t *testing.T) {
	s := newTestServer(t)
	var tries atomic.Int32
	s.files["/v1/connect"] = func(w http.ResponseWriter, r *http.Request) {
		if tries.Add(1) > 3 {
			s.upgrade(w, r)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	client := s.connect()
	s.welcome()
	if err := client.Ready(patient(t)); err != nil || tries.Load() != 4 {
		t.Fatalf("%d tries, %v", tries.Load(), err)
	}
}

// clause: 9.4.8
func TestAnUpgradeRefusedWith403EndsTheClientAnd401AsksForAFreshToken(t *testing.T) {
	for status, want := range map[int]CloseCode{http.StatusForbidden: 4403, http.StatusUnauthorized: 4401} {
		s := newTestServer(t)
		var tries atomic.Int32
		s.files["/v1/connect"] = func(w http.ResponseWriter, _ *http.Request) {
			tries.Add(1)
			w.WriteHeader(status)
		}
		var reasons []TokenReason // of one call at a time
		client := s.connect(WithToken(func(_ context.Context, reason TokenReason) (string, error) {
			reasons = append(reasons, reason)
			return "token", nil
		}))
		var closed *CloseError
		if err := client.Ready(patient(t)); !errors.As(err, &closed) || closed.Code != want {
			t.Fatalf("after %d: %v", status, err)
		}
		wanted := []TokenReason{TokenForConnect}
		if status == http.StatusUnauthorized {
			wanted = append(wanted, TokenAfterRefusal)
		}
		if !slices.Equal(reasons, wanted) || int(tries.Load()) != len(wanted) {
			t.Fatalf("after %d: %d tries, tokens for %v", status, tries.Load(), reasons)
		}
	}
}

// clause: 2.5.2, 2.5.3, 4.7.3
func TestWhatAClientShows(t *testing.T) {
	s := newTestServer(t)
	heard := make(chan Announcement, 1)
	client := s.connect(WithCompression(), WithHeader("X-Proxy", "yes"), WithApplicationName("app"),
		WithAnnouncementFunc(func(a Announcement) { heard <- a }))
	conn := s.accept()
	hello := conn.want("hello")
	if software := hello["client"].(map[string]any); software["name"] != "app longcall-go" {
		t.Fatalf("hello says %v", software)
	}
	conn.send(welcomeText(), `{"type":"hint"}`,
		`{"type":"announcement","message":"soon","created_at":"`+createdAt+`"}`)
	if got := <-heard; got.Message != "soon" {
		t.Fatalf("got %v", got)
	}
	if state := client.State(); state.Name != ConnectionReady || client.Ignored() != 1 {
		t.Fatalf("got %v, %d ignored", state, client.Ignored())
	}
	handle, err := client.Attach("a")
	if err != nil || handle.ID() != "a" {
		t.Fatalf("got %v, %v", handle, err)
	}
	if canonical, err := CanonicalJSON([]byte(`{"b":1.0,"a":"<\u00e9"}`)); err != nil || string(canonical) != `{"a":"<é","b":1}` {
		t.Fatalf("got %s, %v", canonical, err)
	}
}

// clause: 3.2.7
func TestNoTokenIsLogged(t *testing.T) {
	var out lockedBuffer
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client, err := Connect(context.Background(), "ws://127.0.0.1:1/v1/connect?access_token=secret-in-address",
		WithToken("secret-token"), WithLogger(logger), WithBackoff(time.Millisecond, time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	for state := range client.States(patient(t)) {
		if state.Name == ConnectionReconnecting {
			break
		}
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Contains(text, "secret") || !strings.Contains(text, "reconnecting") {
		t.Fatalf("logged:\n%s", text)
	}
}

type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
