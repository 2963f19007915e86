// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"time"
)

// The end of a link.

// lost: a link is closed; code is what the server closed it with, 0 without any.
func (l *lifecycle) lost(link *link, code CloseCode, reason string, atLeast, now time.Duration) {
	wasCurrent := link == l.current
	if wasCurrent {
		l.current = nil
	} else {
		l.draining = without(l.draining, link)
	}
	l.timers.cancel(welcomeTimer(link.id))
	l.timers.cancel(heartbeatTimer(link.id))
	shown := code
	if link.ours { // PROTOCOL 7.3.3
		code, shown = 0, link.closedWith.code
		if reason == "" {
			reason = link.closedWith.reason
		}
		if link.wasReady && isViolation(shown) {
			l.backoff.takeBack()
		}
	}
	l.requests.linkLost(link, code)
	if l.isClosed() || !wasCurrent && l.ready() != nil {
		return // closed for good; or all has moved already
	}
	action := closeActionFor(code)
	if action == actionReconnectWithFreshToken && wasCurrent {
		l.unauthorized++
		l.tokenReason = TokenAfterRefusal
		if l.unauthorized > 1 { // PROTOCOL 10.42
			action = actionStop
		}
	}
	switch {
	case action == actionStop:
		l.stop(code, reason)
	case wasCurrent:
		l.planOpen(shown, reason, atLeast, now)
	case l.state.Name == ConnectionDraining && len(l.draining) == 0:
		l.lostWhileMoving(shown, reason, now)
	}
}

// isViolation is true for the codes with which a client closes because the server broke the protocol.
func isViolation(code CloseCode) bool {
	return code == CloseProtocolError || code == CloseBinaryFrame || code == closeInvalidText
}

func (l *lifecycle) planOpen(code CloseCode, reason string, atLeast, now time.Duration) {
	l.timers.cancel(refreshTimer)
	wait := max(atLeast, l.backoff.wait())
	l.timers.set(openTimer, now+wait)
	if l.state.Name != ConnectionDraining || len(l.draining) == 0 {
		l.to(connectionOnLost, State{RetryIn: wait, Code: code, Reason: reason})
	}
}

// lostWhileMoving: the old link went before the new one was ready; now this is a reconnect as any other.
func (l *lifecycle) lostWhileMoving(code CloseCode, reason string, now time.Duration) {
	planned, ok := l.timers[openTimer]
	l.to(connectionOnLost, State{RetryIn: max(0, planned-now), Code: code, Reason: reason})
	if !ok { // the new one is on its way
		l.to(connectionOnRetry, State{})
	}
}

// The end.

// closeClient: the application closes the client. Nothing is cancelled on the server (PROTOCOL 9.3.4).
func (l *lifecycle) closeClient() {
	l.to(connectionOnClose, State{Reason: "closed by the application"})
	l.end("closed")
}

func (l *lifecycle) stop(code CloseCode, reason string) {
	l.to(connectionOnStop, State{Code: code, Reason: reason})
	l.end("stopped")
}

// stopAsAnother: the token names another identity than the first one did (PROTOCOL 10.40).
func (l *lifecycle) stopAsAnother() {
	reason := "the token names another identity than the first one did"
	l.to(connectionOnStop, State{Reason: reason})
	l.requests.endAll(func(t *tracked) error {
		if t == nil {
			return localError(CodeUnauthorized, "", reason, nil)
		}
		err := localError(CodeUnauthorized, t.id, reason, nil)
		err.Attempt, err.OutcomeUnknown = t.attempt, t.phase == phaseSent
		return err
	})
	l.end("another principal")
}

func (l *lifecycle) end(reason string) {
	l.requests.endAll(l.closedError)
	for _, timer := range []timerName{openTimer, refreshTimer, bucketTimer, pollTimer} {
		l.timers.cancel(timer)
	}
	for _, link := range l.links() {
		l.close(link, closeNormal, reason)
	}
}
