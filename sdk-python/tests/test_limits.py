# SPDX-License-Identifier: Apache-2.0
"""Keeping to the limits: PROTOCOL 9.6, 10.43, 10.45."""

from __future__ import annotations

import pytest
from request_words import error_of, kinds, ready
from scripted import Script

from longcall import (
    PayloadTooLargeError,
    QueueFull,
)
from longcall.testing.messages import acknowledgment, complete, snapshot

# Limits.


@pytest.mark.clause("9.6.1", "9.6.3")
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


@pytest.mark.clause("9.6.2", "9.6.3")
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


@pytest.mark.clause("9.5.3", "9.5.4")
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


@pytest.mark.clause("6.5.4", "10.43.1", "10.43.2")
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


@pytest.mark.clause("2.6.2", "6.5.4")
def test_size_is_counted_in_bytes_of_utf8() -> None:
    script = ready(limits={"max_message_bytes": 250})
    fits, over = script.submit("a", payload="x" * 150), script.submit("b", payload="é" * 150)
    assert fits.outcome is None
    assert error_of(over).code == "PAYLOAD_TOO_LARGE"


@pytest.mark.clause("6.5.5", "10.43.3", "10.43.4")
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
