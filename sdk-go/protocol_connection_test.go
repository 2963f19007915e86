// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// clause: 3.2.1, 4.2.1, 4.2.2, 6.5.3
func TestHelloIsTheFirstMessageAndNothingFollowsBeforeWelcome(t *testing.T) {
	x := newPeer(t, WithApplicationName("app"))
	x.submit("a")
	x.want()
	x.open()
	x.want(`1 {"type":"hello","token":"token","client":{"name":"app longcall-go","version":"` + Version + `"}}`)
	x.got(welcomeText())
	x.want(request(1, "a"))
	x.wantStates("connecting", "ready resumed=false")
	if x.limits[0] != 1048576 {
		t.Fatalf("the read limit is %d", x.limits[0])
	}
}

// clause: 4.2.9
func TestAFirstMessageThatIsNoWelcomeClosesAndReconnects(t *testing.T) {
	for _, text := range []string{`{"type":"ping"}`, `{"type":"hint"}`, `{"type":"welcome"}`, `x`,
		welcomeText("2026-11-23T19:40:00.000Z", "2026-02-30T19:40:00.000Z")} {
		x := newPeer(t)
		x.open()
		x.got(text)
		x.wantClosed(CloseProtocolError)
		x.obeyClose()
		x.wantStates("connecting", "reconnecting in 500ms code=4400")
	}
}

// clause: 4.3.14, 7.3.3, 9.4.4
func TestAMalformedMessageClosesWith4400AndReconnectsWithAGrowingWait(t *testing.T) {
	x := newPeer(t)
	for _, wait := range []string{"500ms", "1s", "2s"} {
		x.states = nil
		x.welcome()
		x.got(`{"type":"chunk","request_id":"a","seq":0}`)
		x.wantClosed(CloseProtocolError)
		x.obeyClose()
		if last := x.states[len(x.states)-1]; last != "reconnecting in "+wait+" code=4400" {
			t.Fatalf("the state is %s, not after %s", last, wait)
		}
		x.pass(20 * time.Second)
	}
}

// clause: 2.2.3, 2.2.4
func TestTextThatIsNotUTF8AndBinaryFramesAreClosedWithTheirCodes(t *testing.T) {
	x := welcomed(t)
	x.got("{\"type\":\"ping\",\"nonce\":\"\xff\"}")
	x.wantClosed(closeInvalidText)
	x = welcomed(t)
	x.p.handleBinary(x.link)
	x.settle()
	x.wantClosed(CloseBinaryFrame)
	x.obeyClose()
	x.wantStates("connecting", "ready resumed=false", "reconnecting in 500ms code=1003")
}

func TestWhatArrivesBehindOurCloseIsNotTaken(t *testing.T) {
	x := welcomed(t)
	r := x.submit("a")
	x.got(`x`, acknowledgment("a"))
	if r.phase != phaseSent {
		t.Fatalf("it was taken: %v", r.phase)
	}
}

// clause: 7.3.1, 7.3.2, 7.3.4, 9.5.7
func TestTheCloseCodeTableDecides(t *testing.T) {
	for code, stops := range map[CloseCode]bool{
		0: false, 1000: false, 1001: false, 1003: true, 1006: false, 1009: false, 1011: false, 1012: false,
		1013: false, 4400: true, 4401: false, 4403: true, 4408: false, 4429: false, 4999: false,
	} {
		t.Run(strconv.Itoa(int(code)), func(t *testing.T) {
			x := welcomed(t)
			sent, stored := x.submit("a"), x.attach("b")
			x.submit("last")
			x.lose(code)
			if x.p.connection.isClosed() != stops {
				t.Fatalf("the state is %v", x.states)
			}
			if stops {
				x.wantOutcome(sent, "closed "+strconv.Itoa(int(code))+" unknown=true")
				x.wantOutcome(stored, "closed "+strconv.Itoa(int(code))+" unknown=false")
			}
		})
	}
}

// clause: 9.4.2, 9.4.3
func TestWaitsDoubleUpTo20SecondsAndStartOverAtAWelcome(t *testing.T) {
	x := newPeer(t)
	for _, wait := range []string{"500ms", "1s", "2s", "4s", "8s", "16s", "20s", "20s"} {
		x.states = nil
		x.p.handleOpenFailed(x.link, openFailure{reason: "refused"}, x.now)
		x.settle()
		x.wantStates("reconnecting in " + wait)
		x.pass(20 * time.Second)
	}
	x.welcome()
	x.lose(0)
	if last := x.states[len(x.states)-1]; last != "reconnecting in 500ms" {
		t.Fatalf("the state is %s", last)
	}
}

// clause: 9.4.2
func TestTheWaitIsRandom(t *testing.T) {
	x := welcomed(t, WithRandom(func() float64 { return 0.25 }))
	x.lose(0)
	x.wantStates("connecting", "ready resumed=false", "reconnecting in 125ms")
}

// clause: 9.4.8
func TestAnUpgradeRefusedByHTTPIsReadAsACloseCode(t *testing.T) {
	fail := func(status int, after time.Duration) *peer {
		x := newPeer(t)
		x.p.handleOpenFailed(x.link, openFailure{status: status, retryAfter: after}, x.now)
		x.settle()
		return x
	}
	fail(403, 0).wantStates("connecting", "closed code=4403")
	fail(503, 7*time.Second).wantStates("connecting", "reconnecting in 7s")
	fail(404, 0).wantStates("connecting", "reconnecting in 500ms")
	x := fail(401, 0)
	x.wantStates("connecting", "reconnecting in 500ms code=4401")
	x.pass(time.Second)
	if x.opened[1].reason != TokenAfterRefusal {
		t.Fatalf("the token is asked for because of %s", x.opened[1].reason)
	}
}

// clause: 10.42.3, 10.42.4
func TestASecond4401WithoutAWelcomeBetweenStops(t *testing.T) {
	x := welcomed(t)
	r := x.submit("a")
	x.lose(CloseUnauthorized)
	x.pass(time.Second)
	x.welcome()
	x.lose(CloseUnauthorized)
	x.pass(time.Second)
	x.open()
	x.lose(CloseUnauthorized)
	x.wantOutcome(r, "closed 4401 unknown=true")
}

// clause: 4.2.10
func TestAWelcomeThatDoesNotComeIsGivenUp(t *testing.T) {
	x := newPeer(t)
	x.open()
	x.pass(10 * time.Second)
	x.wantClosed(CloseTooSlow)
	if !x.closed[0].abort {
		t.Fatal("a dead peer is given a closing handshake")
	}
	x.obeyClose()
	x.wantStates("connecting", "reconnecting in 500ms code=4408")
}

// clause: 6.7.1, 6.7.6
func TestASilentPeerIsLeftAfterIntervalAndTenSeconds(t *testing.T) {
	x := welcomed(t)
	x.pass(34 * time.Second)
	x.p.handleLife(x.link, x.now) // a control frame
	x.pass(34 * time.Second)
	if len(x.closed) > 0 {
		t.Fatal("it was left too early")
	}
	x.pass(time.Second)
	x.wantClosed(CloseTooSlow)
}

// clause: 6.7.3, 6.7.4
func TestThisSidePingsWhereWelcomeSaysSo(t *testing.T) {
	x := newPeer(t)
	x.welcome(`"from":"server"`, `"from":"client"`)
	x.pass(25 * time.Second)
	x.want(`1 {"type":"ping"}`)
	x.got(`{"type":"pong"}`)
	x.pass(25 * time.Second)
	x.want(`1 {"type":"ping"}`)
	y := newPeer(t)
	y.welcome(`"from":"server"`, `"from":"moon"`)
	y.pass(30 * time.Second)
	y.want()
}

// clause: 4.7.1
func TestAPingIsAnsweredWithItsNonce(t *testing.T) {
	x := welcomed(t)
	x.got(`{"type":"ping","nonce":"7"}`, `{"type":"ping"}`)
	x.want(`1 {"type":"pong","nonce":"7"}`, `1 {"type":"pong"}`)
}

// clause: 3.6.1, 10.41.2, 10.41.3
func TestTheTokenIsRefreshedAt80PercentOfItsLife(t *testing.T) {
	x := newPeer(t)
	x.welcome("25000", "9000000") // a heartbeat that does not disturb
	x.pass(48*time.Minute - time.Second)
	if len(x.asked) > 0 {
		t.Fatal("it is refreshed too early")
	}
	x.pass(time.Second)
	x.p.handleToken(x.asked[0], "fresh", x.now)
	x.settle()
	x.want(`1 {"type":"refresh","token":"fresh"}`)
	x.got(`{"type":"refreshed","server_time":"2026-11-23T19:28:00.000Z","expires_at":"2026-11-23T20:28:00.000Z"}`)
	x.pass(48 * time.Minute)
	if len(x.asked) != 2 {
		t.Fatalf("it was asked for %d times", len(x.asked))
	}
}

// clause: 9.4.6, 10.2.5
func TestARefusedRefreshIsTriedAgainAt80PercentOfTheRest(t *testing.T) {
	x := newPeer(t)
	x.welcome("25000", "9000000")
	r := x.submit("a")
	x.pass(48 * time.Minute)
	x.p.handleToken(x.asked[0], "bad", x.now)
	x.settle()
	x.got(`{"type":"error","reply_to":"refresh","error":{"code":"UNAUTHORIZED","message":"m","retryable":false}}`)
	x.wantOutcome(r, "")
	x.pass(9*time.Minute + 35*time.Second)
	if len(x.asked) != 1 {
		t.Fatal("it is tried again too early")
	}
	x.pass(2 * time.Second)
	x.p.handleToken(x.asked[1], "", x.now) // the source has none now
	x.pass(time.Minute + 56*time.Second)
	if len(x.asked) != 3 {
		t.Fatalf("it was asked for %d times", len(x.asked))
	}
}

// clause: 10.40.2, 10.40.3, 10.40.4
func TestAnotherPrincipalEndsEverything(t *testing.T) {
	x := welcomed(t)
	unanswered, stored := x.submit("a"), x.attach("b")
	reader := x.read(stored)
	x.lose(0)
	x.pass(time.Second)
	x.sent = nil
	x.welcome("p_1", "p_2")
	x.want() // PROTOCOL 10.40.3
	x.wantOutcome(unanswered, "UNAUTHORIZED client unknown")
	x.wantOutcome(stored, "UNAUTHORIZED client")
	x.wantEvents(stored, reader, "failed")
	if !x.p.connection.isClosed() {
		t.Fatal("it is still open")
	}
}

// clause: 6.8.5, 6.8.6, 6.8.7, 6.8.8, 6.8.9, 10.37.1, 10.37.2, 10.38.1, 10.38.3
func TestGoawayMovesWithoutALossOrAnError(t *testing.T) {
	// PROTOCOL 11.9
	x := welcomed(t)
	followed := x.attach("a")
	reader := x.read(followed)
	x.got(snapshotText("a", "attach", "processing", 3), acknowledgment("a"), processing("a", 2, 1, 0), chunk("a", 3))
	unanswered := x.submit("b")
	x.sent = nil
	x.got(`{"type":"goaway","reason":"restart","reconnect_after_ms":340}`)
	x.got(`{"type":"goaway","reason":"restart","reconnect_after_ms":9999}`) // PROTOCOL 6.8.9
	waits := x.submit("c")
	x.want() // PROTOCOL 10.37
	x.pass(340 * time.Millisecond)
	x.welcome()
	x.want(attachText(2, "a", 3), request(2, "c"))
	x.gotOn(1, chunk("a", 4))
	x.gotOn(1, acknowledgment("b"))
	x.got(snapshotText("a", "attach", "processing", 4), chunk("a", 4))
	x.want(attachText(2, "b", 1))
	if len(x.closed) > 0 {
		t.Fatal("the old connection was closed before every attach was answered")
	}
	x.got(snapshotText("b", "attach", "queued", 1))
	x.wantClosed(closeNormal)
	x.obeyClose()
	x.got(chunk("a", 5), acknowledgment("c"))
	x.wantEvents(followed, reader, "1:queued/0 2:processing/1 3:3 4:4 5:5")
	x.wantOutcome(unanswered, "")
	x.wantOutcome(waits, "")
	x.wantStates("connecting", "ready resumed=false", "draining", "ready resumed=true")
}

// clause: 10.6.1, 10.38.2
func TestWhatWasUnansweredOnADrainingConnectionThatClosesIsSentAgain(t *testing.T) {
	x := welcomed(t)
	x.submit("a")
	x.got(`{"type":"goaway","reason":"restart","reconnect_after_ms":0}`)
	x.pass(0)
	x.sent = nil
	x.welcome()
	x.want()
	x.loseLink(1, CloseServiceRestart)
	x.want(resent(2, "a"))
	x.wantStates("connecting", "ready resumed=false", "draining", "ready resumed=true")
}

func TestADrainingConnectionThatBreaksIsReplacedAtThePlannedTime(t *testing.T) {
	x := welcomed(t)
	x.got(`{"type":"goaway","reason":"restart","reconnect_after_ms":3000}`)
	x.pass(time.Second)
	x.lose(0)
	x.wantStates("connecting", "ready resumed=false", "draining", "reconnecting in 2s")
	x.pass(2 * time.Second)
	x.wantStates("connecting")
}

func TestTheCancelOfARequestThatIsUnansweredOnTheOldConnectionIsSentThere(t *testing.T) {
	x := welcomed(t)
	r := x.submit("a")
	x.got(`{"type":"goaway","reason":"restart","reconnect_after_ms":0}`)
	x.pass(0)
	x.welcome()
	x.sent = nil
	x.cancel(r)
	x.want(cancelText(1, "a")) // PROTOCOL 6.8.10
}

// clause: 7.3.5, 9.3.4, 9.5.7
func TestClosingCancelsNothingAndEndsWhatWaits(t *testing.T) {
	x := welcomed(t)
	sent := x.submit("a")
	stored := x.attach("b")
	reader := x.read(stored)
	x.sent = nil
	x.p.close()
	x.settle()
	x.want() // PROTOCOL 9.3.4
	x.wantClosed(closeNormal)
	x.wantOutcome(sent, "closed 0 unknown=true")
	x.wantEvents(stored, reader, "failed")
	if _, err := x.trySubmit("c", "null"); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Fatalf("got %v", err)
	}
	x.obeyClose()
	if _, ok := x.p.nextTimeout(); ok {
		t.Fatal("a closed client waits for something")
	}
}

// clause: 4.7.3
func TestAnAnnouncementGoesToTheApplication(t *testing.T) {
	x := welcomed(t)
	x.got(`{"type":"announcement","message":"hello","details":{"a":1},"created_at":"` + createdAt + `"}`)
	if len(x.announced) != 1 || x.announced[0].Message != "hello" || string(x.announced[0].Details) != `{"a":1}` {
		t.Fatalf("got %v", x.announced)
	}
}

func TestMessagesOutOfPlaceAreIgnoredAndCounted(t *testing.T) {
	x := welcomed(t)
	x.got(welcomeText(), `{"type":"hint"}`,
		`{"type":"error","error":{"code":"VALIDATION_ERROR","message":"m","retryable":false}}`)
	if x.p.core.ignored != 3 || len(x.closed) > 0 {
		t.Fatalf("ignored %d, closed %v", x.p.core.ignored, x.closed)
	}
}

func TestDurationsOfAnyLengthDoNotOverflow(t *testing.T) {
	x := newPeer(t)
	x.welcome("25000", "9007199254740991", "604800000", "9007199254740991",
		"2026-11-23T19:40:00.000Z", "9999-12-31T23:59:60.000Z")
	x.got(`{"type":"goaway","reason":"r","reconnect_after_ms":9007199254740991}`)
	x.pass(24 * time.Hour)
	if len(x.closed) > 0 || len(x.opened) > 1 {
		t.Fatalf("closed %v, opened %v", x.closed, x.opened)
	}
}
