# SPDX-License-Identifier: Apache-2.0
"""Requests over connections: chapters 9.1, 9.2, 9.5 and the races 10.2 to 10.44 of PROTOCOL.md."""

from __future__ import annotations

from typing import Any

import pytest
from scripted import (
    CREATED,
    Script,
    acknowledgment,
    chunk,
    complete,
    failure,
    processing,
    progress,
    snapshot,
    summary,
)

from longcall import (
    Chunk,
    ConflictError,
    ConnectionClosed,
    HandlerError,
    InternalError,
    NotFoundError,
    PayloadTooLargeError,
    Progress,
    QueueFull,
    RateLimitedError,
    ReaderLimits,
    RequestError,
    Status,
    ValidationError,
)
from longcall.protocol import Ending, Phase, TrackedRequest


def ready(**changes: Any) -> Script:
    script = Script()
    script.connect(**changes)
    return script


def error_of(state: TrackedRequest) -> RequestError:
    assert state.outcome is not None
    assert isinstance(state.outcome.error, RequestError)
    return state.outcome.error


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages]


def busy(code: str, reply_to: str, retry_after_ms: int) -> dict[str, Any]:
    """Returns a refusal that invites to try again."""
    return failure(
        code, retryable=True, request_id="r", reply_to=reply_to, retry_after_ms=retry_after_ms
    )


# The ordinary life.


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


def test_status_tells_which_chunks_still_stand_and_when_the_next_attempt_is_due() -> None:
    script = ready()
    state, reader = script.reading()
    retrying = {**processing("r", 2), "status": "retrying", "retry_at": "2026-11-23T18:40:01.500Z"}
    retrying["error"] = {"code": "HANDLER_ERROR", "message": "no", "retryable": True}
    script.send(retrying, processing("r", 3, attempt=2, kept=7))
    _, first, second = script.take(state, reader)
    assert first.retry_at.isoformat() == "2026-11-23T18:40:01.500000+00:00"
    assert first.error.code == "HANDLER_ERROR"
    assert second.chunks_kept_to == 7


# Sending again.


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


def test_first_sending_has_no_resend_even_after_waiting_offline() -> None:
    script = Script()
    script.submit("a")
    script.submit("b")
    script.connect()
    assert [(m["id"], "resend" in m) for m in script.sent()] == [("a", False), ("b", False)]


def test_refusal_of_a_request_that_was_sent_once_is_final() -> None:
    script = ready()
    state = script.submit()
    script.send(busy("RATE_LIMITED", "request", 10))
    error = error_of(state)
    assert isinstance(error, RateLimitedError)
    assert (error.outcome_unknown, error.retry_after, error.origin) == (False, 0.01, "server")
    script.advance(10)
    assert kinds(script.sent()) == ["request"]


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


def test_final_refusal_of_a_request_that_was_sent_twice_has_an_unknown_outcome() -> None:
    script = ready()
    state = script.submit()
    script.reconnect()
    script.send(failure("FORBIDDEN", request_id="r", reply_to="request"))
    assert error_of(state).outcome_unknown


def test_refusal_of_another_message_never_refuses_the_request() -> None:
    script = ready()
    state = script.submit()
    for reply_to in ("cancel", "list", "refresh", "detach", "ping", "new"):
        script.send(failure("FORBIDDEN", request_id="r", reply_to=reply_to))
    script.send(failure("VALIDATION_ERROR"), failure("NOT_FOUND", request_id="r"))
    assert not state.is_settled
    script.send(acknowledgment("r"))
    assert state.phase is Phase.STORED


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


def test_first_outcome_wins() -> None:
    script = ready()
    state, reader = script.reading()
    script.send(complete("r", 2, "first"), complete("r", 3, "second"))
    script.send({"type": "response", "request_id": "r", "result": "third"})
    script.send(failure("CANCELLED", request_id="r", seq=3))
    assert state.outcome is not None
    assert state.outcome.result == "first"
    assert script.seqs(state, reader) == [1]


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


# The log.


def test_iterator_gets_each_event_once_over_a_lost_connection() -> None:
    script = ready()
    state, reader = script.reading()
    script.send(processing("r", 2), chunk("r", 3))
    script.reconnect()
    assert script.sent() == [{"type": "attach", "request_id": "r", "after_seq": 3}]
    script.send(chunk("r", 4))  # PROTOCOL 10.26: before the snapshot
    script.send(snapshot("r", last_seq=5))
    script.send(chunk("r", 3), chunk("r", 4), chunk("r", 4), complete("r", 5))
    assert script.seqs(state, reader) == [1, 2, 3, 4]
    assert reader.is_over


def test_connection_lost_before_the_first_event_is_resumed_at_zero() -> None:
    script = ready()
    state = script.attach()
    reader = script.read(state)
    script.reconnect()
    assert script.sent() == [{"type": "attach", "request_id": "r", "after_seq": 0}]
    script.send(snapshot("r", last_seq=2), acknowledgment("r"), complete("r", 2))
    assert script.seqs(state, reader) == [1]
    assert reader.is_over


def test_gap_is_read_again_twice_and_then_the_connection_is_left() -> None:
    script = ready()
    state, reader = script.reading()
    link = script.link
    attach = {"type": "attach", "request_id": "r", "after_seq": 1}
    for _ in range(2):
        script.send(chunk("r", 3), chunk("r", 4))
        assert script.sent() == [attach]
        script.send(snapshot("r", last_seq=4))
    script.send(chunk("r", 3))
    assert script.closes[link][0] == 4400
    assert script.seqs(state, reader) == [1]
    script.advance(1)
    script.connect()
    assert script.sent() == [attach]


def test_gaps_with_an_advance_between_are_each_read_again() -> None:
    script = ready()
    state, reader = script.reading()
    for seq in range(2, 8):
        script.send(chunk("r", seq + 1))
        assert script.sent() == [{"type": "attach", "request_id": "r", "after_seq": seq - 1}]
        script.send(snapshot("r", last_seq=9), chunk("r", seq))
    assert script.seqs(state, reader) == [1, 2, 3, 4, 5, 6, 7]


def test_snapshot_never_ends_a_handle() -> None:
    script = ready()
    state = script.attach()
    reader = script.read(state)
    script.send(snapshot("r", status="completed", last_seq=3), acknowledgment("r"), chunk("r", 2))
    assert script.seqs(state, reader) == [1, 2]
    assert state.outcome is None
    script.send(complete("r", 3))
    assert reader.is_over


@pytest.mark.parametrize("code", ["NOT_FOUND", "CONFLICT", "FORBIDDEN"])
def test_refused_attach_ends_the_handle_and_its_iterator_raises(code: str) -> None:
    script = ready()
    state = script.attach()
    reader = script.read(state)
    script.send(failure(code, request_id="r", reply_to="attach"))
    assert error_of(state).code == code
    assert reader.error is error_of(state)
    assert kinds(script.sent()) == ["attach"]


def test_attach_that_is_refused_for_now_is_sent_again() -> None:
    script = ready()
    state = script.attach()
    script.sent()
    script.send(busy("UNAVAILABLE", "attach", 500))
    script.advance(0.4)
    assert script.sent() == []
    script.advance(0.2)
    assert kinds(script.sent()) == ["attach"]
    assert state.outcome is None


def test_log_that_is_removed_under_a_reader_ends_the_handle() -> None:
    script = ready()
    state, reader = script.reading()
    script.send(failure("NOT_FOUND", request_id="r", reply_to="attach"))
    assert isinstance(error_of(state), NotFoundError)
    assert script.seqs(state, reader) == [1]
    assert reader.error is not None


@pytest.mark.parametrize("how", ["snapshot", "acknowledgment"])
def test_other_incarnation_of_an_id_ends_the_handle(how: str) -> None:
    script = ready()
    state, reader = script.reading()
    other = "2027-01-01T00:00:00.000Z"
    script.reconnect()
    if how == "snapshot":
        script.send(snapshot("r", created_at=other, last_seq=9))
    else:
        script.send(acknowledgment("r", created_at=other))
    script.send(chunk("r", 2))
    assert isinstance(error_of(state), NotFoundError)
    assert script.seqs(state, reader) == [1]


def test_handles_of_one_id_share_one_cursor_and_only_the_last_detaches() -> None:
    script = ready()
    one = script.attach()
    two = script.attach()
    assert one is two
    assert kinds(script.sent()) == ["attach"]
    script.protocol.release(one, script.now)
    assert script.sent() == []
    script.protocol.release(two, script.now)
    assert kinds(script.sent()) == ["detach"]


def test_frames_after_a_detach_are_ignored_until_the_answer_to_the_next_attach() -> None:
    script = ready()
    state, reader = script.reading()
    script.protocol.close_reader(state, reader, script.now)
    script.protocol.release(state, script.now)
    assert kinds(script.sent()) == ["detach"]
    script.send(chunk("r", 2))
    script.protocol.retain(state, script.now)
    again = script.read(state)
    assert [m["after_seq"] for m in script.sent()] == [1, 0]
    script.send(chunk("r", 3), snapshot("r"), chunk("r", 4), snapshot("r", last_seq=2))
    script.send(acknowledgment("r"), chunk("r", 2))
    assert script.seqs(state, again) == [1, 2]


def test_second_iterator_gets_the_log_from_event_one_and_disturbs_nobody() -> None:
    script = ready()
    state, first = script.reading()
    script.send(chunk("r", 2), chunk("r", 3))
    second = script.read(state)
    assert script.sent() == [{"type": "attach", "request_id": "r", "after_seq": 0}]
    script.send(snapshot("r", last_seq=3), acknowledgment("r"))
    script.send(*(chunk("r", seq) for seq in range(2, 5)), complete("r", 5))
    assert script.seqs(state, first) == [1, 2, 3, 4]
    assert script.seqs(state, second) == [1, 2, 3, 4]
    assert first.is_over
    assert second.is_over


def test_finished_request_can_be_read_again_and_left_early() -> None:
    script = ready()
    state, first = script.reading()
    script.send(complete("r", 2))
    script.protocol.close_reader(state, first, script.now)
    second = script.read(state)
    assert script.sent() == [{"type": "attach", "request_id": "r", "after_seq": 0}]
    script.send(snapshot("r", status="completed", last_seq=2), acknowledgment("r"))
    assert script.seqs(state, second) == [1]
    script.protocol.close_reader(state, second, script.now)
    assert kinds(script.sent()) == ["detach"]


def test_reading_a_finished_request_again_when_its_log_is_gone_raises() -> None:
    script = ready()
    state, first = script.reading()
    script.send(complete("r", 2))
    second = script.read(state)
    script.send(failure("NOT_FOUND", request_id="r", reply_to="attach"))
    assert isinstance(second.error, NotFoundError)
    assert state.outcome is not None
    assert state.outcome.result == "done"
    assert first.is_over


# Slow applications.


def small(max_events: int = 4) -> Script:
    """Returns a client whose iterators hold little."""
    script = Script(reader=ReaderLimits(max_events=max_events, max_bytes=10_000))
    script.connect()
    return script


def test_slow_iterator_pauses_and_goes_on_from_its_place() -> None:
    script = small()
    state, reader = script.reading()
    script.send(*(chunk("r", seq) for seq in range(2, 5)))
    assert kinds(script.sent()) == ["detach"]
    script.send(*(chunk("r", seq) for seq in range(5, 9)))  # late frames
    script.protocol.next_event(state, reader, script.now)
    assert script.sent() == []
    script.protocol.next_event(state, reader, script.now)
    assert script.sent() == [{"type": "attach", "request_id": "r", "after_seq": 4}]
    script.send(snapshot("r", last_seq=6), chunk("r", 5), complete("r", 6))
    assert script.seqs(state, reader) == [3, 4, 5]
    assert reader.is_over


def test_iterator_holds_bytes_not_only_events() -> None:
    script = small(max_events=100)
    state, reader = script.reading()
    script.send(chunk("r", 2, "x" * 20_000))  # one always fits
    assert kinds(script.sent()) == ["detach"]
    assert len(script.take(state, reader)) == 2
    assert [m["after_seq"] for m in script.sent()] == [2]


def test_slow_iterator_does_not_hold_up_another_one_and_catches_up_later() -> None:
    script = small()
    state, slow = script.reading()
    fast = script.read(state)
    script.send(snapshot("r"), acknowledgment("r"))
    script.sent()
    got = []
    for seq in range(2, 12):
        script.send(chunk("r", seq))
        got += script.seqs(state, fast)
    script.send(complete("r", 12))
    assert got == list(range(1, 12))
    assert script.sent() == []
    got = script.seqs(state, slow)
    while not slow.is_over:
        attach = script.sent()[-1]  # behind a detach, when it had filled up again
        assert attach == {"type": "attach", "request_id": "r", "after_seq": got[-1]}
        script.send(snapshot("r", status="completed", last_seq=12))
        script.send(*(chunk("r", seq) for seq in range(got[-1] + 1, 12)), complete("r", 12))
        got += script.seqs(state, slow)
    assert got == list(range(1, 12))


def test_waiting_for_the_result_reads_on_past_a_slow_iterator() -> None:
    script = small()
    state, reader = script.reading()
    script.protocol.add_waiter(state, script.now)
    script.send(*(chunk("r", seq) for seq in range(2, 20)), complete("r", 20))
    assert state.outcome is not None
    assert script.sent() == []
    assert script.seqs(state, reader) == [1, 2, 3, 4]


def test_events_before_the_first_iterator_are_kept_for_it_up_to_a_bound() -> None:
    script = ready()
    state = script.submit()
    passive = script.protocol.open_reader(state, script.now, passive=True)
    script.send(acknowledgment("r"), processing("r", 2))
    script.sent()
    assert script.protocol.activate_reader(state, passive, script.now)
    assert script.seqs(state, passive) == [1, 2]
    assert script.sent() == []

    other = script.submit("s")
    missed = script.protocol.open_reader(other, script.now, passive=True)
    script.send(acknowledgment("s"), *(chunk("s", seq) for seq in range(2, 100)))
    assert not script.protocol.activate_reader(other, missed, script.now)


# Progress.


def test_progress_is_newest_only_and_never_goes_back() -> None:
    script = ready()
    state, reader = script.reading()
    script.send(processing("r", 2))
    for attempt, version in ((1, 1), (1, 2), (1, 1), (2, 1), (1, 9), (2, 3), (2, 2)):
        script.send(progress("r", attempt, version))
    events = [event for event in script.take(state, reader) if isinstance(event, Progress)]
    assert [(event.attempt, event.version) for event in events] == [(1, 2), (2, 3)]


def test_last_progress_comes_before_the_end_and_none_after_it() -> None:
    script = ready()
    state, reader = script.reading()
    script.send(progress("r", 3, 7), complete("r", 2), progress("r", 3, 8))
    events = script.take(state, reader)
    assert [getattr(event, "version", None) for event in events] == [None, 7]


def test_progress_of_a_snapshot_counts_and_waits_for_its_attempt_in_a_replay() -> None:
    script = ready()
    state = script.attach()
    reader = script.read(state)
    newest = {
        "attempt": 2,
        "version": 5,
        "updated_at": CREATED,
        "percentage": 70,
    }
    script.send(snapshot("r", last_seq=4, attempt=2, progress=newest), progress("r", 2, 5))
    assert script.take(state, reader) == []
    script.send(acknowledgment("r"), processing("r", 2))
    script.send(processing("r", 3, attempt=2), chunk("r", 4))
    assert [type(event).__name__ for event in script.take(state, reader)] == [
        "Status", "Status", "Status", "Progress", "Chunk",
    ]  # fmt: skip


# Cancel, snapshot, list.


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


def test_cancel_is_sent_behind_its_request_on_each_new_connection() -> None:
    script = Script()
    state = script.submit()
    question = script.protocol.cancel(state, None, script.now)
    script.connect()
    assert kinds(script.sent()) == ["request", "cancel"]
    script.reconnect()
    assert kinds(script.sent()) == ["request", "cancel"]
    assert not question.is_answered


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


def test_refused_list_concerns_that_list_alone() -> None:
    script = ready()
    one, two = script.protocol.list(script.now), script.protocol.list(script.now)
    first, _ = script.sent()
    script.send(failure("VALIDATION_ERROR", id=first["id"], reply_to="list"))
    assert isinstance(one.error, ValidationError)
    assert not two.is_answered
    with pytest.raises(ValidationError):
        script.protocol.list(script.now, limit=0)


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


@pytest.mark.parametrize("bad", ["", ".", "..", "a b", "ä", "x" * 129])
def test_id_of_bad_form_is_refused_here(bad: str) -> None:
    script = ready()
    with pytest.raises(ValidationError):
        script.submit(bad)
    with pytest.raises(ValidationError):
        script.attach(bad)
    assert script.sent() == []


# Limits.


def test_burst_and_rate_are_kept_and_pongs_are_free() -> None:
    script = ready(limits={"message_burst": 10, "messages_per_minute": 60})
    for number in range(20):
        script.submit(f"r{number}")
    assert len(script.sent()) == 5
    script.send(*({"type": "ping"} for _ in range(50)))
    assert len(script.sent()) == 50
    script.advance(3.1)
    assert len(script.sent()) == 3
    for _ in range(12):
        script.send({"type": "ping"})
        script.advance(1.01)
    assert kinds(script.sent()).count("request") == 12


def test_window_holds_back_requests_until_others_end() -> None:
    script = ready(limits={"max_in_flight": 2})
    for request_id in ("a", "b", "c", "d"):
        script.submit(request_id)
    assert [m["id"] for m in script.sent()] == ["a", "b"]
    script.send(acknowledgment("a"), acknowledgment("b"))
    assert script.sent() == []
    script.send(complete("a", 2))
    assert [m["id"] for m in script.sent()] == ["c"]
    script.send({"type": "response", "request_id": "c", "result": 1})
    assert [m["id"] for m in script.sent()] == ["d"]


def test_window_is_not_blocked_for_ever_by_requests_that_nobody_reads() -> None:
    script = ready(limits={"max_in_flight": 1})
    state = script.submitted("a")
    script.protocol.release(state, script.now)
    script.submit("b")
    assert kinds(script.sent()) == ["detach"]
    script.advance(5)
    assert script.sent() == [{"type": "attach", "request_id": "a", "after_seq": 1, "follow": False}]
    script.send(snapshot("a", last_seq=2))
    script.protocol.close_reader(state, script.read(state), script.now)
    assert kinds(script.sent()) == ["attach", "detach"]
    script.send(snapshot("a", last_seq=2))
    script.advance(5)
    assert kinds(script.sent()) == ["attach"]
    script.send(snapshot("a", status="completed", last_seq=3))
    assert [m["id"] for m in script.sent()] == ["b"]


def test_requests_are_sent_again_whatever_the_window_says() -> None:
    script = ready(limits={"max_in_flight": 2})
    script.submit("a")
    script.submit("b")
    script.reconnect(limits={"max_in_flight": 1})
    assert [m["id"] for m in script.sent()] == ["a", "b"]


def test_queue_is_bounded_in_requests_and_in_bytes() -> None:
    script = Script(max_queue=2, max_queue_bytes=300)
    script.submit("a")
    with pytest.raises(QueueFull) as caught:
        script.submit("b", payload="x" * 300)
    script.submit("c")
    with pytest.raises(QueueFull):
        script.submit("d")
    assert (caught.value.request_id, caught.value.waiting) == ("b", 1)
    script.connect()
    assert [m["id"] for m in script.sent()] == ["a", "c"]
    script.submit("d")


def test_request_over_the_limit_fails_alone_and_before_it_is_sent() -> None:
    script = Script()
    big, small = script.submit("a", payload="x" * 500), script.submit("b")
    script.connect(limits={"max_message_bytes": 400})
    assert [m["id"] for m in script.sent()] == ["b"]
    error = error_of(big)
    assert isinstance(error, PayloadTooLargeError)
    assert isinstance(error.details, dict)
    assert error.details["limit"] == 400
    assert not error.outcome_unknown
    assert small.outcome is None


def test_size_is_counted_in_bytes_of_utf8() -> None:
    script = ready(limits={"max_message_bytes": 250})
    fits, over = script.submit("a", payload="x" * 150), script.submit("b", payload="é" * 150)
    assert fits.outcome is None
    assert error_of(over).code == "PAYLOAD_TOO_LARGE"


def test_what_caused_a_1009_is_not_sent_again() -> None:
    script = ready()
    first, last = script.submit("a"), script.submit("b")
    script.send({"type": "ping"})
    script.reconnect(1009)
    assert error_of(last).code == "PAYLOAD_TOO_LARGE"
    assert not error_of(last).outcome_unknown
    assert first.outcome is None
    assert [m["id"] for m in script.sent()] == ["a"]


def test_list_that_caused_a_1009_is_not_asked_again() -> None:
    script = ready()
    question = script.protocol.list(script.now)
    script.reconnect(1009)
    assert isinstance(question.error, PayloadTooLargeError)
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
