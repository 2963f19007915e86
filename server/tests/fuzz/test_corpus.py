# SPDX-License-Identifier: Apache-2.0
"""The committed inputs find nothing, unless there is something: then they find it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fuzz.seeds import MAX_BYTES
from fuzz.targets import TARGETS, check_of, corpus_files
from longcall_server.core import codec, frames, ijson, session
from longcall_server.core.codes import CloseCode
from longcall_server.core.errors import Answered, MessageError
from longcall_server.core.ratelimit import TokenBucket


@pytest.mark.parametrize("target", TARGETS)
def test_the_committed_inputs_find_nothing(target: str) -> None:
    check, files = check_of(target), corpus_files(target)
    assert len(files) > 50
    for file in files:
        data = file.read_bytes()
        assert len(data) <= MAX_BYTES
        check(data)


@pytest.mark.parametrize("target", TARGETS)
def test_no_input_is_committed_twice(target: str) -> None:
    contents = [file.read_bytes() for file in corpus_files(target)]
    assert len(contents) == len(set(contents))


Plant = Callable[[pytest.MonkeyPatch], None]


def _nothing_smells(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ijson, "is_suspicious", lambda *_: False)


def _big_numbers_pass(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ijson, "_number_problem", lambda token: None)


def _values_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ijson, "has_more_values", lambda *_: False)


def _long_strings_pass(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ijson, "_may_be_longer", lambda *_: False)


def _any_id_is_echoed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        codec, "_fitting", lambda adapter, value: value if isinstance(value, str) else None
    )


def _pointers_are_not_escaped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ijson, "escape_pointer", lambda token: token)


def _a_refusal_quotes(patch: pytest.MonkeyPatch) -> None:
    def quoting(error: Any) -> Any:
        problem = error.errors()[0]
        return {**problem, "msg": f"{problem['msg']}: {problem['input']!r}"}

    patch.setattr(codec, "first_problem", quoting)


def _a_refusal_names_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(codec, "_answered", lambda message: Answered())


def _a_pointer_is_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(codec, "json_pointer", lambda location, value: "")


def _a_payload_is_rounded(patch: pytest.MonkeyPatch) -> None:
    exact = codec.json_text
    patch.setattr("fuzz.codec_target.json_text", lambda value: exact(value).replace("1", "2"))


@pytest.mark.parametrize(
    "plant",
    [
        _nothing_smells,
        _big_numbers_pass,
        _values_are_not_counted,
        _long_strings_pass,
        _any_id_is_echoed,
        _pointers_are_not_escaped,
        _a_refusal_quotes,
        _a_refusal_names_nothing,
        _a_pointer_is_lost,
        _a_payload_is_rounded,
    ],
)
def test_a_defect_of_the_codec_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert _finds("codec")


def _a_ping_is_answered_twice(patch: pytest.MonkeyPatch) -> None:
    take = session.Session._message

    def twice(self: session.Session, message: Any, now: int) -> Any:
        outputs = take(self, message, now)
        return outputs * 2 if message.type == "ping" else outputs

    patch.setattr(session.Session, "_message", twice)


def _bad_input_closes(patch: pytest.MonkeyPatch) -> None:
    def close(self: session.Session, text: str, now: int) -> Any:
        outputs = receive(self, text, now)
        if any(
            isinstance(one, session.Send) and '"VALIDATION_ERROR"' in one.text for one in outputs
        ):
            return [self._close(CloseCode.PROTOCOL_ERROR, "bad input")]
        return outputs

    receive = session.Session.receive
    patch.setattr(session.Session, "receive", close)


def _a_closed_session_answers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(session.Session, "close", lambda self: None)


def _a_refused_refresh_closes(patch: pytest.MonkeyPatch) -> None:
    def rejected(self: session.Session, reason: str) -> Any:
        return [self._close(CloseCode.UNAUTHORIZED, reason)]

    patch.setattr(session.Session, "rejected", rejected)


def _another_identity_takes_over(patch: pytest.MonkeyPatch) -> None:
    def authenticated(self: session.Session, identity: Any, now: int) -> Any:
        self.state.principal_id = identity.principal_id
        return welcome(self, identity, now)

    welcome = session.Session.authenticated
    patch.setattr(session.Session, "authenticated", authenticated)


def _expiry_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    def handle(self: session.Session, now: int) -> Any:
        self.state.expires_at += 10**9
        return handle_timeout(self, now)

    handle_timeout = session.Session.handle_timeout
    patch.setattr(session.Session, "handle_timeout", handle)


def _the_rate_is_not_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TokenBucket, "take", lambda self, now: True)


def _a_clock_set_back_is_a_debt(patch: pytest.MonkeyPatch) -> None:
    def fill(self: TokenBucket, now: int) -> int:
        level = (self.burst * 60_000 if self.level is None else self.level) + (
            now - self.updated_at
        ) * self.per_minute
        self.updated_at, self.level = now, min(level, self.burst * 60_000)
        return self.level

    patch.setattr(TokenBucket, "_fill", fill)


def _a_goaway_before_the_welcome_is_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(frames, "goaway", lambda reason, delay: None)


def _an_exception_escapes(patch: pytest.MonkeyPatch) -> None:
    def info(self: MessageError) -> Any:
        raise ValueError(self.problem)

    patch.setattr(MessageError, "info", property(info))


@pytest.mark.parametrize(
    "plant",
    [
        _a_ping_is_answered_twice,
        _bad_input_closes,
        _a_closed_session_answers,
        _a_refused_refresh_closes,
        _another_identity_takes_over,
        _expiry_is_forgotten,
        _the_rate_is_not_kept,
        _a_clock_set_back_is_a_debt,
        _a_goaway_before_the_welcome_is_lost,
        _an_exception_escapes,
    ],
)
def test_a_defect_of_the_session_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert _finds("session")


def _finds(target: str) -> bool:
    check = check_of(target)
    for file in corpus_files(target):
        try:
            check(file.read_bytes())
        except Exception:
            return True
    return False
