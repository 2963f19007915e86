# SPDX-License-Identifier: Apache-2.0
"""Reading logs and progress: PROTOCOL 9.2, 10.25 to 10.36."""

from __future__ import annotations

import pytest
from request_words import busy, error_of, kinds, ready

from longcall import (
    NotFoundError,
    Progress,
)
from longcall.testing.messages import (
    CREATED,
    acknowledgment,
    chunk,
    complete,
    failure,
    processing,
    progress,
    snapshot,
)

# The log.


@pytest.mark.clause("9.2.3", "9.5.2", "10.26.1", "10.30.1")
def test_iterator_gets_each_event_once_over_a_lost_connection() -> None:
    script = ready()
    state, reader = script.reading()
    script.send(processing("r", 2), chunk("r", 3))
    script.reconnect()
    assert script.sent() == [{"type": "attach", "request_id": "r", "after_seq": 3}]
    script.send(chunk("r", 4))  # PROTOCOL 10.26: before the snapshot
    assert script.seqs(state, reader) == [1, 2, 3]
    script.send(snapshot("r", last_seq=5))
    # PROTOCOL 10.30.1: a repeat changes nothing, the position neither.
    script.send(chunk("r", 3), chunk("r", 4), chunk("r", 4), chunk("r", 3), complete("r", 5))
    assert script.seqs(state, reader) == [4]
    assert script.sent() == []
    assert reader.is_over


@pytest.mark.clause("9.5.2")
def test_connection_lost_before_the_first_event_is_resumed_at_zero() -> None:
    script = ready()
    state = script.attach()
    reader = script.read(state)
    script.reconnect()
    assert script.sent() == [{"type": "attach", "request_id": "r", "after_seq": 0}]
    script.send(snapshot("r", last_seq=2), acknowledgment("r"), complete("r", 2))
    assert script.seqs(state, reader) == [1]
    assert reader.is_over


@pytest.mark.clause("7.3.3", "10.30.2", "10.30.3", "10.30.4")
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


@pytest.mark.clause("10.30.3", "10.30.4")
def test_gaps_with_an_advance_between_are_each_read_again() -> None:
    script = ready()
    state, reader = script.reading()
    for seq in range(2, 8):
        script.send(chunk("r", seq + 1))
        assert script.sent() == [{"type": "attach", "request_id": "r", "after_seq": seq - 1}]
        script.send(snapshot("r", last_seq=9), chunk("r", seq))
    assert script.seqs(state, reader) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.clause("10.27.1", "10.27.2")
def test_snapshot_never_ends_a_handle() -> None:
    script = ready()
    state = script.attach()
    reader = script.read(state)
    script.send(snapshot("r", status="completed", last_seq=3), acknowledgment("r"), chunk("r", 2))
    assert script.seqs(state, reader) == [1, 2]
    assert state.outcome is None
    script.send(complete("r", 3))
    assert reader.is_over


@pytest.mark.clause("4.3.12", "10.29.2", "10.29.3")
@pytest.mark.parametrize("code", ["NOT_FOUND", "CONFLICT", "FORBIDDEN"])
def test_refused_attach_ends_the_handle_and_its_iterator_raises(code: str) -> None:
    script = ready()
    state = script.attach()
    reader = script.read(state)
    script.send(failure(code, request_id="r", reply_to="attach"))
    assert error_of(state).code == code
    assert reader.error is error_of(state)
    assert kinds(script.sent()) == ["attach"]


@pytest.mark.clause("4.3.13")
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


@pytest.mark.clause("10.33.3")
def test_log_that_is_removed_under_a_reader_ends_the_handle() -> None:
    script = ready()
    state, reader = script.reading()
    script.send(failure("NOT_FOUND", request_id="r", reply_to="attach"))
    assert isinstance(error_of(state), NotFoundError)
    assert script.seqs(state, reader) == [1]
    assert reader.error is not None


@pytest.mark.clause("10.32.2", "10.32.3")
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


@pytest.mark.clause("10.25.4")
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


@pytest.mark.clause("10.26.1")
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


@pytest.mark.clause("9.2.6")
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


@pytest.mark.clause("9.2.6")
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


# Progress.


@pytest.mark.clause("6.3.4", "10.36.2")
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


@pytest.mark.clause("10.36.2")
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
