# SPDX-License-Identifier: Apache-2.0
"""Applications that take their events slowly: PROTOCOL 6.4."""

from __future__ import annotations

import pytest
from request_words import kinds, ready
from scripted import Script

from longcall import (
    ReaderLimits,
)
from longcall.testing.messages import acknowledgment, chunk, complete, processing, snapshot

# Slow applications.


def small(max_events: int = 4) -> Script:
    """Returns a client whose iterators hold little."""
    script = Script(reader=ReaderLimits(max_events=max_events, max_bytes=10_000))
    script.connect()
    return script


@pytest.mark.clause("6.4.4")
def test_slow_iterator_pauses_and_goes_on_from_its_place() -> None:
    script = small()
    state, reader = script.reading()
    script.send(*(chunk("r", seq) for seq in range(2, 5)))
    assert kinds(script.sent()) == ["detach"]
    script.send(*(chunk("r", seq) for seq in range(5, 9)))  # late frames
    script.protocol.next_events(state, reader, 1, script.now)
    assert script.sent() == []
    script.protocol.next_events(state, reader, 1, script.now)
    assert script.sent() == [{"type": "attach", "request_id": "r", "after_seq": 4}]
    script.send(snapshot("r", last_seq=6), chunk("r", 5), complete("r", 6))
    assert script.seqs(state, reader) == [3, 4, 5]
    assert reader.is_over


@pytest.mark.clause("6.4.4")
def test_iterator_holds_bytes_not_only_events() -> None:
    script = small(max_events=100)
    state, reader = script.reading()
    script.send(chunk("r", 2, "x" * 20_000))  # one always fits
    assert kinds(script.sent()) == ["detach"]
    assert len(script.take(state, reader)) == 2
    assert [m["after_seq"] for m in script.sent()] == [2]


@pytest.mark.clause("6.4.4")
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
