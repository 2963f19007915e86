// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/longcall/longcall/sdk-go/internal/wire"
)

// clause: 9.2.2, 9.2.4
func TestADurableRequestFromItsSubmissionToItsEnd(t *testing.T) {
	x := welcomed(t)
	r := x.submit("a")
	reader := x.read(r)
	x.want(request(1, "a"))
	x.got(acknowledgment("a"), processing("a", 2, 1, 0), progress("a", 1, 1), chunk("a", 3), progress("a", 1, 2),
		chunk("a", 4), complete("a", 5))
	x.wantOutcome(r, `"done"`)
	x.wantEvents(r, reader, "1:queued/0 2:processing/1 progress 1.2 3:3 4:4 end")
	x.want()
}

// clause: 9.1.3
func TestAQuickRequestHasItsResultAndNoEvents(t *testing.T) {
	x := welcomed(t)
	r := x.submit("a")
	reader := x.read(r)
	x.got(`{"type":"response","request_id":"a","result":null}`)
	x.wantOutcome(r, "null")
	x.wantEvents(r, reader, "end")
	x.wantEvents(r, x.read(r), "end")
	q, err := do(x, func(now time.Duration) (*question[Snapshot], error) { return x.p.snapshot(r, now) })
	if err != nil || !errors.Is(q.err, ErrNotFound) {
		t.Fatalf("got %v, %v", q.err, err)
	}
}

// clause: 9.1.3, 10.9.4
func TestAQuickHandlerThatFailedIsAnOutcomeAndNoEndOfALog(t *testing.T) {
	x := welcomed(t)
	r := x.submit("a")
	reader := x.read(r)
	x.got(refusal("a", "request", "HANDLER_ERROR", false, `,"executed":true`))
	x.wantOutcome(r, "HANDLER_ERROR server executed")
	x.wantEvents(r, reader, "end")
}

// clause: 10.4.1
func TestARefusalOfARequestThatWasSentOnceIsFinal(t *testing.T) {
	x := welcomed(t)
	r := x.submit("a")
	reader := x.read(r)
	x.got(refusal("a", "request", "RATE_LIMITED", true, ""))
	x.wantOutcome(r, "RATE_LIMITED server")
	x.wantEvents(r, reader, "failed")
}

// clause: 9.5.7, 10.4.2, 10.4.3
func TestARefusalOfARequestThatWasSentTwiceIsNotFinalWhereItIsRetryable(t *testing.T) {
	x := welcomed(t)
	r := x.submit("a")
	x.lose(0)
	x.pass(time.Second)
	x.welcome()
	x.sent = nil
	x.got(strings.Replace(refusal("a", "request", "RATE_LIMITED", true, ""), `"retryable":true`,
		`"retryable":true,"retry_after_ms":800`, 1))
	x.pass(799 * time.Millisecond)
	x.want()
	x.pass(time.Millisecond)
	x.want(resent(2, "a"))
	x.got(refusal("a", "request", "FORBIDDEN", false, ""))
	x.wantOutcome(r, "FORBIDDEN server unknown")
}

// clause: 5.1.7, 9.5.1, 9.5.3, 10.6.1, 10.13.1
func TestWhatIsUnansweredIsSentAgainInTheOrderOfItsFirstSendingWithItsCancelBehind(t *testing.T) {
	// PROTOCOL 11.8
	x := welcomed(t)
	x.submit("a")
	b := x.submit("b")
	x.lose(0)
	x.submit("c")
	x.sent = nil
	q := x.cancel(b)
	x.want()
	x.pass(time.Second)
	x.welcome()
	x.want(resent(2, "a"), resent(2, "b"), cancelText(2, "b"), request(2, "c"))
	x.got(acknowledgment("b"), processing("b", 2, 1, 0), snapshotText("b", "cancel", "processing", 2))
	if !q.answered || q.err != nil {
		t.Fatalf("the cancel: %v, %v", q.answered, q.err)
	}
	x.got(`{"type":"error","request_id":"b","seq":3,"error":{"code":"CANCELLED","message":"m","retryable":false}}`)
	x.wantOutcome(b, "CANCELLED server")
}

// clause: 10.13.2, 10.13.3
func TestNotFoundToTheCancelOfAnUnsettledRequestIsNotFinal(t *testing.T) {
	x := welcomed(t)
	r := x.submit("a")
	x.lose(0)
	x.pass(time.Second)
	x.welcome()
	q := x.cancel(r)
	x.sent = nil
	x.got(refusal("a", "cancel", "NOT_FOUND", false, ""))
	x.want()
	x.got(acknowledgment("a"))
	x.want(cancelText(2, "a")) // PROTOCOL 10.13.3
	x.got(snapshotText("a", "cancel", "processing", 2))
	if !q.answered || q.err != nil {
		t.Fatalf("the cancel: %v, %v", q.answered, q.err)
	}
}

func TestTheCancelOfARequestThatEndsAsQuickIsDone(t *testing.T) {
	x := welcomed(t)
	r := x.submit("a")
	q := x.cancel(r)
	x.got(`{"type":"response","request_id":"a","result":1}`, refusal("a", "cancel", "NOT_FOUND", false, ""))
	if !q.answered || q.err != nil {
		t.Fatalf("the cancel: %v, %v", q.answered, q.err)
	}
	x.wantOutcome(r, "1")
}

// clause: 10.15.4
func TestTheEndMayComeBeforeTheAnswerToTheCancel(t *testing.T) {
	// PROTOCOL 11.7
	x := welcomed(t)
	r := x.submit("a")
	x.got(acknowledgment("a"), processing("a", 2, 1, 0))
	q := x.cancel(r)
	x.got(complete("a", 3), snapshotText("a", "cancel", "completed", 3))
	x.wantOutcome(r, `"done"`)
	if !q.answered || q.err != nil {
		t.Fatalf("the cancel: %v, %v", q.answered, q.err)
	}
}

// clause: 4.3.13
func TestARefusedCancelThatIsRetryableIsRepeated(t *testing.T) {
	x := welcomed(t)
	r := x.attach("a")
	q := x.cancel(r)
	x.sent = nil
	x.got(refusal("a", "cancel", "UNAVAILABLE", true, ""))
	x.pass(time.Second)
	x.want(cancelText(1, "a"))
	x.got(refusal("a", "cancel", "NOT_FOUND", false, ""))
	if !errors.Is(q.err, ErrNotFound) {
		t.Fatalf("the cancel: %v", q.err)
	}
}

// clause: 9.2.3, 9.2.6, 9.5.2, 10.26.1
func TestAfterADropReadingGoesOnBehindTheLastEvent(t *testing.T) {
	// PROTOCOL 11.4, and a second reader from the start
	x := welcomed(t)
	r := x.submit("a")
	first := x.read(r)
	x.got(acknowledgment("a"), processing("a", 2, 1, 0), chunk("a", 3))
	x.lose(0)
	x.pass(time.Second)
	x.sent = nil
	x.welcome()
	x.want(attachText(2, "a", 3))
	x.got(snapshotText("a", "attach", "processing", 4), chunk("a", 4))
	second := x.read(r)
	x.want(attachText(2, "a", 0))
	x.got(chunk("a", 5)) // PROTOCOL 10.26: of the old cursor
	x.got(snapshotText("a", "attach", "processing", 5), acknowledgment("a"), processing("a", 2, 1, 0),
		chunk("a", 3), chunk("a", 4), chunk("a", 5), complete("a", 6))
	x.wantEvents(r, first, "1:queued/0 2:processing/1 3:3 4:4 5:5 end")
	x.wantEvents(r, second, "1:queued/0 2:processing/1 3:3 4:4 5:5 end")
	x.want()
}

// clause: 7.3.3, 9.2.3, 10.26.1, 10.30.1, 10.30.2, 10.30.3, 10.30.4
func TestRepeatsAreDroppedAndAGapIsReadAgainTwice(t *testing.T) {
	x := welcomed(t)
	r := x.submit("a")
	reader := x.read(r)
	x.got(acknowledgment("a"), processing("a", 2, 1, 0), processing("a", 2, 1, 0), chunk("a", 3))
	x.sent = nil
	x.got(chunk("a", 5))
	x.want(attachText(1, "a", 3))
	x.got(complete("a", 6), snapshotText("a", "attach", "completed", 6), chunk("a", 4), chunk("a", 5), chunk("a", 7))
	x.want(attachText(1, "a", 5))
	x.got(snapshotText("a", "attach", "completed", 6), chunk("a", 7))
	x.want(attachText(1, "a", 5)) // the first advanced: this is the second in a row
	x.got(snapshotText("a", "attach", "completed", 6), chunk("a", 7))
	x.wantClosed(CloseProtocolError)
	x.obeyClose()
	x.pass(time.Second)
	x.welcome()
	x.want(attachText(2, "a", 5))
	x.got(snapshotText("a", "attach", "completed", 6), complete("a", 6))
	x.wantEvents(r, reader, "1:queued/0 2:processing/1 3:3 4:4 5:5 end")
}

// clause: 10.27.1, 10.27.2
func TestASnapshotNeverEndsAHandle(t *testing.T) {
	x := welcomed(t)
	r := x.attach("a")
	reader := x.read(r)
	x.got(snapshotText("a", "attach", "completed", 3), acknowledgment("a"), processing("a", 2, 1, 0))
	x.wantOutcome(r, "")
	x.got(complete("a", 3))
	x.wantEvents(r, reader, "1:queued/0 2:processing/1 end")
}

// clause: 10.32.2, 10.32.3
func TestAnotherIncarnationEndsTheHandle(t *testing.T) {
	// PROTOCOL 11.14
	x := welcomed(t)
	r := x.submit("a")
	reader := x.read(r)
	x.got(acknowledgment("a"))
	x.lose(0)
	x.pass(time.Second)
	x.welcome()
	x.sent = nil
	x.got(strings.ReplaceAll(snapshotText("a", "attach", "processing", 6), createdAt, "2026-11-24T00:00:00.000Z"),
		processing("a", 2, 1, 0))
	x.want(detachText(2, "a"))
	x.wantOutcome(r, "NOT_FOUND client")
	x.wantEvents(r, reader, "1:queued/0 failed")
}

// clause: 4.3.12, 10.29.2
func TestAnAttachThatIsRefusedForGoodEndsTheHandle(t *testing.T) {
	for _, code := range []string{"NOT_FOUND", "CONFLICT", "FORBIDDEN"} {
		x := welcomed(t)
		r := x.attach("a")
		reader := x.read(r)
		x.got(refusal("a", "attach", code, code == "CONFLICT", ""))
		x.wantOutcome(r, code+" server")
		x.wantEvents(r, reader, "failed")
	}
}

// clause: 4.3.13
func TestAnAttachThatIsRefusedForNowIsRepeated(t *testing.T) {
	x := welcomed(t)
	r := x.attach("a")
	x.sent = nil
	x.got(refusal("a", "attach", "UNAVAILABLE", true, ""))
	x.wantOutcome(r, "")
	x.pass(500 * time.Millisecond)
	x.want(attachText(1, "a", 0))
}

// clause: 10.33.3
func TestALogThatIsRemovedUnderAReaderEndsIt(t *testing.T) {
	// PROTOCOL 11.12
	x := welcomed(t)
	r := x.attach("a")
	reader := x.read(r)
	x.got(snapshotText("a", "attach", "completed", 5002), acknowledgment("a"))
	x.got(refusal("a", "attach", "NOT_FOUND", false, ""))
	x.wantEvents(r, reader, "1:queued/0 failed")
}

// clause: 4.3.2, 10.2.4, 10.2.5
func TestARefusalConcernsTheMessageThatItAnswersAlone(t *testing.T) {
	x := welcomed(t)
	r := x.submit("a")
	x.got(refusal("a", "cancel", "NOT_FOUND", false, ""), refusal("a", "detach", "FORBIDDEN", false, ""))
	x.wantOutcome(r, "")
}

// clause: 9.5.6, 9.5.7, 10.31.3
func TestAnIdThatWasSentTooLongAgoIsNotSentAgain(t *testing.T) {
	x := newPeer(t)
	x.welcome("604800000", "60000", `25000`, `900000`)
	r := x.submit("a")
	x.lose(0)
	x.now += 2 * time.Minute // asleep
	x.pass(0)
	x.sent = nil
	x.welcome("604800000", "60000")
	x.want()
	x.wantOutcome(r, "CONFLICT client unknown")
	if details := string(r.outcome.err.(*Error).Details); details != `{"reason":"expired"}` {
		t.Fatalf("details are %s", details)
	}
}

// clause: 6.5.5, 10.43.3, 10.43.4
func TestWhatCausedA1009IsNotSentAgain(t *testing.T) {
	x := welcomed(t)
	first, last := x.submit("a"), x.submit("b")
	x.got(`{"type":"ping"}`) // a pong does not count as the last message
	x.lose(CloseMessageTooBig)
	x.wantOutcome(last, "PAYLOAD_TOO_LARGE client")
	x.wantOutcome(first, "")
	x.pass(time.Second)
	x.sent = nil
	x.welcome()
	x.want(resent(2, "a"))
}

// clause: 6.5.4, 10.43.1, 10.43.2
func TestAMessageOverTheLimitFailsAlone(t *testing.T) {
	x := newPeer(t)
	big, err := x.trySubmit("a", `"`+strings.Repeat("é", 600)+`"`)
	if err != nil {
		t.Fatal(err)
	}
	small := x.submit("b")
	x.welcome("1048576", "1000")
	x.want(request(1, "b"))
	x.wantOutcome(big, "PAYLOAD_TOO_LARGE client")
	x.wantOutcome(small, "")
	if details := string(big.outcome.err.(*Error).Details); details != `{"limit":1000,"size":1253}` {
		t.Fatalf("details are %s", details)
	}
}

// clause: 9.6.2, 9.6.3
func TestTheWindowHoldsNewRequestsBackUntilOthersEnd(t *testing.T) {
	x := newPeer(t)
	x.welcome(`"max_in_flight":1000`, `"max_in_flight":2`)
	x.submit("a")
	b := x.submit("b")
	x.submit("c")
	x.want(request(1, "a"), request(1, "b"))
	x.got(`{"type":"response","request_id":"a","result":1}`)
	x.want(request(1, "c"))
	x.got(acknowledgment("b"))
	x.release(b) // it still counts on the server
	x.submit("d")
	x.want(detachText(1, "b"))
	x.pass(5 * time.Second)
	x.want(askText(1, "b", 1))
	x.got(snapshotText("b", "attach", "completed", 2))
	x.want(request(1, "d"))
}

// clause: 9.6.1, 9.6.3
func TestTheTokenBucketLetsHalfTheBurstOutAndThenTheRate(t *testing.T) {
	x := newPeer(t)
	x.welcome(`"message_burst":1000`, `"message_burst":5`, `"messages_per_minute":6000`, `"messages_per_minute":60`)
	for i := range 6 {
		x.submit(fmt.Sprint("r", i))
	}
	x.want(request(1, "r0"), request(1, "r1"), request(1, "r2"))
	x.got(`{"type":"ping"}`)
	x.want(`1 {"type":"pong"}`) // is free
	x.pass(990 * time.Millisecond)
	x.want()
	x.pass(20 * time.Millisecond)
	x.want(request(1, "r3"))
	x.pass(2 * time.Second)
	x.want(request(1, "r4"), request(1, "r5"))
}

// clause: 9.5.3, 9.5.4
func TestAFullQueueTakesNoMore(t *testing.T) {
	x := newPeer(t, WithQueueLimits(2, 1000))
	x.submit("a")
	if _, err := x.trySubmit("b", `"`+strings.Repeat("x", 1000)+`"`); !errors.Is(err, ErrQueueFull) {
		t.Fatalf("got %v", err)
	}
	x.submit("b")
	if _, err := x.trySubmit("c", "null"); !errors.Is(err, ErrQueueFull) {
		t.Fatalf("got %v", err)
	}
	x.welcome()
	x.want(request(1, "a"), request(1, "b"))
	x.submit("c")
}

// clause: 9.5.5
func TestARequestWhoseCallerGaveUpBeforeItsSendingIsNotSent(t *testing.T) {
	x := newPeer(t)
	r := x.submit("a")
	x.release(r)
	if r.outcome == nil || !errors.Is(r.outcome.err, ErrDetached) {
		t.Fatalf("it ended with %v", r.outcome)
	}
	x.welcome()
	x.want()
}

func TestARequestWhoseCallerGaveUpAfterItsSendingIsSettledAndDetached(t *testing.T) {
	x := welcomed(t)
	x.release(x.submit("a"))
	x.lose(0)
	x.pass(time.Second)
	x.sent = nil
	x.welcome()
	x.want(resent(2, "a"))
	x.got(acknowledgment("a"))
	x.want(detachText(2, "a"))
}

// clause: 2.5.2, 2.5.3, 2.5.4
func TestANumberOfAMessageOfUnknownTypeCounts(t *testing.T) {
	x := welcomed(t)
	r := x.submit("a")
	reader := x.read(r)
	x.got(acknowledgment("a"), `{"type":"hint","request_id":"a","seq":2}`, `{"type":"hint","request_id":"a","seq":9}`,
		processing("a", 3, 1, 0), complete("a", 4))
	x.wantEvents(r, reader, "1:queued/0 3:processing/1 end")
	if x.p.core.ignored != 2 {
		t.Fatalf("ignored %d", x.p.core.ignored)
	}
}

// clause: 2.5.7, 2.5.8, 2.5.9
func TestAnUnknownStatusIsNoEnd(t *testing.T) {
	x := welcomed(t)
	r := x.submit("a")
	reader := x.read(r)
	x.got(acknowledgment("a"), strings.Replace(processing("a", 2, 1, 0), "processing", "exploded", 1),
		snapshotText("a", "attach", "exploded", 2))
	x.wantEvents(r, reader, "1:queued/0 2:exploded/1")
	x.wantOutcome(r, "")
}

// clause: 6.3.4, 10.36.2
func TestOlderProgressIsDropped(t *testing.T) {
	x := welcomed(t)
	r := x.submit("a")
	reader := x.read(r)
	x.got(acknowledgment("a"), processing("a", 2, 2, 0))
	for _, p := range []string{progress("a", 2, 5), progress("a", 2, 4), progress("a", 1, 9), progress("a", 2, 5)} {
		x.got(p)
	}
	x.wantEvents(r, reader, "1:queued/0 2:processing/2 progress 2.5")
	x.got(progress("a", 2, 6), progress("a", 2, 7), complete("a", 3), progress("a", 2, 8))
	x.wantEvents(r, reader, "progress 2.7 end")
}

// clause: 10.36.3
func TestInAReplayProgressWaitsForItsAttempt(t *testing.T) {
	x := welcomed(t)
	r := x.attach("a")
	reader := x.read(r)
	x.got(strings.Replace(snapshotText("a", "attach", "processing", 3), `"last_seq":3`,
		`"last_seq":3,"progress":{"attempt":1,"version":4,"updated_at":"`+createdAt+`"}`, 1), acknowledgment("a"))
	x.wantEvents(r, reader, "1:queued/0")
	x.got(processing("a", 2, 1, 0), chunk("a", 3))
	x.wantEvents(r, reader, "2:processing/1 progress 1.4 3:3")
}

func TestHeldProgressComesBeforeTheEnd(t *testing.T) {
	x := welcomed(t)
	r := x.attach("a")
	reader := x.read(r)
	x.got(snapshotText("a", "attach", "completed", 9), acknowledgment("a"), progress("a", 2, 1))
	x.wantEvents(r, reader, "1:queued/0")
	x.got(complete("a", 2)) // the beginning of attempt 2 was never told
	x.wantEvents(r, reader, "progress 2.1 end")
}

// clause: 6.4.4
func TestASlowIteratorPausesAndReadsOnFromItsPlace(t *testing.T) {
	x := welcomed(t, WithIteratorLimits(4, 1<<20))
	r := x.submit("a")
	reader := x.read(r)
	x.sent = nil
	x.got(acknowledgment("a"), processing("a", 2, 1, 0), chunk("a", 3), chunk("a", 4))
	x.want(detachText(1, "a"))
	x.got(chunk("a", 5))
	if got := x.takeSome(r, reader, 1); got != "1:queued/0" {
		t.Fatalf("events %s", got)
	}
	x.want()
	x.takeSome(r, reader, 1)
	x.want(attachText(1, "a", 4))
	x.got(snapshotText("a", "attach", "processing", 5), chunk("a", 5), complete("a", 6))
	x.wantEvents(r, reader, "3:3 4:4 5:5 end")
}

// clause: 6.4.4
func TestASlowIteratorHoldsUpNoOther(t *testing.T) {
	x := welcomed(t, WithIteratorLimits(4, 1<<20))
	r := x.submit("a")
	slow, quick := x.read(r), x.read(r)
	x.sent = nil
	x.got(acknowledgment("a"), processing("a", 2, 1, 0))
	x.take(r, quick)
	x.got(chunk("a", 3), chunk("a", 4), chunk("a", 5))
	x.wantEvents(r, quick, "3:3 4:4 5:5")
	x.want()
	x.got(complete("a", 6))
	x.wantEvents(r, quick, "end")
	x.wantEvents(r, slow, "1:queued/0 2:processing/1 3:3 4:4")
	x.want(attachText(1, "a", 4))
	x.got(snapshotText("a", "attach", "completed", 6), chunk("a", 5), complete("a", 6))
	x.wantEvents(r, slow, "5:5 end")
}

// clause: 9.2.6
func TestAnIteratorOfAFinishedRequestReadsItsLogFromTheServer(t *testing.T) {
	x := welcomed(t)
	r := x.submit("a")
	x.got(acknowledgment("a"), complete("a", 2))
	x.sent = nil
	reader := x.read(r)
	x.want(attachText(1, "a", 0))
	x.got(snapshotText("a", "attach", "completed", 2), acknowledgment("a"), complete("a", 2))
	x.wantEvents(r, reader, "1:queued/0 end")
	x.wantOutcome(r, `"done"`)
}

func TestAnIteratorThatIsLeftEndsTheReading(t *testing.T) {
	x := welcomed(t)
	r := x.attach("a")
	reader := x.read(r)
	x.got(snapshotText("a", "attach", "processing", 2))
	x.sent = nil
	x.stop(r, reader)
	x.want() // the handle still wants the end
	x.release(r)
	x.want(detachText(1, "a"))
}

// clause: 9.2.10, 10.25.4
func TestDetachIsSentWhenTheLastHandleIsDetached(t *testing.T) {
	x := welcomed(t)
	first := x.attach("a")
	if x.attach("a") != first {
		t.Fatal("two handles of one id do not share its state")
	}
	x.sent = nil
	x.release(first)
	x.want()
	x.release(first)
	x.want(detachText(1, "a"))
}

func TestTheSameIdAndPayloadIsTheSameRequest(t *testing.T) {
	x := welcomed(t)
	first, err := x.trySubmit("a", `{"a":1.0,"b":[-0]}`)
	if err != nil {
		t.Fatal(err)
	}
	x.sent = nil
	second, err := x.trySubmit("a", `{"b":[0],"a":1}`)
	if err != nil || second != first {
		t.Fatalf("got %v, %v", second, err)
	}
	x.want()
	if _, err := x.trySubmit("a", `{"b":[0],"a":2}`); !errors.Is(err, ErrConflict) {
		t.Fatalf("got %v", err)
	}
}

// clause: 10.39.1, 10.39.2
func TestTheFirstOutcomeStands(t *testing.T) {
	x := welcomed(t)
	r := x.submit("a")
	x.got(`{"type":"response","request_id":"a","result":1}`, `{"type":"response","request_id":"a","result":2}`,
		acknowledgment("a"), complete("a", 2), refusal("a", "request", "FORBIDDEN", false, ""))
	x.wantOutcome(r, "1")
}

// clause: 2.5.7, 2.5.8, 7.1.4, 9.8.2
func TestAnErrorKnowsTheNewestAttempt(t *testing.T) {
	x := welcomed(t)
	r := x.submit("a")
	x.got(acknowledgment("a"), processing("a", 2, 3, 0),
		`{"type":"error","request_id":"a","seq":3,"error":{"code":"NEW_CODE","message":"m","retryable":true}}`)
	var err *Error
	if !errors.As(r.outcome.err, &err) || err.Attempt != 3 || !errors.Is(err, ErrInternal) || err.Code != "NEW_CODE" {
		t.Fatalf("got %v", r.outcome.err)
	}
}

// clause: 10.2.4
func TestListsAreAnsweredByTheirIdAndAskedAgainAfterADrop(t *testing.T) {
	x := welcomed(t)
	list := func() *listQuestion {
		q, err := do(x, func(now time.Duration) (*listQuestion, error) { return x.p.list(&wire.ListMessage{}, now) })
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	first, second := list(), list()
	x.got(`{"type":"error","reply_to":"list","id":"list-1","error":{"code":"FORBIDDEN","message":"m","retryable":false}}`)
	if !errors.Is(first.err, ErrForbidden) || second.answered {
		t.Fatalf("got %v, %v", first.err, second.answered)
	}
	x.lose(0)
	x.pass(time.Second)
	x.sent = nil
	x.welcome()
	x.want(`2 {"type":"list","id":"list-2"}`)
	x.got(`{"type":"listing","id":"list-2","requests":[],"next_cursor":"n"}`)
	if !second.answered || *second.answer.next != "n" {
		t.Fatalf("got %v", second)
	}
}

func TestASnapshotThatIsUnansweredIsAskedAgainAfterADrop(t *testing.T) {
	x := welcomed(t)
	r := x.attach("a")
	x.got(snapshotText("a", "attach", "processing", 2), acknowledgment("a"))
	q, _ := do(x, func(now time.Duration) (*question[Snapshot], error) { return x.p.snapshot(r, now) })
	x.lose(0)
	x.pass(time.Second)
	x.sent = nil
	x.welcome()
	x.want(attachText(2, "a", 1))
	x.got(snapshotText("a", "attach", "processing", 7))
	if !q.answered || q.answer.Request.LastSeq != 7 {
		t.Fatalf("got %v", q)
	}
}

// clause: 9.9.2
func TestNothingAServerSendsBreaksTheClient(t *testing.T) {
	ids := []string{"a", "b", "nobody"}
	random := rand.New(rand.NewPCG(1, 2))
	pick := func() string {
		id, seq := ids[random.IntN(len(ids))], 1+random.IntN(6)
		return []string{
			acknowledgment(id), processing(id, seq, 1+random.IntN(3), random.IntN(3)), chunk(id, seq), complete(id, seq),
			progress(id, 1+random.IntN(3), seq), snapshotText(id, "attach", "processing", seq),
			snapshotText(id, "cancel", "completed", seq), refusal(id, "attach", "UNAVAILABLE", true, ""),
			refusal(id, "request", "RATE_LIMITED", true, ""), refusal(id, "cancel", "NOT_FOUND", false, ""),
			refusal(id, "attach", "NOT_FOUND", false, ""), `{"type":"hint","request_id":"a","seq":3}`,
			`{"type":"response","request_id":"` + id + `","result":1}`, `{"type":"pong"}`, welcomeText(),
			`{"type":"goaway","reason":"r","reconnect_after_ms":10}`, `{"type":"listing","id":"x","requests":[]}`,
		}[random.IntN(17)]
	}
	for range 150 {
		x := welcomed(t, WithIteratorLimits(3, 1000))
		for range 200 {
			switch random.IntN(12) {
			case 0:
				if r, err := x.trySubmit(ids[random.IntN(2)], "null"); err == nil && r.outcome == nil {
					x.cancel(r)
				}
			case 1:
				r := x.attach(ids[random.IntN(2)])
				x.takeSome(r, x.read(r), 2)
			case 2:
				x.lose([]CloseCode{0, 1009, 1012, CloseUnauthorized}[random.IntN(4)])
			case 3:
				x.pass(time.Duration(random.IntN(30)) * time.Second)
			case 4:
				if link := x.p.core.link(x.link); link != nil && link.phase == linkOpening {
					x.welcome()
				}
			case 5:
				for _, e := range x.closed {
					x.loseLink(e.link, 0)
				}
				x.closed = nil
			default:
				x.got(pick())
			}
			if x.p.connection.isClosed() {
				break
			}
		}
	}
}
