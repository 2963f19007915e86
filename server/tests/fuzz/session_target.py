# SPDX-License-Identifier: Apache-2.0
"""One script through two sessions, beside the model: one keeps its state, the other one's is
written down and read again before each step (`Session.state` may be stored)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter

from fuzz.codec_target import ALLOWED
from fuzz.script import Step, read_script
from fuzz.session_model import HEARTBEAT_MS, HELLO_TIMEOUT_MS, Expected, Model
from fuzz.strict_json import equal, plain
from longcall_server.core.messages import Limits, ServerMessage, Software
from longcall_server.core.session import (
    Close,
    Output,
    Phase,
    Send,
    Session,
    SessionSettings,
    SessionState,
    VerifyToken,
)

T0: Final = 1_795_460_000_000
_STATE: Final = TypeAdapter(SessionState)
_SERVER_MESSAGE: Final[TypeAdapter[ServerMessage]] = TypeAdapter(ServerMessage)
_ANNOUNCEMENT: Final = json.dumps(
    {"type": "announcement", "message": "m", "created_at": "2026-11-23T18:40:00.000Z"}
)
_ORDER: Final = list(Phase)


@dataclass(frozen=True)
class Who:
    """Who a token says is asking."""

    principal_id: str
    expires_at: int


class Run:
    """A script on its way."""

    def __init__(self, data: bytes) -> None:
        script = read_script(data)
        self.steps = script.steps
        self.settings = SessionSettings(
            limits=Limits(
                max_message_bytes=ALLOWED.max_bytes,
                max_depth=ALLOWED.max_depth,
                max_values=ALLOWED.max_values,
                max_string_length=ALLOWED.max_string_length,
                max_in_flight=10,
                messages_per_minute=script.per_minute,
                message_burst=script.burst,
                max_log_bytes=1 << 20,
                id_retention_ms=1000,
            ),
            server=Software(name="server", version="1"),
            heartbeat_interval_ms=HEARTBEAT_MS,
            hello_timeout_ms=HELLO_TIMEOUT_MS,
        )
        self.token = script.transport_token
        self.model = Model(script.per_minute, script.burst, script.transport_token, ALLOWED, T0)
        self.session = self._session(SessionState.new(self.settings, "c1", T0))
        self.stored = _STATE.dump_json(self.session.state)

    def _session(self, state: SessionState) -> Session:
        return Session(self.settings, state, self.token)

    def play(self) -> None:
        """All steps."""
        for step in self.steps:
            if self._may_happen(step):
                self._play(step)

    def _may_happen(self, step: Step) -> bool:
        """The caller keeps to the contract: nothing is read while a token is being verified, and
        only what was asked for is answered."""
        if step.what in ("good", "bad", "unknown"):
            return self.model.verifying is not None
        return not (step.what == "receive" and self.model.verifying is not None)

    def _play(self, step: Step) -> None:
        before = self.session.phase
        if step.what == "time":
            self.model.now = max(0, self.model.now + step.number)
        elif step.what == "due":
            self.model.now = max(self.model.now, self.session.next_timeout() or 0)
        outputs = self._do(self.session, step)
        again = self._session(_STATE.validate_json(self.stored))
        assert _told(self._do(again, step)) == _told(outputs), "a stored state answers otherwise"
        self.stored = _STATE.dump_json(again.state)
        assert self.stored == _STATE.dump_json(self.session.state)
        self._judge(step, outputs)
        assert _ORDER.index(self.session.phase) >= _ORDER.index(before), "a phase went back"
        assert self.session.phase == self.model.phase
        self._check_pause()

    def _do(self, session: Session, step: Step) -> list[Output]:
        now = self.model.now
        match step.what:
            case "receive":
                return session.receive(step.text, now)
            case "good":
                who = Who(step.principal, self._expiry(step))
                return session.authenticated(who, now)
            case "bad":
                return session.rejected("the signature is wrong", now)
            case "unknown":
                return session.unverifiable("the keys cannot be fetched")
            case "announce":
                return list(session.announce(_ANNOUNCEMENT))
            case "due" | "time":
                return session.handle_timeout(now)
            case "goaway":
                return session.goaway("restart", 100)
            case "alive":
                session.alive()
            case "gone":
                session.close()
        return []

    def _expiry(self, step: Step) -> int:
        """Within what a time can be written as: the authenticator sees to that."""
        return min(max(0, self.model.now + step.number), 253_402_300_799_999)

    # --- Judging ----------------------------------------------------------------------------------

    def _judge(self, step: Step, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Send):
                message = _SERVER_MESSAGE.validate_json(output.text)
                assert '"INTERNAL_ERROR"' not in output.text, message
        match step.what:
            case "receive":
                self._judge_one(self.model.receive(step.text), outputs)
            case "good":
                expected = self.model.good(step.principal, self._expiry(step))
                owed = self.model.goaway_owed if expected.kind == "welcome" else 0
                if owed:
                    assert _only(outputs[1:])["type"] == "goaway"
                    self.model.goaway_owed, outputs = 0, outputs[:1]
                self._judge_one(expected, outputs)
            case "bad":
                self._judge_one(self.model.bad(), outputs)
            case "unknown":
                self._judge_one(self.model.unknown(), outputs)
            case "announce":
                heard = [_ANNOUNCEMENT] if self.model.phase == "open" else []
                assert [one.text for one in outputs if isinstance(one, Send)] == heard
            case "due" | "time":
                self._judge_one(self.model.time(), outputs)
            case "goaway":
                self._judge_goaway(outputs)
            case _:
                assert outputs == []
                if step.what == "gone":
                    self.model.phase = "closed"

    def _judge_goaway(self, outputs: list[Output]) -> None:
        if self.model.phase == "open":
            assert _only(outputs)["type"] == "goaway"
        else:
            assert outputs == []
            self.model.goaway_owed = 1

    def _judge_one(self, expected: Expected, outputs: list[Output]) -> None:
        if expected.kind == "nothing":
            assert outputs == [], outputs
            return
        if expected.kind == "heartbeat":
            self._judge_heartbeat(outputs)
            return
        if expected.kind == "refusal or not":
            expected = self._settle(expected, outputs)
            if expected.kind == "nothing":
                assert outputs == [], outputs
                return
        (output,) = outputs
        if expected.kind == "verify or close":
            expected = self._settle_hello(expected, output)
        match output:
            case Close(code, reason):
                assert expected.kind == "close", f"closed with {code}: {reason}"
                assert code in expected.codes, f"closed with {code}, not {expected.codes}"
                assert len(reason.encode()) <= 123
            case VerifyToken(token):
                assert expected.kind == "verify"
                assert token == expected.members["token"]
            case Send(text):
                self._judge_sent(expected, json.loads(text))
            case _:
                assert expected.kind == "decision", f"{type(output)} instead of {expected}"
                assert expected.verdict is not None
                sent = plain(expected.verdict.document)
                for key, value in json.loads(output.model_dump_json()).items():
                    assert equal(value, sent[key])

    def _settle_hello(self, expected: Expected, output: Output) -> Expected:
        """A `hello` with equal keys was either refused or its last ones were taken."""
        assert expected.verdict is not None
        if isinstance(output, Close):
            self.model.phase = "closed"
            return Expected("close", expected.codes)
        self.model.verifying = "hello"
        token = expected.verdict.members.get("token", self.token)
        return Expected("verify", members={"token": token})

    def _settle(self, expected: Expected, outputs: list[Output]) -> Expected:
        """The same of another message; what was chosen is what is expected."""
        assert expected.verdict is not None
        for output in outputs:
            error = json.loads(output.text).get("error", {}) if isinstance(output, Send) else {}
            pointer = error.get("details", {}).get("pointer")
            if error.get("code") == "VALIDATION_ERROR" and pointer in expected.verdict.pointers:
                self.model.refused()
                return Expected("refusal", expected.codes, expected.verdict)
        settled = self.model.accepted(expected.verdict)
        if settled.kind == "verify":
            self.model.verifying = expected.verdict.type
        elif settled.kind == "close":
            self.model.phase = "closed"
        return settled

    def _judge_sent(self, expected: Expected, message: dict[str, Any]) -> None:
        if expected.kind != "refusal":
            assert message["type"] == expected.kind, f"{message} instead of {expected}"
            for key, value in expected.members.items():
                assert message[key] == value
            assert ("nonce" in message) == ("nonce" in expected.members)
            return
        assert message["type"] == "error", f"{message} instead of {expected}"
        assert "seq" not in message, "PROTOCOL 4.3.1"
        assert message["error"]["code"] in expected.codes
        if message["error"]["code"] == "RATE_LIMITED":
            wait = message["error"]["retry_after_ms"]
            need = (1 - self.model.messages.left) * 60_000 / self.model.per_minute
            # Of many that are refused at once each has a turn, within a minute.
            assert max(Fraction(1), need) <= wait < max(Fraction(60_000), need) + 1
        verdict = expected.verdict
        if verdict is None:
            assert message["reply_to"] == "refresh"
            return
        named = (message.get("reply_to"), message.get("request_id"), message.get("id"))
        assert verdict.is_named_by(*named), named

    def _judge_heartbeat(self, outputs: list[Output]) -> None:
        if not outputs:
            return
        (output,) = outputs
        if isinstance(output, Close):
            assert output.code == 4408
            self.model.phase = "closed"
        else:
            assert _only(outputs) == {"type": "ping"}
            self.model.pings += 1

    def _check_pause(self) -> None:
        """PROTOCOL 10.45.5: as long as the debt lasts, and not longer."""
        if self.session.phase is Phase.CLOSED:
            assert self.session.next_timeout() is None
            return
        pause = self.session.reading_pause_ms(self.model.now)
        owed = self.model.pause_ms()
        assert 0 <= owed <= pause < owed + 1
        assert self.session.owes_time == (owed > 0)
        self.stored = _STATE.dump_json(self.session.state)  # a look fills the account


def check(data: bytes) -> None:
    """Judges what a session makes of a script; raises AssertionError on what must not be."""
    Run(data).play()


def _only(outputs: list[Output]) -> dict[str, Any]:
    (output,) = outputs
    assert isinstance(output, Send), output
    message: dict[str, Any] = json.loads(output.text)
    return message


def _told(outputs: list[Output]) -> list[object]:
    return [
        output.model_dump_json() if isinstance(output, BaseModel) else output for output in outputs
    ]
