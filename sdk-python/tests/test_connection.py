# SPDX-License-Identifier: Apache-2.0
"""The life of the connection: PROTOCOL 4.2, 6.7, 6.8, 7.3, 9.4, 9.7, and its races."""

from __future__ import annotations

import json

import pytest
from scripted import Script

from longcall import ConnectionClosed, LongcallError, UnauthorizedError
from longcall.protocol import Phase, TrackedRequest
from longcall.testing.messages import (
    CREATED,
    acknowledgment,
    chunk,
    complete,
    failure,
    processing,
    snapshot,
    welcome,
)


def error_of(state: TrackedRequest) -> LongcallError | None:
    assert state.outcome is not None
    return state.outcome.error


@pytest.mark.clause("4.2.1", "4.2.2")
def test_client_greets_first_and_sends_nothing_before_welcome() -> None:
    script = Script()
    script.submit()
    script.open()
    assert script.sent() == []
    script.send(welcome())
    assert [message["type"] for message in script.sent()] == ["request"]
    assert script.states == ["ready"]


def test_client_names_itself_in_hello() -> None:
    script = Script(user_agent="reports/2.1")
    (link,) = script.opens
    script.protocol.handle_opened(link, None, script.now)
    (hello,) = script.sent(link)
    assert "token" not in hello
    assert hello["client"]["name"] == "reports/2.1 longcall-python"


@pytest.mark.clause("4.2.9")
@pytest.mark.parametrize(
    "first",
    [
        "none",
        '{"type":"welcome"}',
        '{"type":"ping"}',
        '{"type":"new"}',
        json.dumps(complete("r", 2)),
    ],
)
def test_client_closes_with_4400_when_the_first_message_is_no_welcome(first: str) -> None:
    script = Script()
    link = script.open()
    script.send(first)
    assert script.closes[link][0] == 4400
    assert script.states == ["reconnecting"]


@pytest.mark.clause("4.2.10")
def test_client_gives_up_when_welcome_does_not_come() -> None:
    script = Script()
    link = script.open()
    script.advance(9.9)
    assert not script.closes
    script.advance(0.1)
    assert link in script.closes
    assert script.protocol.state.name == "reconnecting"


@pytest.mark.clause("9.4.1", "9.4.2")
def test_client_waits_with_full_jitter_that_doubles_to_twenty_seconds() -> None:
    script = Script(random=lambda: 1.0)
    waits = []
    for _ in range(8):
        (link,) = script.opens
        script.opens.clear()
        script.protocol.handle_open_failed(link, script.now, reason="refused")
        script.settle()
        waits.append(script.protocol.state.retry_in)
        script.advance(waits[-1] or 0)
    assert waits == [0.5, 1, 2, 4, 8, 16, 20, 20]


@pytest.mark.clause("9.4.3", "9.4.4")
def test_client_starts_over_with_short_waits_at_a_welcome_unless_that_server_is_broken() -> None:
    script = Script(random=lambda: 1.0)
    waits = []
    for is_broken in (False, False, True, True, True, False, True):
        script.connect()
        if is_broken:
            script.send("nonsense")
        else:
            script.drop()
        waits.append(script.protocol.state.retry_in)
        script.advance(waits[-1] or 0)
    assert waits == [0.5, 0.5, 1, 2, 4, 0.5, 1]


@pytest.mark.clause("9.7.2")
def test_client_tells_whether_it_resumed() -> None:
    script = Script()
    resumed = []
    for _ in range(3):
        script.connect()
        resumed.append(script.protocol.state.resumed)
        script.drop()
        script.advance(1)
    assert resumed == [False, True, True]
    assert script.states[:4] == ["ready", "reconnecting", "connecting", "ready"]


@pytest.mark.clause("7.3.1", "7.3.4", "9.4.1", "9.5.7")
@pytest.mark.parametrize("code", [4400, 4403, 1003])
def test_client_stops_when_the_close_code_says_so_and_ends_its_handles(code: int) -> None:
    script = Script()
    script.connect()
    stored, sent = script.submitted("a"), script.submit("b")
    script.drop(code)
    assert script.protocol.state.name == "closed"
    assert script.protocol.state.code == code
    error = error_of(sent)
    assert isinstance(error, ConnectionClosed)
    assert (error.code, error.request_id, error.outcome_unknown) == (code, "b", True)
    assert isinstance(error_of(stored), ConnectionClosed)
    script.advance(100)
    assert not script.opens
    with pytest.raises(ConnectionClosed):
        script.submit("c")


@pytest.mark.clause("7.3.1", "7.3.2")
@pytest.mark.parametrize("code", [None, 1000, 1001, 1006, 1011, 1012, 1013, 4408, 4429, 4999])
def test_client_reconnects_after_any_other_close(code: int | None) -> None:
    script = Script()
    script.connect()
    script.drop(code)
    assert script.protocol.state.name == "reconnecting"
    script.advance(1)
    assert script.opens


@pytest.mark.clause("10.42.3", "10.42.4")
def test_client_reconnects_once_with_a_fresh_token_after_4401() -> None:
    script = Script()
    script.open()
    script.drop(4401)
    script.advance(1)
    assert list(script.opens.values()) == ["unauthorized"]
    script.open("fresh")
    script.drop(4401)
    assert script.protocol.state.name == "closed"
    assert script.protocol.state.code == 4401


@pytest.mark.clause("10.42.4")
def test_client_counts_4401_anew_after_a_welcome() -> None:
    script = Script()
    script.connect()
    for _ in range(3):
        script.drop(4401)
        script.advance(1)
        assert list(script.opens.values()) == ["unauthorized"]
        script.connect()
    assert script.protocol.state.name == "ready"


@pytest.mark.clause("9.4.8")
@pytest.mark.parametrize(
    ("status", "state"), [(403, "closed"), (503, "reconnecting"), (404, "reconnecting")]
)
def test_client_takes_the_status_of_a_refused_upgrade(status: int, state: str) -> None:
    script = Script()
    (link,) = script.opens
    script.protocol.handle_open_failed(link, script.now, status=status, retry_after=7.0)
    script.settle()
    assert script.protocol.state.name == state
    if state == "reconnecting":
        assert script.protocol.state.retry_in == 7.0


@pytest.mark.clause("9.4.8")
def test_client_treats_401_of_the_upgrade_as_4401() -> None:
    script = Script()
    for expected in ("connect", "unauthorized"):
        ((link, reason),) = script.opens.items()
        assert reason == expected
        script.opens.clear()
        script.protocol.handle_open_failed(link, script.now, status=401)
        script.settle()
        script.advance(1)
    assert script.protocol.state.name == "closed"


@pytest.mark.clause("2.2.3")
def test_client_closes_a_binary_frame_with_1003_and_reconnects() -> None:
    script = Script()
    link = script.connect()
    script.protocol.handle_binary(link)
    script.settle()
    assert script.closes[link][0] == 1003
    assert script.protocol.state.name == "reconnecting"


MALFORMED = [
    "",
    "null",
    "[]",
    "{",
    '{"type":5}',
    '{"type":"chunk"}',
    '{"type":"chunk","request_id":"r","seq":1e400}',
    '{"type":"complete","request_id":"r","seq":"2","result":1}',
    '{"type":"pong","nonce":"\\ud800"}',
    json.dumps({**processing("r", 2), "retry_at": "2026-02-31T00:00:00.000Z"}),  # no such day
]


@pytest.mark.clause("4.3.14")
@pytest.mark.parametrize("text", MALFORMED)
def test_client_leaves_a_connection_on_which_something_malformed_came(text: str) -> None:
    script = Script()
    link = script.connect()
    state = script.submitted()
    script.send(text, processing("r", 2))
    assert script.closes == {link: (4400, "malformed message")}
    assert state.outcome is None
    script.advance(1)
    script.connect()
    assert script.sent() == [{"type": "attach", "request_id": "r", "after_seq": 1}]
    script.send(snapshot("r", last_seq=3), processing("r", 2), complete("r", 3))
    assert state.phase is Phase.ENDED


def test_client_ignores_and_counts_what_is_out_of_place() -> None:
    script = Script()
    script.connect()
    state = script.submitted()
    script.send(welcome(principal="bob"), failure("INTERNAL_ERROR"), failure("NOT_FOUND", id="x"))
    assert script.protocol.ignored == 3
    assert not script.closes
    assert state.outcome is None


@pytest.mark.clause("2.5.2", "2.5.3", "2.5.4")
def test_client_ignores_an_unknown_type_but_counts_its_number() -> None:
    script = Script()
    script.connect()
    state, reader = script.reading()
    script.send({"type": "fresh", "request_id": "r", "seq": 2}, {"type": "fresh"}, chunk("r", 3))
    assert script.protocol.ignored == 2
    assert script.seqs(state, reader) == [1, 3]
    assert script.sent() == []


@pytest.mark.clause("4.7.1")
def test_client_answers_pings_with_their_nonce() -> None:
    script = Script()
    script.connect()
    script.send({"type": "ping", "nonce": "n"}, {"type": "ping"})
    assert script.sent() == [{"type": "pong", "nonce": "n"}, {"type": "pong"}]


@pytest.mark.clause("6.7.1", "6.7.6")
def test_client_reconnects_when_nothing_was_heard_for_the_interval_and_ten_seconds() -> None:
    script = Script()
    link = script.connect()
    script.advance(30)
    script.send({"type": "pong"})  # any frame counts as life
    script.advance(34.9)
    assert not script.closes
    script.advance(0.2)
    assert link in script.closes
    assert script.protocol.state.name == "reconnecting"
    assert script.protocol.state.code == 4408


@pytest.mark.clause("6.7.3", "6.7.4")
@pytest.mark.parametrize(("side", "pings"), [("server", 0), ("client", 3), ("moon", 0)])
def test_client_pings_every_interval_only_when_welcome_says_so(side: str, pings: int) -> None:
    script = Script()
    script.connect(heartbeat={"interval_ms": 1000, "from": side})
    for _ in range(3):
        script.advance(1.01)
        script.send({"type": "announcement", "message": "hi", "created_at": CREATED})
    assert [message["type"] for message in script.sent()] == ["ping"] * pings
    assert len(script.announcements) == 3


@pytest.mark.clause("3.6.1", "10.41.2", "10.41.3")
def test_client_refreshes_at_eighty_percent_by_the_servers_clock() -> None:
    script = Script()
    link = script.connect(
        server_time="2001-01-01T00:00:00.000Z", expires_at="2001-01-01T00:00:10.000Z"
    )
    script.advance(7.9)
    assert not script.tokens_asked
    script.advance(0.1)
    assert script.tokens_asked == [link]
    script.protocol.handle_token(link, "fresh", script.now)
    assert script.sent() == [{"type": "refresh", "token": "fresh"}]
    script.send(
        {"type": "refreshed", "server_time": "2001-01-01T00:00:08.000Z",
         "expires_at": "2001-01-01T00:00:28.000Z"}
    )  # fmt: skip
    script.advance(15.9)
    assert script.tokens_asked == [link]
    script.advance(0.1)
    assert script.tokens_asked == [link, link]


@pytest.mark.clause("9.4.6", "10.2.5")
def test_client_tries_again_when_a_refresh_fails_or_is_refused() -> None:
    script = Script()
    link = script.connect(expires_at="2026-01-01T00:00:20.000Z")
    state = script.submitted()
    script.advance(16)
    script.protocol.handle_token(link, None, script.now)
    script.advance(3.2)
    assert script.tokens_asked == [link, link]
    script.protocol.handle_token(link, "fresh", script.now)
    script.send(failure("UNAUTHORIZED", reply_to="refresh"))
    assert state.outcome is None
    assert not script.closes
    script.advance(1)
    assert script.tokens_asked == [link, link, link]


@pytest.mark.clause("10.40.2", "10.40.3", "10.40.4")
def test_client_stops_for_another_principal_and_sends_it_nothing() -> None:
    script = Script()
    script.connect()
    state, waiting = script.submitted(), script.submit("b")
    script.drop()
    script.advance(1)
    link = script.connect(principal="bob")
    assert script.sent() == []
    assert link in script.closes
    assert script.protocol.state.name == "closed"
    assert isinstance(error_of(state), UnauthorizedError)
    error = error_of(waiting)
    assert isinstance(error, UnauthorizedError)
    assert error.outcome_unknown  # it was sent on the first connection


@pytest.mark.clause("6.5.3")
def test_client_sets_its_read_limit_from_welcome() -> None:
    script = Script()
    link = script.connect(limits={"max_message_bytes": 4096})
    assert script.read_limits == {link: 4096}


@pytest.mark.clause("7.3.5", "9.3.4")
def test_closing_the_client_cancels_nothing_and_leaves_nothing() -> None:
    script = Script()
    link = script.connect()
    state = script.submitted()
    script.protocol.close(script.now)
    assert script.sent() == []
    assert script.closes[link][0] == 1000
    assert isinstance(error_of(state), ConnectionClosed)
    assert script.protocol.next_timeout() is None
    assert script.states[-1] == "closed"


def test_closing_while_waiting_to_reconnect_opens_nothing_more() -> None:
    script = Script()
    script.connect()
    script.drop()
    script.protocol.close(script.now)
    script.advance(100)
    assert not script.opens


@pytest.mark.clause("9.4.7")
def test_next_socket_is_asked_for_only_after_the_old_one_is_closed() -> None:
    script = Script(closes_at_once=False)
    link = script.connect()
    script.protocol.handle_binary(link)
    script.settle()
    script.advance(100)
    assert not script.opens
    script.drop(link=link)
    script.advance(1)
    assert script.opens


# goaway


def goaway(wait: int = 1000) -> dict[str, object]:
    return {"type": "goaway", "reason": "drain", "reconnect_after_ms": wait}


@pytest.mark.clause("6.8.5", "6.8.6", "6.8.7", "10.30.1", "10.38.1")
def test_goaway_moves_to_a_new_connection_before_the_old_one_is_closed() -> None:
    script = Script()
    old = script.connect()
    state, reader = script.reading()
    script.send(goaway())
    assert not script.opens
    script.advance(1)
    script.send(processing("r", 2), link=old)
    new = script.connect()
    assert script.sent(new) == [{"type": "attach", "request_id": "r", "after_seq": 2}]
    script.send(chunk("r", 3), link=old)  # PROTOCOL 6.8.7: taken from both
    assert not script.closes
    script.send(snapshot("r", last_seq=3), chunk("r", 3), chunk("r", 4))
    assert script.closes == {old: (1000, "moved")}
    assert script.seqs(state, reader) == [1, 2, 3, 4]
    assert script.states == ["ready", "draining", "ready"]
    script.advance(20)
    assert not script.opens


@pytest.mark.clause("10.37.1", "10.37.2", "10.38.1")
def test_goaway_lets_an_unanswered_request_be_answered_on_the_old_connection() -> None:
    script = Script()
    old = script.connect()
    state = script.submit("a")
    script.sent(old)
    script.send(goaway(0))
    script.submit("b")
    assert script.sent(old) == []  # PROTOCOL 10.37: nothing new
    script.advance(0)
    new = script.connect()
    assert [message["id"] for message in script.sent(new)] == ["b"]
    script.advance(1)
    assert not script.closes
    script.send(acknowledgment("a"), link=old)
    assert script.sent(new) == [{"type": "attach", "request_id": "a", "after_seq": 1}]
    assert not script.closes
    script.send(snapshot("a"), link=new)
    assert old in script.closes
    script.send(complete("a", 2), link=new)
    assert state.outcome is not None


@pytest.mark.clause("10.6.1", "10.38.2")
def test_what_is_unanswered_when_the_old_connection_closes_is_sent_again_on_the_new_one() -> None:
    script = Script()
    old = script.connect()
    script.submit("a")
    script.send(goaway(0))
    script.advance(0)
    new = script.connect()
    assert script.sent(new) == []
    script.drop(1012, link=old)
    (again,) = script.sent(new)
    assert (again["id"], again["resend"]) == ("a", True)
    assert script.protocol.state.name == "ready"


def test_cancel_of_a_request_that_is_unanswered_on_the_old_connection_goes_there() -> None:
    script = Script()
    old = script.connect()
    state = script.submit("a")
    script.sent(old)
    script.send(goaway(0))
    script.advance(0)
    new = script.connect()
    question = script.protocol.cancel(state, None, script.now)
    assert script.sent(new) == []
    assert [message["type"] for message in script.sent(old)] == ["cancel"]
    script.send({"type": "response", "request_id": "a", "result": 1}, link=old)
    script.send(failure("NOT_FOUND", reply_to="cancel", request_id="a"), link=old)
    assert question.is_answered
    assert question.error is None
    assert old in script.closes


def test_old_connection_that_breaks_before_the_move_makes_it_a_reconnect() -> None:
    script = Script()
    script.connect()
    state = script.submitted()
    script.send(goaway(5000))
    script.advance(1)
    script.drop()
    assert script.protocol.state.name == "reconnecting"
    assert script.protocol.state.retry_in == 4
    assert state.outcome is None
    script.advance(4)
    script.connect()
    assert script.states == ["ready", "draining", "reconnecting", "connecting", "ready"]


def test_old_connection_that_breaks_while_the_new_one_opens() -> None:
    script = Script()
    old = script.connect()
    script.send(goaway(0))
    script.advance(0)
    script.drop(link=old)
    assert script.states[-2:] == ["reconnecting", "connecting"]
    script.connect()
    assert script.protocol.state.name == "ready"


def test_new_connection_that_fails_is_tried_again_while_the_old_one_still_answers() -> None:
    script = Script()
    old = script.connect()
    script.send(goaway(0))
    script.advance(0)
    (link,) = script.opens
    script.opens.clear()
    script.protocol.handle_open_failed(link, script.now)
    script.settle()
    assert script.protocol.state.name == "draining"
    script.advance(1)
    script.connect()
    assert script.protocol.state.name == "ready"
    assert old in script.closes


@pytest.mark.clause("6.8.9")
def test_second_goaway_on_one_connection_is_ignored_and_one_on_the_next_is_not() -> None:
    script = Script()
    old = script.connect()
    script.submit("a")
    script.sent()
    script.send(goaway(0), goaway(9_000))
    script.advance(0)
    assert len(script.opens) == 1
    middle = script.connect()
    script.send(goaway(0))
    script.advance(0)
    new = script.connect()
    assert middle in script.closes
    assert old not in script.closes
    script.drop(link=old)
    (again,) = script.sent(new)
    assert again["id"] == "a"


def test_current_connection_lost_while_the_moved_one_is_still_closing() -> None:
    script = Script(closes_at_once=False)
    old = script.connect()
    script.send(goaway(0))
    script.advance(0)
    new = script.connect()
    assert old in script.closes
    script.drop(link=new)
    assert script.protocol.state.name == "reconnecting"
    script.advance(1)
    script.connect()
    script.drop(link=old)
    assert script.protocol.state.name == "ready"
