// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
)

type reportParams struct {
	Format string `json:"format"`
}

type report struct {
	Rows int `json:"rows"`
}

type row struct {
	Name string `json:"name"`
}

var generateReport = NewAction[reportParams, report, row]("generate_report")

// rowText is a chunk with some data.
func rowText(id string, seq int, data string) string {
	return fmt.Sprintf(`{"type":"chunk","request_id":%q,"seq":%d,"attempt":1,"data":%s}`, id, seq, data)
}

func reportText(id string, seq int, result string) string {
	return fmt.Sprintf(`{"type":"complete","request_id":%q,"seq":%d,"result":%s}`, id, seq, result)
}

func TestAnActionCallsWithItsTypes(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	conn := s.welcome()
	go func() {
		conn.want("request", "action", "generate_report", "payload", map[string]any{"format": "csv"})
		conn.send(acknowledgment("a"), processing("a", 2, 1, 0), rowText("a", 3, `{"name":"x"}`), reportText("a", 4, `{"rows":1}`))
	}()
	var rows []TypedChunk[row]
	got, err := generateReport.Call(patient(t), client, reportParams{Format: "csv"}, WithID("a"),
		generateReport.OnChunk(func(chunk TypedChunk[row]) { rows = append(rows, chunk) }))
	if err != nil || got != (report{Rows: 1}) {
		t.Fatalf("got %v, %v", got, err)
	}
	if want := []TypedChunk[row]{{Seq: 3, Attempt: 1, Data: row{"x"}}}; !reflect.DeepEqual(rows, want) {
		t.Fatalf("rows %v", rows)
	}
	if generateReport.Name() != "generate_report" {
		t.Fatal(generateReport.Name())
	}
}

func TestAHandleOfAnActionHasTypedEventsAndAResult(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	conn := s.welcome()
	submitted := make(chan *TypedHandle[report, row], 1)
	go func() {
		handle, err := generateReport.Submit(patient(t), client, reportParams{}, WithID("a"))
		if err != nil {
			t.Error(err)
		}
		submitted <- handle
	}()
	conn.want("request")
	conn.send(acknowledgment("a"), processing("a", 2, 1, 0), rowText("a", 3, `{"name":"x"}`), reportText("a", 4, `{"rows":2}`))
	handle := <-submitted
	attached, err := generateReport.Attach(client, "a")
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	for event, err := range handle.Events(patient(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if chunk, ok := event.(TypedChunk[row]); ok {
			rows = append(rows, chunk.Data)
		}
	}
	if len(rows) != 1 || rows[0].Name != "x" {
		t.Fatalf("rows %v", rows)
	}
	for _, h := range []*TypedHandle[report, row]{handle, attached} {
		if got, err := h.Result(patient(t)); err != nil || got.Rows != 2 || h.ID() != "a" {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	if _, err := generateReport.Attach(client, ".."); !errors.Is(err, ErrValidation) {
		t.Fatalf("got %v", err)
	}
}

func TestWhatDoesNotFitItsTypeIsATypedErrorThatNamesThePlace(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	conn := s.welcome()
	handle, err := generateReport.Attach(client, "a")
	if err != nil {
		t.Fatal(err)
	}
	conn.want("attach")
	conn.send(snapshotText("a", "attach", "completed", 3), acknowledgment("a"), rowText("a", 2, `{"name":5}`), reportText("a", 3, `{"rows":"many"}`))
	var invalid *InvalidResultError
	var place *json.UnmarshalTypeError
	_, err = handle.Result(patient(t))
	if !errors.As(err, &invalid) || invalid.Part != PartResult || invalid.Action != "generate_report" ||
		!errors.As(err, &place) || place.Field != "rows" {
		t.Fatalf("got %v", err)
	}
	for event, failed := range handle.Events(patient(t)) {
		if err = failed; failed == nil && event.(Status).Status != StatusQueued {
			t.Fatalf("event %v", event)
		}
	}
	if !errors.As(err, &invalid) || invalid.Part != PartChunk || invalid.RequestID != "a" || string(invalid.Value) != `{"name":5}` {
		t.Fatalf("got %v", err)
	}
}

func TestACallWhoseChunkDoesNotFitEndsAndItsRequestGoesOn(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	conn := s.welcome()
	go func() {
		conn.want("request")
		conn.send(acknowledgment("a"), rowText("a", 2, `[]`))
	}()
	_, err := generateReport.Call(patient(t), client, reportParams{}, WithID("a"),
		generateReport.OnChunk(func(TypedChunk[row]) { t.Error("called") }))
	var invalid *InvalidResultError
	if !errors.As(err, &invalid) || invalid.Part != PartChunk {
		t.Fatalf("got %v", err)
	}
	conn.want("detach", "request_id", "a")
}

func TestTheZeroActionIsRefusedHere(t *testing.T) {
	var none Action[reportParams, report, row]
	client := newTestServer(t).connect()
	if _, err := none.Call(patient(t), client, reportParams{}); !errors.Is(err, ErrValidation) {
		t.Fatalf("got %v", err)
	}
	if _, err := none.Submit(patient(t), client, reportParams{}); !errors.Is(err, ErrValidation) {
		t.Fatalf("got %v", err)
	}
}

// clause: 9.3.2
func TestCancelOnDoneCancelsWhereTheEndOfAContextOnlyDetaches(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	conn := s.welcome()
	for _, when := range []string{"submit", "result", "events", "call"} {
		ctx, cancel := context.WithCancel(context.Background())
		failed := make(chan error, 1)
		go func() {
			switch when {
			case "call":
				_, err := client.Call(ctx, "f", nil, WithID(when), CancelOnDone())
				failed <- err
				return
			case "submit":
				_, err := client.Submit(ctx, "f", nil, WithID(when), CancelOnDone())
				failed <- err
				return
			}
			handle, err := client.Submit(patient(t), "f", nil, WithID(when), CancelOnDone())
			if err != nil {
				failed <- err
				return
			}
			if when == "result" {
				_, err = handle.Result(ctx)
			} else {
				for _, err = range handle.Events(ctx) {
				}
			}
			failed <- err
		}()
		conn.want("request", "id", when)
		if when != "submit" {
			conn.send(acknowledgment(when))
		}
		conn.send(`{"type":"ping"}`)
		conn.want("pong")
		cancel()
		conn.want("cancel", "request_id", when, "reason", "context canceled")
		var waited *WaitError
		if err := <-failed; !errors.As(err, &waited) || !waited.CancelRequested || !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: got %v", when, err)
		}
		if when == "submit" {
			conn.send(acknowledgment(when))
		}
		conn.want("detach", "request_id", when)
		conn.send(snapshotText(when, "cancel", "cancelled", 2))
	}
}

// clause: 9.5.5
func TestCancelOnDoneWithdrawsWhatWasNeverSent(t *testing.T) {
	s := newTestServer(t)
	client := s.connect()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := client.Call(ctx, "f", nil, CancelOnDone())
	var waited *WaitError
	if !errors.As(err, &waited) || waited.Sent || waited.CancelRequested {
		t.Fatalf("got %v", err)
	}
	conn := s.welcome()
	conn.send(`{"type":"ping"}`)
	conn.want("pong") // and nothing before it
}
