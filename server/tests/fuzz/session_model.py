# SPDX-License-Identifier: Apache-2.0
"""A connection as PROTOCOL.md describes it from outside: what each step must lead to.

It knows what a message is from the oracle alone, and keeps account of rate and time by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from fuzz.oracle import Bounds, Verdict, judge

HELLO_TIMEOUT_MS = 10_000
HEARTBEAT_MS = 25_000
ABUSE_BURSTS = 10
BAD_TOKEN = 10
BYTES_A_MESSAGE = 4096
MINUTE_MS = 60_000


@dataclass
class Account:
    """Messages that a client may send: `burst` at once, `per_minute` on average."""

    per_minute: int
    burst: int
    at: int
    left: Fraction = field(init=False)

    def __post_init__(self) -> None:
        self.left = Fraction(self.burst)

    def pass_time(self, now: int) -> None:
        """Time fills it; a clock that is set back does not empty it."""
        if now > self.at:
            earned = Fraction((now - self.at) * self.per_minute, MINUTE_MS)
            self.left = min(Fraction(self.burst), self.left + earned)
        self.at = now


@dataclass(frozen=True)
class Expected:
    """What a step must lead to; exactly one output, or none."""

    kind: str
    """`nothing`, `verify`, `close`, `refusal`, `decision`, or the type of a message sent."""
    codes: frozenset[str | int] = frozenset()
    verdict: Verdict | None = None
    members: dict[str, Any] = field(default_factory=dict)


NOTHING = Expected("nothing")


def _close(*codes: int) -> Expected:
    return Expected("close", frozenset(codes))


@dataclass
class Model:
    """What is known of one connection."""

    per_minute: int
    burst: int
    transport_token: str | None
    bounds: Bounds
    now: int
    phase: str = "hello"
    """`hello`, `open`, `closed`."""
    verifying: str | None = None
    principal: str | None = None
    expires_at: int = 0
    hello_until: int = field(init=False)
    goaway_owed: int = 0
    pings: int = 0
    """That no pong has answered."""
    told_to_wait_until: int = 0
    size: int = 0
    """Of the last text."""
    messages: Account = field(init=False)
    abuse: Account = field(init=False)

    def __post_init__(self) -> None:
        self.hello_until = self.now + HELLO_TIMEOUT_MS
        self.messages = Account(self.per_minute, self.burst, self.now)
        slowly = max(1, self.per_minute // ABUSE_BURSTS)
        self.abuse = Account(slowly, self.burst * ABUSE_BURSTS, self.now)

    # --- A frame ----------------------------------------------------------------------------------

    def receive(self, text: str) -> Expected:
        """A text frame."""
        if self.phase == "closed":
            return NOTHING
        self.size = len(text)
        verdict = judge(text, self.bounds)
        expected = self._hello(verdict) if self.phase == "hello" else self._message(verdict)
        if expected.kind == "close":
            self.phase = "closed"
        elif expected.kind == "verify":
            self.verifying = verdict.type
        return expected

    def _hello(self, verdict: Verdict) -> Expected:
        """PROTOCOL 4.2.3, 4.2.5, 4.2.6."""
        if verdict.type != "hello" and not verdict.is_unread:
            return _close(4400)
        if not verdict.is_accepted:
            if verdict.is_unread:
                return _close(4400, 4401)
            if not all(map(_is_of_token, verdict.defects)):
                return _close(4400)
            return _close(4401, 4400) if verdict.optional else _close(4401)
        if verdict.may_refuse:
            # The last of two equal keys counts, where it is not refused.
            return Expected("verify or close", frozenset({4400, 4401}), verdict)
        token = verdict.members.get("token", self.transport_token)
        if token is None:
            return _close(4401)
        return Expected("verify", verdict=verdict, members={"token": token})

    def _message(self, verdict: Verdict) -> Expected:
        if not verdict.is_accepted:
            self.refused()
            return Expected("refusal", frozenset(verdict.codes), verdict)
        if verdict.may_refuse:
            return Expected("refusal or not", frozenset({"VALIDATION_ERROR"}), verdict)
        return self.accepted(verdict)

    def accepted(self, verdict: Verdict) -> Expected:
        """A good message on an open connection."""
        match verdict.type:
            case "pong":
                # PROTOCOL 6.6.4, 10.45.10
                if self.pings:
                    self.pings -= 1
                else:
                    self._charge()
                return NOTHING
            case "request" | "list":
                return self._asked(verdict)
        self._charge()
        match verdict.type:
            case "ping":
                nonce = {key: verdict.members[key] for key in ("nonce",) if key in verdict.members}
                return Expected("pong", members=nonce)
            case "refresh":
                return Expected(
                    "verify", verdict=verdict, members={"token": verdict.members["token"]}
                )
            case "hello":
                return Expected("refusal", frozenset({"VALIDATION_ERROR"}), verdict)
        return Expected("decision", verdict=verdict)

    def refused(self) -> None:
        """A message that is bad, or that may be taken for it, and is (PROTOCOL 10.45.10)."""
        self._charge(1 + self.size // BYTES_A_MESSAGE)

    def _asked(self, verdict: Verdict) -> Expected:
        """PROTOCOL 6.6.2, 6.6.6: requests and lists are refused over the rate."""
        self.messages.pass_time(self.now)
        if self.messages.left >= 1:
            self.messages.left -= 1
            return Expected("decision", verdict=verdict)
        if self.now < self.told_to_wait_until:
            self.abuse.pass_time(self.now)
            if self.abuse.left < 1:
                return _close(4429)
            self.abuse.left -= 1
        missing = (1 - self.messages.left) * MINUTE_MS / self.per_minute
        self.told_to_wait_until = self.now + max(1, math.ceil(missing))
        return Expected("refusal", frozenset({"RATE_LIMITED"}), verdict)

    def _charge(self, messages: int = 1) -> None:
        """PROTOCOL 10.45.5: what is never refused for its rate becomes a debt."""
        self.messages.pass_time(self.now)
        self.messages.left -= messages

    def pause_ms(self) -> Fraction:
        """How long reading must pause now."""
        self.messages.pass_time(self.now)
        return max(Fraction(0), -self.messages.left * MINUTE_MS / self.per_minute)

    # --- Answers and time -------------------------------------------------------------------------

    def good(self, principal: str, expires_at: int) -> Expected:
        """The token that was asked about is good."""
        verified, self.verifying = self.verifying, None
        if self.phase == "closed":
            return NOTHING
        if verified == "hello":
            self.phase, self.principal, self.expires_at = "open", principal, expires_at
            return Expected("welcome", members={"principal": principal})
        if principal != self.principal:
            self._charge(BAD_TOKEN)
            return Expected("refusal", frozenset({"UNAUTHORIZED"}))
        self.expires_at = expires_at
        return Expected("refreshed")

    def bad(self) -> Expected:
        """It is not."""
        verified, self.verifying = self.verifying, None
        if self.phase == "closed":
            return NOTHING
        if verified == "hello":
            self.phase = "closed"
            return _close(4401)
        self._charge(BAD_TOKEN)
        return Expected("refusal", frozenset({"UNAUTHORIZED"}))

    def unknown(self) -> Expected:
        """Nobody can say whether it is (PROTOCOL 3.1.11)."""
        verified, self.verifying = self.verifying, None
        if self.phase == "closed":
            return NOTHING
        if verified == "hello":
            self.phase = "closed"
            return _close(1013)
        return Expected("refusal", frozenset({"UNAVAILABLE"}))

    def time(self) -> Expected:
        """The clock is looked at; what is due of the heartbeat is not kept account of here."""
        # PROTOCOL 4.2.4: a hello that has come is in time.
        waits = self.phase == "hello" and self.verifying is None
        if waits and self.now >= self.hello_until:
            self.phase = "closed"
            return _close(4408)
        if self.phase == "open" and self.now >= self.expires_at:
            self.phase = "closed"
            return _close(4401)
        if self.phase == "open":
            return Expected("heartbeat", frozenset({4408}))
        return NOTHING


def _is_of_token(pointer: str | None) -> bool:
    return pointer is not None and (pointer == "/token" or pointer.startswith("/token/"))
