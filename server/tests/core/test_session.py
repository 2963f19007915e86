# SPDX-License-Identifier: Apache-2.0
"""The session, driven by hand: text and time in, outputs out."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from longcall_server.core.codes import CloseCode
from longcall_server.core.heartbeat import Heartbeat
from longcall_server.core.messages import (
    AttachMessage,
    CancelMessage,
    DetachMessage,
    Limits,
    ListMessage,
    RequestMessage,
    Software,
)
from longcall_server.core.ratelimit import TokenBucket
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

T0 = 1_795_460_000_000
HOUR = 3_600_000


@dataclass(frozen=True)
class Who:
    principal_id: str = "p1"
    expires_at: int = T0 + HOUR


def settings(**limits: int) -> SessionSettings:
    values = {
        "max_message_bytes": 4096,
        "max_depth": 64,
        "max_in_flight": 1000,
        "messages_per_minute": 6000,
        "message_burst": 1000,
        "max_log_bytes": 1 << 20,
        "id_retention_ms": 1000,
    }
    return SessionSettings(
        limits=Limits(**{**values, **limits}), server=Software(name="server", version="1")
    )


def new_session(token: str | None = None, **limits: int) -> Session:
    config = settings(**limits)
    return Session(config, SessionState.new(config, "c1", T0), token)


def open_session(who: Who = Who(), **limits: int) -> Session:
    session = new_session(None, **limits)
    session.receive('{"type":"hello","token":"t"}', T0)
    session.authenticated(who, T0)
    return session


def sent(outputs: list[Output]) -> list[Any]:
    assert all(isinstance(output, Send) for output in outputs)
    return [json.loads(output.text) for output in outputs if isinstance(output, Send)]


def only(outputs: list[Output]) -> Any:
    (message,) = sent(outputs)
    return message


# --- Hello ---------------------------------------------------------------------------------------


@pytest.mark.clause("4.2.7", "6.6.1", "6.7.3", "10.41.1")
def test_a_hello_with_a_good_token_is_welcomed_with_the_limits_of_the_server() -> None:
    session = new_session(message_burst=7)
    assert session.receive('{"type":"hello","token":"abc"}', T0) == [VerifyToken("abc")]
    welcome = only(session.authenticated(Who(), T0 + 5))
    assert welcome == {
        "type": "welcome",
        "connection_id": "c1",
        "principal": "p1",
        "server_time": "2026-11-23T18:53:20.005Z",
        "server": {"name": "server", "version": "1"},
        "heartbeat": {"interval_ms": 25000, "from": "server"},
        "expires_at": "2026-11-23T19:53:20.000Z",
        "limits": settings(message_burst=7).limits.model_dump(),
    }
    assert session.phase is Phase.OPEN


@pytest.mark.clause("3.2.5")
def test_the_token_of_the_upgrade_serves_where_hello_has_none_and_yields_where_it_has() -> None:
    assert new_session("header").receive('{"type":"hello"}', T0) == [VerifyToken("header")]
    session = new_session("header")
    assert session.receive('{"type":"hello","token":"own"}', T0) == [VerifyToken("own")]


@pytest.mark.clause("4.2.3", "4.2.5", "4.2.6")
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"type":"hello"}', 4401),
        ('{"type":"hello","token":""}', 4401),
        ('{"type":"hello","token":7}', 4401),
        ('{"type":"hello","token":null}', 4401),
        ('{"type":"hello","token":"\\ud800"}', 4401),
        ('{"type":"hello","token":[1e400]}', 4401),
        ('{"type":"hello","token":"' + "x" * 2000 + '","client":1}', 4400),
        ('{"type":"hello","token":"","client":{"name":""}}', 4400),
        ('{"type":"hello","client":{"name":"x"}}', 4400),
        ('{"type":"hello","token":"t","x":1e400}', 4400),
        ('{"type":"ping"}', 4400),
        ('{"type":"request","id":"r1","action":"echo"}', 4400),
        ('{"type":"subscribe"}', 4400),
        ("hello", 4400),
        ("", 4400),
    ],
)
def test_anything_but_a_good_hello_closes(text: str, code: int) -> None:
    session = new_session()
    (close,) = session.receive(text, T0)
    assert isinstance(close, Close)
    assert close.code == code
    assert session.phase is Phase.CLOSED
    assert session.receive('{"type":"hello","token":"t"}', T0) == []
    assert session.next_timeout() is None


@pytest.mark.clause("4.2.5")
def test_a_refused_token_closes_with_4401() -> None:
    session = new_session()
    session.receive('{"type":"hello","token":"t"}', T0)
    assert session.rejected("bad signature", T0) == [Close(CloseCode.UNAUTHORIZED, "bad signature")]


@pytest.mark.clause("4.2.4")
def test_no_hello_in_time_closes_with_4408() -> None:
    session = new_session()
    assert session.next_timeout() == T0 + 10_000
    assert session.handle_timeout(T0 + 9_999) == []
    (close,) = session.handle_timeout(T0 + 10_000)
    assert isinstance(close, Close)
    assert close.code is CloseCode.TOO_SLOW


@pytest.mark.clause("4.2.8")
def test_a_second_hello_is_refused_and_changes_nothing() -> None:
    session = open_session()
    error = only(session.receive('{"type":"hello","token":"other"}', T0))
    assert (error["reply_to"], error["error"]["code"]) == ("hello", "VALIDATION_ERROR")
    assert session.phase is Phase.OPEN
    assert session.state.principal_id == "p1"


# --- Messages ------------------------------------------------------------------------------------


def test_the_messages_that_others_decide_are_handed_out_as_they_are() -> None:
    session = open_session()
    texts = [
        ('{"type":"request","id":"r1","action":"echo","payload":[1]}', RequestMessage),
        ('{"type":"attach","request_id":"r1","after_seq":0}', AttachMessage),
        ('{"type":"cancel","request_id":"r1"}', CancelMessage),
        ('{"type":"detach","request_id":"r1"}', DetachMessage),
        ('{"type":"list","id":"l1"}', ListMessage),
    ]
    for text, kind in texts:
        (message,) = session.receive(text, T0)
        assert type(message) is kind


@pytest.mark.clause("4.7.1", "4.7.2")
def test_a_ping_is_answered_with_its_nonce_and_a_pong_with_nothing() -> None:
    session = open_session()
    ping = '{"type":"ping","nonce":"a\\"\\u2028"}'
    assert only(session.receive(ping, T0)) == {"type": "pong", "nonce": 'a"\u2028'}
    assert only(session.receive('{"type":"ping"}', T0)) == {"type": "pong"}
    assert session.receive('{"type":"pong"}', T0) == []


@pytest.mark.clause(
    "2.5.5",
    "2.5.6",
    "4.3.3",
    "4.3.5",
    "4.3.6",
    "4.3.7",
    "4.3.8",
    "4.3.9",
    "4.6.3",
    "10.2.1",
    "10.2.2",
)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", {"code": "VALIDATION_ERROR"}),
        ("{}", {"code": "VALIDATION_ERROR", "pointer": "/type"}),
        ('{"type":"what"}', {"code": "UNSUPPORTED_TYPE", "reply_to": "what"}),
        ('{"type":"welcome"}', {"code": "UNSUPPORTED_TYPE", "reply_to": "welcome"}),
        (
            '{"type":"attach","request_id":"r1","after_seq":-1}',
            {
                "code": "VALIDATION_ERROR",
                "reply_to": "attach",
                "request_id": "r1",
                "pointer": "/after_seq",
            },
        ),
        (
            '{"type":"list","id":"l1","limit":201}',
            {"code": "VALIDATION_ERROR", "reply_to": "list", "id": "l1", "pointer": "/limit"},
        ),
    ],
)
def test_bad_input_is_answered_once_and_the_connection_stays_open(
    text: str, expected: dict[str, str]
) -> None:
    session = open_session()
    error = only(session.receive(text, T0))
    found = {key: error[key] for key in ("reply_to", "request_id", "id") if key in error}
    found["code"] = error["error"]["code"]
    if "details" in error["error"]:
        found["pointer"] = error["error"]["details"]["pointer"]
    assert found == expected
    assert session.phase is Phase.OPEN


# --- The token in force --------------------------------------------------------------------------


@pytest.mark.clause("3.6.2", "10.41.1")
def test_a_refresh_puts_the_new_token_in_force() -> None:
    session = open_session()
    assert session.receive('{"type":"refresh","token":"new"}', T0) == [VerifyToken("new")]
    answer = only(session.authenticated(Who(expires_at=T0 + 2 * HOUR), T0 + 1000))
    assert answer == {
        "type": "refreshed",
        "expires_at": "2026-11-23T20:53:20.000Z",
        "server_time": "2026-11-23T18:53:21.000Z",
    }
    session.state.heartbeat.next_at = T0 + 9 * HOUR
    assert session.next_timeout() == T0 + 2 * HOUR


@pytest.mark.clause("3.6.3", "3.6.5", "10.42.1")
def test_a_refused_refresh_leaves_the_old_token_in_force() -> None:
    session = open_session()
    for stranger in (None, Who("p2", T0 + 9 * HOUR)):
        session.receive('{"type":"refresh","token":"new"}', T0)
        error = only(
            session.authenticated(stranger, T0) if stranger else session.rejected("expired", T0)
        )
        assert (error["reply_to"], error["error"]["code"]) == ("refresh", "UNAUTHORIZED")
        assert session.state.principal_id == "p1"
    session.state.heartbeat.next_at = T0 + 9 * HOUR
    assert session.handle_timeout(T0 + HOUR - 1) == []
    (close,) = session.handle_timeout(T0 + HOUR)
    assert isinstance(close, Close)
    assert close.code is CloseCode.UNAUTHORIZED


@pytest.mark.clause("3.1.11", "10.42.1")
def test_a_token_that_cannot_be_judged_is_not_refused_but_put_off() -> None:
    session = new_session()
    session.receive('{"type":"hello","token":"t"}', T0)
    assert session.unverifiable("no keys") == [Close(CloseCode.TRY_AGAIN_LATER, "no keys")]
    session = open_session()
    session.receive('{"type":"refresh","token":"new"}', T0)
    error = only(session.unverifiable("no keys"))
    assert (error["reply_to"], error["error"]["code"]) == ("refresh", "UNAVAILABLE")
    assert error["error"]["retryable"]
    session.state.heartbeat.next_at = T0 + 9 * HOUR
    assert session.handle_timeout(T0 + HOUR - 1) == []
    assert session.next_timeout() == T0 + HOUR


@pytest.mark.clause("4.2.4")
def test_a_hello_in_time_is_in_time_however_long_its_token_takes_to_verify() -> None:
    session = new_session()
    deadline = session.next_timeout()
    assert deadline is not None
    session.receive('{"type":"hello","token":"t"}', deadline - 1)
    assert session.next_timeout() is None
    assert session.handle_timeout(deadline) == []
    assert only(session.authenticated(Who(), deadline + 1))["type"] == "welcome"


def test_no_output_shows_a_token() -> None:
    session = new_session()
    (verify,) = session.receive('{"type":"hello","token":"secret"}', T0)
    assert "secret" not in repr(verify)


# --- Heartbeat -----------------------------------------------------------------------------------


def beat(session: Session) -> list[Output]:
    now = session.next_timeout()
    assert now is not None
    return session.handle_timeout(now)


@pytest.mark.clause("6.7.3", "6.7.5")
def test_a_silent_client_is_pinged_twice_and_then_closed() -> None:
    session = open_session()
    assert only(beat(session)) == {"type": "ping"}
    assert only(beat(session)) == {"type": "ping"}
    (close,) = beat(session)
    assert isinstance(close, Close)
    assert close.code is CloseCode.TOO_SLOW
    assert session.state.heartbeat.next_at - 25_000 == T0 + 75_000


@pytest.mark.clause("6.7.1")
@pytest.mark.parametrize("frame", ['{"type":"pong"}', '{"type":"what"}', "not json"])
def test_any_frame_counts_as_life(frame: str) -> None:
    session = open_session()
    for _ in range(10):
        assert only(beat(session)) == {"type": "ping"}
        session.receive(frame, T0)


def test_a_client_that_takes_what_is_sent_is_alive() -> None:
    session = open_session()
    for _ in range(10):
        assert only(beat(session)) == {"type": "ping"}
        session.alive()


# --- Rate ----------------------------------------------------------------------------------------

REQUEST = '{"type":"request","id":"r1","action":"echo"}'


@pytest.mark.clause("6.6.2")
def test_requests_over_the_rate_are_refused_with_the_time_to_wait() -> None:
    session = open_session(message_burst=2, messages_per_minute=60)
    assert len([session.receive(REQUEST, T0) for _ in range(2)]) == 2
    error = only(session.receive(REQUEST, T0))
    assert (error["request_id"], error["reply_to"]) == ("r1", "request")
    assert (error["error"]["code"], error["error"]["retryable"]) == ("RATE_LIMITED", True)
    assert error["error"]["retry_after_ms"] == 1000
    refused = only(session.receive('{"type":"list","id":"l1"}', T0 + 999))
    assert (refused["id"], refused["error"]["retry_after_ms"]) == ("l1", 1001)
    (message,) = session.receive(REQUEST, T0 + 1000)
    assert isinstance(message, RequestMessage)


@pytest.mark.clause("10.45.4")
def test_each_connection_is_held_to_the_limits_of_its_own_welcome() -> None:
    for burst in (1, 4):
        session = new_session(message_burst=burst, messages_per_minute=1)
        session.receive('{"type":"hello","token":"t"}', T0)
        welcome = only(session.authenticated(Who(), T0))
        assert welcome["limits"]["message_burst"] == burst
        answers = [session.receive(REQUEST, T0)[0] for _ in range(burst + 1)]
        assert all(isinstance(answer, RequestMessage) for answer in answers[:-1])
        assert isinstance(answers[-1], Send)


@pytest.mark.clause("10.45.5", "10.45.6")
def test_the_other_messages_are_never_refused_but_make_the_reading_pause() -> None:
    session = open_session(message_burst=2, messages_per_minute=60)
    for _ in range(2):
        assert only(session.receive('{"type":"ping"}', T0)) == {"type": "pong"}
    assert session.reading_pause_ms(T0) == 0
    for text in (
        '{"type":"attach","request_id":"r1","after_seq":0}',
        '{"type":"cancel","request_id":"r1"}',
        '{"type":"detach","request_id":"r1"}',
    ):
        (message,) = session.receive(text, T0)
        assert not isinstance(message, Send)
    assert session.reading_pause_ms(T0) == 3000
    assert session.reading_pause_ms(T0 + 2999) == 1
    assert session.reading_pause_ms(T0 + 3000) == 0


@pytest.mark.clause("6.6.4")
def test_hello_and_the_answers_to_pings_are_not_counted() -> None:
    session = open_session(message_burst=1, messages_per_minute=1)
    for _ in range(50):
        now = session.next_timeout()
        assert now is not None
        assert only(session.handle_timeout(now)) == {"type": "ping"}
        assert session.receive('{"type":"pong"}', T0) == []
    (message,) = session.receive(REQUEST, T0)
    assert isinstance(message, RequestMessage)


@pytest.mark.clause("10.45.10")
def test_a_pong_that_answers_no_ping_and_control_frames_make_the_reading_pause() -> None:
    session = open_session(message_burst=2, messages_per_minute=60)
    for _ in range(2):
        assert session.receive('{"type":"pong"}', T0) == []
    assert session.reading_pause_ms(T0) == 0
    assert session.receive('{"type":"pong"}', T0) == []
    session.control_frame(T0)
    assert session.reading_pause_ms(T0) == 2000
    assert session.phase is Phase.OPEN


BAD = [
    "not json",
    "[]",
    "{}",
    '{"type":"what"}',
    '{"type":"request","id":"r1"}',
    '{"type":"attach","request_id":"r1","after_seq":-1}',
    '{"type":"hello","token":"again"}',
    '{"type":"ping","x":1e400}',
    '{"type":"ping","x":' + "[" * 70 + "]" * 70 + "}",
    "x" * 5000,
]


@pytest.mark.clause("2.5.6", "4.3.8", "10.45.10", "10.45.11")
@pytest.mark.parametrize("text", BAD)
def test_bad_messages_for_ever_are_answered_slowly_and_never_close(text: str) -> None:
    session = open_session(message_burst=2, messages_per_minute=60)
    now, begun = T0, T0
    for _ in range(200):
        assert only(session.receive(text, now))["type"] == "error"
        now += session.reading_pause_ms(now)
    assert session.phase is Phase.OPEN
    # 198 at a message a second, each of its 4 KiB or less one.
    assert now - begun >= 198_000
    session.state.messages.level = None
    assert isinstance(session.receive(REQUEST, now)[0], RequestMessage)


@pytest.mark.clause("10.45.10")
def test_the_more_there_was_to_look_at_in_vain_the_longer_nothing_is_read() -> None:
    session = open_session(message_burst=1, messages_per_minute=60, max_message_bytes=1 << 20)
    session.receive("x" * (1 << 20), T0)
    assert session.reading_pause_ms(T0) == 256_000
    session = open_session(message_burst=1, messages_per_minute=60)
    session.receive('{"type":"refresh","token":"bad"}', T0)
    session.rejected("bad signature", T0)
    assert session.reading_pause_ms(T0) == 10_000


@pytest.mark.clause("6.6.6", "6.6.11")
def test_lasting_abuse_of_the_rate_closes_with_4429_and_says_why() -> None:
    session = open_session(message_burst=2, messages_per_minute=60)
    # The burst; the one that is told to wait; and ten bursts that do not.
    outputs = [session.receive(REQUEST, T0)[0] for _ in range(2 + 1 + 2 * 10)]
    assert all(isinstance(output, Send) for output in outputs[2:])
    assert session.receive(REQUEST, T0) == [
        Close(CloseCode.RATE_LIMITED, "too many messages over the rate")
    ]
    assert session.receive(REQUEST, T0) == []


@pytest.mark.clause("6.6.6", "6.6.11")
def test_who_never_waits_is_closed_and_who_waits_as_told_is_not() -> None:
    hasty = open_session(message_burst=2, messages_per_minute=600)
    now = T0
    while hasty.phase is Phase.OPEN:
        hasty.receive(REQUEST, now)
        now += 20
        assert now < T0 + 60_000
    patient = open_session(message_burst=2, messages_per_minute=600)
    now = T0
    for _ in range(2000):
        (output,) = patient.receive(REQUEST, now)
        if isinstance(output, Send):
            now += json.loads(output.text)["error"]["retry_after_ms"]
    assert patient.phase is Phase.OPEN


@pytest.mark.clause("6.6.2")
def test_many_that_are_refused_at_once_and_wait_as_told_are_all_taken_then() -> None:
    session = open_session(message_burst=10, messages_per_minute=600)
    turns = []
    for _ in range(100):
        (output,) = session.receive(REQUEST, T0)
        if isinstance(output, Send):
            turns.append(T0 + json.loads(output.text)["error"]["retry_after_ms"])
    assert turns == list(range(T0 + 100, T0 + 9_001, 100))
    for now in turns:
        assert isinstance(session.receive(REQUEST, now)[0], RequestMessage)
    assert session.phase is Phase.OPEN


# --- Goaway, and being put away ------------------------------------------------------------------


@pytest.mark.clause("6.8.3")
def test_a_goaway_is_sent_at_once_and_the_session_goes_on() -> None:
    session = open_session()
    assert only(session.goaway('be"fore', 120)) == {
        "type": "goaway",
        "reason": 'be"fore',
        "reconnect_after_ms": 120,
    }
    assert only(session.receive('{"type":"ping"}', T0)) == {"type": "pong"}


def test_a_goaway_before_the_welcome_follows_it() -> None:
    session = new_session()
    assert session.goaway("restart", 0) == []
    session.receive('{"type":"hello","token":"t"}', T0)
    assert [message["type"] for message in sent(session.authenticated(Who(), T0))] == [
        "welcome",
        "goaway",
    ]


@pytest.mark.clause("4.2.7", "4.7.4")
def test_an_announcement_is_for_those_who_are_welcome_and_kept_for_nobody() -> None:
    session, frame = new_session(), '{"type":"announcement"}'
    assert session.announce(frame) == []
    session.receive('{"type":"hello","token":"t"}', T0)
    assert session.announce(frame) == []
    welcomed = session.authenticated(Who(), T0)
    assert [message["type"] for message in sent(welcomed)] == ["welcome"]
    assert session.announce(frame) == [Send(frame)]
    session.close()
    assert session.announce(frame) == []


def test_a_session_can_be_stored_after_each_message_and_taken_up_again() -> None:
    config = settings(message_burst=3, messages_per_minute=60)
    stored = SessionState.new(config, "c1", T0)
    answers: list[Output] = []
    for text in ['{"type":"hello","token":"t"}', *[REQUEST] * 4, '{"type":"ping"}']:
        session = Session(config, stored)
        outputs = session.receive(text, T0)
        if outputs == [VerifyToken("t")]:
            outputs = session.authenticated(Who(), T0)
        answers += outputs
        plain = json.loads(json.dumps(asdict(session.state)))
        stored = SessionState(
            **{
                **plain,
                "heartbeat": Heartbeat(**plain["heartbeat"]),
                "messages": TokenBucket(**plain["messages"]),
                "refusals": TokenBucket(**plain["refusals"]),
                "phase": Phase(plain["phase"]),
            }
        )
    kinds = [
        json.loads(answer.text)["type"] if isinstance(answer, Send) else type(answer).__name__
        for answer in answers
    ]
    assert kinds == ["welcome", *["RequestMessage"] * 3, "error", "pong"]
