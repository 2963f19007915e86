# SPDX-License-Identifier: Apache-2.0
"""Cancel, snapshot and list: PROTOCOL 9.2, 10.13, 10.15, 10.47."""

from __future__ import annotations

import pytest
from request_words import busy, error_of, kinds, ready
from scripted import Script

from longcall import (
    NotFoundError,
    ValidationError,
)
from longcall.testing.messages import acknowledgment, chunk, complete, failure, snapshot, summary

# Cancel, snapshot, list.


@pytest.mark.clause("9.2.9", "10.15.4")
def test_cancel_resolves_at_its_snapshot_and_the_end_comes_as_an_event() -> None:
    script = ready()
    state, reader = script.reading()
    question = script.protocol.cancel(state, "enough", script.now)
    assert script.sent() == [{"type": "cancel", "request_id": "r", "reason": "enough"}]
    script.send(snapshot("r", "cancel", cancel_requested=True))
    assert question.is_answered
    assert state.outcome is None
    script.send(failure("CANCELLED", request_id="r", seq=2, details={"reason": "enough"}))
    assert error_of(state).code == "CANCELLED"
    assert script.seqs(state, reader) == [1]


@pytest.mark.clause("10.13.1")
def test_cancel_is_sent_behind_its_request_on_each_new_connection() -> None:
    script = Script()
    state = script.submit()
    question = script.protocol.cancel(state, None, script.now)
    script.connect()
    assert kinds(script.sent()) == ["request", "cancel"]
    script.reconnect()
    assert kinds(script.sent()) == ["request", "cancel"]
    assert not question.is_answered


@pytest.mark.clause("10.13.2", "10.13.3")
def test_cancel_not_found_is_not_final_before_the_request_is_settled() -> None:
    script = ready()
    state = script.submit()
    question = script.protocol.cancel(state, None, script.now)
    script.reconnect()
    script.sent()
    script.send(failure("NOT_FOUND", request_id="r", reply_to="cancel"))
    assert not question.is_answered
    assert script.sent() == []
    script.send(acknowledgment("r"))
    assert kinds(script.sent()) == ["cancel"]
    script.send(failure("NOT_FOUND", request_id="r", reply_to="cancel"))
    assert isinstance(question.error, NotFoundError)


@pytest.mark.clause("4.3.13")
def test_cancel_that_is_refused_for_now_is_sent_again() -> None:
    script = ready()
    state = script.submitted()
    question = script.protocol.cancel(state, None, script.now)
    script.sent()
    script.send(busy("UNAVAILABLE", "cancel", 100))
    script.advance(0.2)
    assert kinds(script.sent()) == ["cancel"]
    script.send(snapshot("r", "cancel"))
    assert question.error is None
    assert question.is_answered


def test_cancel_of_a_finished_request_sends_nothing() -> None:
    script = ready()
    state = script.submitted()
    script.send(complete("r", 2))
    assert script.protocol.cancel(state, None, script.now).is_answered
    assert script.sent() == []


def test_cancel_with_too_long_a_reason_is_refused_here() -> None:
    script = ready()
    state = script.submitted()
    with pytest.raises(ValidationError) as caught:
        script.protocol.cancel(state, "x" * 513, script.now)
    assert caught.value.details == {"pointer": "/reason"}


@pytest.mark.clause("9.2.8")
def test_snapshot_is_asked_by_an_attach_at_the_present_place() -> None:
    script = ready()
    state, reader = script.reading()
    script.send(chunk("r", 2))
    question = script.protocol.snapshot(state, script.now)
    assert script.sent() == [{"type": "attach", "request_id": "r", "after_seq": 2}]
    script.send(chunk("r", 3), snapshot("r", last_seq=3), chunk("r", 3))
    assert question.answer is not None
    assert question.answer.request.last_seq == 3
    assert script.seqs(state, reader) == [1, 2, 3]


def test_snapshot_survives_a_lost_connection_and_does_not_wake_what_is_detached() -> None:
    script = ready()
    state = script.submitted()
    script.protocol.release(state, script.now)
    script.sent()
    question = script.protocol.snapshot(state, script.now)
    expected = {"type": "attach", "request_id": "r", "after_seq": 1, "follow": False}
    assert script.sent() == [expected]
    script.reconnect()
    assert script.sent() == [expected]
    script.send(snapshot("r", last_seq=2), chunk("r", 2))
    assert question.answer is not None
    assert state.last == 1


def test_snapshot_of_a_finished_request_is_read_anew() -> None:
    script = ready()
    state = script.submitted()
    script.send(complete("r", 2))
    question = script.protocol.snapshot(state, script.now)
    assert kinds(script.sent()) == ["attach"]
    script.send({**snapshot("r", status="completed", last_seq=2), "result": "done"})
    assert question.answer is not None
    assert question.answer.result == "done"
    assert question.answer.request.is_finished


def test_snapshot_of_a_quick_request_is_not_found() -> None:
    script = ready()
    state = script.submit()
    waiting = script.protocol.snapshot(state, script.now)
    script.send({"type": "response", "request_id": "r", "result": 1})
    assert isinstance(waiting.error, NotFoundError)
    assert isinstance(script.protocol.snapshot(state, script.now).error, NotFoundError)


def test_list_is_asked_again_on_the_next_connection() -> None:
    script = ready()
    question = script.protocol.list(script.now, status=["queued"], limit=2)
    (sent,) = script.sent()
    assert (sent["type"], sent["status"], sent["limit"]) == ("list", ["queued"], 2)
    script.reconnect()
    assert script.sent() == [sent]
    page = {"type": "listing", "id": sent["id"], "requests": [summary("a")]}
    script.send({**page, "next_cursor": "c"})
    assert question.answer is not None
    assert [request.id for request in question.answer.requests] == ["a"]
    assert question.answer.next_cursor == "c"


@pytest.mark.clause("4.3.2", "10.2.4", "10.2.5")
def test_refused_list_concerns_that_list_alone() -> None:
    script = ready()
    one, two = script.protocol.list(script.now), script.protocol.list(script.now)
    first, _ = script.sent()
    script.send(failure("VALIDATION_ERROR", id=first["id"], reply_to="list"))
    assert isinstance(one.error, ValidationError)
    assert not two.is_answered
    with pytest.raises(ValidationError):
        script.protocol.list(script.now, limit=0)
