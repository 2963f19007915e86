# SPDX-License-Identifier: Apache-2.0
"""Requests over connections: PROTOCOL 9.1, 9.2 and 9.5."""

from __future__ import annotations

from typing import Any

import pytest
from request_words import busy, error_of, kinds, ready
from scripted import Script

from longcall import (
    Chunk,
    ConflictError,
    ConnectionClosed,
    HandlerError,
    InternalError,
    Progress,
    RateLimitedError,
    Status,
    ValidationError,
)
from longcall.protocol import Ending, Phase
from longcall.testing.messages import acknowledgment, chunk, complete, failure, processing, progress

# The ordinary life.


@pytest.mark.clause("9.2.2")
def test_request_is_followed_from_its_acknowledgment_to_its_end() -> None:
    script = ready()
    state, reader = script.reading()
    assert state.phase is Phase.STORED
    script.send(
        processing("r", 2),
        progress("r", 1, 1, percentage=50, message="half"),
        chunk("r", 3, ["row"]),
        complete("r", 4, {"rows": 1}),
    )
    events = script.take(state, reader)
    assert events == [
        Status(seq=1, status="queued"),
        Status(seq=2, status="processing", attempt=1),
        Progress(1, 1, updated_at=events[2].updated_at, percentage=50, message="half"),
        Chunk(seq=3, attempt=1, data=["row"]),
    ]
    assert reader.is_over
    assert state.outcome is not None
    assert state.outcome.result == {"rows": 1}
    assert script.sent() == []


@pytest.mark.clause("9.1.3", "10.39.1")
def test_quick_request_is_finished_without_events() -> None:
    script = ready()
    state = script.submit()
    reader = script.read(state)
    script.send({"type": "response", "request_id": "r", "result": None})
    assert reader.is_over
    assert script.take(state, reader) == []
    assert state.outcome is not None
    assert state.outcome.ending is Ending.ANSWER
    assert state.outcome.result is None
    later = script.read(state)
    assert later.is_over


@pytest.mark.clause("10.9.4")
def test_quick_request_that_failed_is_an_outcome_and_no_refusal() -> None:
    script = ready()
    state = script.submit()
    script.send(
        failure("HANDLER_ERROR", request_id="r", reply_to="request", executed=True,
                details={"code": "NO_ROWS"})
    )  # fmt: skip
    error = error_of(state)
    assert isinstance(error, HandlerError)
    assert error.executed
    assert error.details == {"code": "NO_ROWS"}
    assert state.outcome is not None
    assert state.outcome.ending is Ending.ANSWER


@pytest.mark.clause("7.1.4", "9.2.4", "9.2.5", "9.8.2")
def test_failed_request_ends_its_iterator_normally_and_carries_the_attempt() -> None:
    script = ready()
    state, reader = script.reading()
    script.send(processing("r", 2), processing("r", 3, attempt=2))
    script.send(failure("BRAND_NEW", retryable=True, request_id="r", seq=4, retry_after_ms=1500))
    assert script.seqs(state, reader) == [1, 2, 3]
    assert reader.error is None
    assert reader.is_over
    error = error_of(state)
    assert isinstance(error, InternalError)  # PROTOCOL 7.1.4
    assert (error.code, error.retryable) == ("BRAND_NEW", True)
    assert (error.retry_after, error.attempt) == (1.5, 2)


@pytest.mark.clause("5.5.4")
def test_status_tells_which_chunks_still_stand_and_when_the_next_attempt_is_due() -> None:
    script = ready()
    state, reader = script.reading()
    retrying = {**processing("r", 2), "status": "retrying", "retry_at": "2026-01-01T00:00:01.500Z"}
    retrying["error"] = {"code": "HANDLER_ERROR", "message": "no", "retryable": True}
    script.send(retrying, processing("r", 3, attempt=2, kept=7))
    _, first, second = script.take(state, reader)
    assert first.retry_at.isoformat() == "2026-01-01T00:00:01.500000+00:00"
    assert first.error.code == "HANDLER_ERROR"
    assert second.chunks_kept_to == 7


# Sending again.


@pytest.mark.clause("5.1.7", "9.5.1", "9.5.2", "10.6.1")
def test_unanswered_requests_are_sent_again_in_order_with_resend() -> None:
    script = ready()
    for request_id in ("a", "b", "c"):
        script.submit(request_id)
    script.sent()
    script.send(acknowledgment("b"))
    script.reconnect()
    sent = script.sent()
    assert [(m["type"], m.get("id"), m.get("resend")) for m in sent[:2]] == [
        ("request", "a", True), ("request", "c", True),
    ]  # fmt: skip
    assert sent[2] == {"type": "attach", "request_id": "b", "after_seq": 1}


@pytest.mark.clause("9.5.3", "10.6.1")
def test_first_sending_has_no_resend_even_after_waiting_offline() -> None:
    script = Script()
    script.submit("a")
    script.submit("b")
    script.connect()
    assert [(m["id"], "resend" in m) for m in script.sent()] == [("a", False), ("b", False)]


@pytest.mark.clause("10.4.1")
def test_refusal_of_a_request_that_was_sent_once_is_final() -> None:
    script = ready()
    state = script.submit()
    script.send(busy("RATE_LIMITED", "request", 10))
    error = error_of(state)
    assert isinstance(error, RateLimitedError)
    assert (error.outcome_unknown, error.retry_after, error.origin) == (False, 0.01, "server")
    script.advance(10)
    assert kinds(script.sent()) == ["request"]


@pytest.mark.clause("10.4.2")
def test_retryable_refusal_of_a_request_that_was_sent_twice_is_waited_for() -> None:
    script = ready()
    state = script.submit()
    script.reconnect()
    script.sent()
    script.send(busy("UNAVAILABLE", "request", 2000))
    script.advance(1.9)
    assert script.sent() == []
    script.advance(0.1)
    (again,) = script.sent()
    assert again["resend"] is True
    assert state.outcome is None


@pytest.mark.clause("9.5.7", "10.4.3")
def test_final_refusal_of_a_request_that_was_sent_twice_has_an_unknown_outcome() -> None:
    script = ready()
    state = script.submit()
    script.reconnect()
    script.send(failure("FORBIDDEN", request_id="r", reply_to="request"))
    assert error_of(state).outcome_unknown


@pytest.mark.clause("4.3.2", "10.2.4", "10.2.5")
def test_refusal_of_another_message_never_refuses_the_request() -> None:
    script = ready()
    state = script.submit()
    for reply_to in ("cancel", "list", "refresh", "detach", "ping", "new"):
        script.send(failure("FORBIDDEN", request_id="r", reply_to=reply_to))
    script.send(failure("VALIDATION_ERROR"), failure("NOT_FOUND", request_id="r"))
    assert not state.is_settled
    script.send(acknowledgment("r"))
    assert state.phase is Phase.STORED


@pytest.mark.clause("9.5.6", "9.8.3", "10.31.3")
def test_request_that_was_sent_too_long_ago_is_not_sent_again() -> None:
    script = ready(limits={"id_retention_ms": 1000})
    state = script.submit()
    script.drop()
    script.advance(1.1)
    script.connect(limits={"id_retention_ms": 1000})
    assert script.sent() == []
    error = error_of(state)
    assert isinstance(error, ConflictError)
    assert error.details == {"reason": "expired"}
    assert error.outcome_unknown
    assert error.origin == "client"


@pytest.mark.clause("10.39.1", "10.39.2")
def test_first_outcome_wins() -> None:
    script = ready()
    state, reader = script.reading()
    script.send(complete("r", 2, "first"), complete("r", 3, "second"))
    script.send({"type": "response", "request_id": "r", "result": "third"})
    script.send(failure("CANCELLED", request_id="r", seq=3))
    assert state.outcome is not None
    assert state.outcome.result == "first"
    assert script.seqs(state, reader) == [1]


@pytest.mark.clause("9.5.5")
def test_request_whose_caller_gave_up_is_never_sent() -> None:
    script = Script()
    state = script.submit()
    script.protocol.release(state, script.now)
    script.connect()
    assert script.sent() == []


def test_request_whose_caller_gave_up_after_sending_is_settled_then_detached() -> None:
    script = ready()
    state = script.submit()
    script.protocol.release(state, script.now)
    script.reconnect()
    assert [m.get("resend") for m in script.sent()] == [True]
    script.send(acknowledgment("r", duplicate=True))
    assert script.sent() == [{"type": "detach", "request_id": "r"}]
    script.reconnect()
    assert script.sent() == []


@pytest.mark.clause("9.3.3")
def test_nothing_ends_a_request_but_its_server_however_long_it_takes() -> None:
    script = ready()
    state, reader = script.reading()
    for _ in range(24 * 60):
        script.advance(30)
        script.send({"type": "ping"})
        script.advance(30)
        script.send({"type": "ping"})
    assert state.outcome is None
    assert not reader.is_over
    assert set(kinds(script.sent())) == {"pong"}
    script.send(complete("r", 2))
    assert state.outcome is not None


@pytest.mark.clause("10.46.5")
def test_a_priority_changes_nothing_in_the_order_of_sending_and_none_of_answers_is_expected() -> (
    None
):
    script = Script()
    states = [
        script.submit(request_id, priority=priority)
        for request_id, priority in (("a", 0), ("b", 9), ("c", 5))
    ]
    script.connect()
    assert [m["id"] for m in script.sent()] == ["a", "b", "c"]
    for request_id in ("c", "a", "b"):
        script.send({"type": "response", "request_id": request_id, "result": request_id})
    assert [state.outcome.result for state in states if state.outcome] == ["a", "b", "c"]


# Ids.


def test_same_id_and_content_is_the_same_request() -> None:
    script = ready()
    one = script.submit(is_own_id=True, payload={"a": 1, "b": [1.0]})
    two = script.submit(is_own_id=True, payload={"b": [1], "a": 1.0})
    assert one is two
    assert kinds(script.sent()) == ["request"]
    for changes in ({"action": "other"}, {"payload": {"a": 2}}, {"payload": None}):
        different: dict[str, Any] = {"payload": {"a": 1, "b": [1]}, **changes}
        with pytest.raises(ConflictError) as caught:
            script.submit(is_own_id=True, **different)
        assert caught.value.origin == "client"


def test_id_of_a_quick_or_refused_request_can_be_submitted_again() -> None:
    script = ready()
    script.submit(is_own_id=True)
    script.send({"type": "response", "request_id": "r", "result": 1})
    again = script.submit(is_own_id=True)
    script.send(failure("NOT_FOUND", request_id="r", reply_to="request"))
    assert again.outcome is not None
    script.submit(is_own_id=True)
    assert kinds(script.sent()) == ["request"] * 3


@pytest.mark.clause("5.1.2")
@pytest.mark.parametrize("bad", ["", ".", "..", "a b", "ä", "x" * 129])
def test_id_of_bad_form_is_refused_here(bad: str) -> None:
    script = ready()
    with pytest.raises(ValidationError):
        script.submit(bad)
    with pytest.raises(ValidationError):
        script.attach(bad)
    assert script.sent() == []


def test_closing_ends_every_question() -> None:
    script = ready()
    state = script.submitted()
    questions: list[Any] = [
        script.protocol.snapshot(state, script.now),
        script.protocol.cancel(state, None, script.now),
        script.protocol.list(script.now),
    ]
    reader = script.read(state)
    script.protocol.close(script.now)
    for question in questions:
        assert isinstance(question.error, ConnectionClosed)
    assert isinstance(reader.error, ConnectionClosed)
    assert isinstance(script.read(state).error, ConnectionClosed)


def test_nothing_is_kept_of_requests_that_are_over() -> None:
    script = ready()
    for number in range(100):
        state, reader = script.reading(f"r{number}")
        script.send(complete(f"r{number}", 2))
        script.protocol.close_reader(state, reader, script.now)
        del state, reader
    requests = script.protocol._requests
    assert not requests._active
    assert len(requests._known) <= 1  # the last message sent, for a close with 1009
    assert not requests.sender.in_flight
    link = script.protocol._context.current
    assert link is not None
    assert not link.cursors
    assert link.is_quiet
