# SPDX-License-Identifier: Apache-2.0
"""The small pure parts: ids, options, waits, buckets, heartbeats, timers, signals, readers."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from collections.abc import Hashable
from dataclasses import replace

import pytest

from longcall import ConfigurationError, Options, ReaderLimits, Status
from longcall.backoff import Backoff
from longcall.identifiers import new_request_id, uuid7
from longcall.options import boot_clock, checked_url
from longcall.protocol.heartbeat import Heartbeat
from longcall.protocol.limits import TokenBucket
from longcall.protocol.reader import EventReader
from longcall.protocol.signals import Signal
from longcall.protocol.timers import Timers


@pytest.mark.clause("5.1.3")
def test_request_ids_are_uuids_of_version_7_in_the_order_of_time() -> None:
    made = uuid.UUID(uuid7(0x0123456789AB, b"\xff" * 10))
    assert str(made) == "01234567-89ab-7fff-bfff-ffffffffffff"
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert uuid7(1, b"\0" * 10) < uuid7(2, b"\0" * 10)
    assert re.fullmatch(r"[0-9a-f-]{36}", new_request_id())
    assert len({new_request_id() for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("ws://a", "ws://a/v1/connect"),
        ("wss://a:1/", "wss://a:1/v1/connect"),
        ("wss://a/x/v1/connect?y=1", "wss://a/x/v1/connect?y=1"),
    ],
)
def test_path_is_put_where_it_lacks(given: str, expected: str) -> None:
    assert checked_url(given) == expected


def test_options_that_cannot_be_are_refused() -> None:
    for name in ("open_timeout", "max_queue", "backoff_initial"):
        with pytest.raises(ConfigurationError, match=name):
            replace(Options(), **{name: 0})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"reader\.max_events"):
        Options(reader=ReaderLimits(max_events=0))


def test_clock_does_not_go_back() -> None:
    assert boot_clock() <= boot_clock()


@pytest.mark.clause("9.4.2", "9.4.3", "9.4.4")
def test_waits_are_random_below_their_bound() -> None:
    backoff = Backoff(0.5, 20, lambda: 0.25)
    assert [backoff.wait() for _ in range(3)] == [0.125, 0.25, 0.5]
    backoff.start_over()
    assert backoff.wait() == 0.125
    backoff.take_back()
    assert backoff.wait() == 1.0


def test_bucket_holds_half_of_the_burst_and_fills_by_the_rate() -> None:
    bucket = TokenBucket(burst=5, per_minute=60, now=0)
    assert [bucket.take(0) for _ in range(4)] == [True, True, True, False]
    assert bucket.ready_at(0) == pytest.approx(1, abs=0.01)
    assert bucket.take(bucket.ready_at(0))
    bucket.force(1)
    bucket.give_back()
    assert [bucket.take(100) for _ in range(4)] == [True, True, True, False]
    assert TokenBucket(burst=1, per_minute=1, now=0).take(0)


def test_bucket_timer_is_never_too_early() -> None:
    bucket = TokenBucket(burst=2, per_minute=7, now=0.1)
    now = 0.1
    for _ in range(1000):
        if not bucket.take(now):
            now = bucket.ready_at(now)
            assert bucket.take(now)


def test_heartbeat_pings_by_the_clock_and_dies_of_silence() -> None:
    heartbeat = Heartbeat(25, pings=True, now=0)
    assert heartbeat.next_timeout() == 25
    assert not heartbeat.is_ping_due(24)
    assert heartbeat.is_ping_due(25)
    assert not heartbeat.is_ping_due(26)
    assert heartbeat.next_timeout() == 35
    heartbeat.heard(30)
    assert not heartbeat.is_dead(64)
    assert heartbeat.is_dead(65)


def test_timers_fire_in_their_order_and_can_be_moved_and_cancelled() -> None:
    timers = Timers()
    for name, when in (("a", 3.0), ("b", 1.0), ("c", 2.0), ("d", 9.0)):
        timers.set(name, when)
    timers.set("a", 1.5)
    timers.cancel("c")
    assert timers.next() == 1.0
    fired: list[Hashable] = []
    for due in timers.take_due(5):
        fired.append(due)
        timers.cancel("a")
    assert fired == ["b"]
    assert timers.due("d") == 9.0
    assert "a" not in timers


def test_signal_calls_those_who_subscribed_until_they_leave() -> None:
    signal, woken = Signal(), []
    leave = signal.subscribe(lambda: woken.append(1))
    signal.subscribe(lambda: woken.append(2))
    signal.fire()
    leave()
    signal.fire()
    assert woken == [1, 2, 2]


def test_reader_takes_only_what_is_next_and_only_while_it_has_room() -> None:
    reader = EventReader(ReaderLimits(max_events=2))
    for seq in (2, 1, 1, 3, 2, 3):
        reader.offer(seq, Status(seq, "processing", 1), 10)
    assert reader.position == 2
    assert reader.is_stalled
    reader.finish(3)
    assert not reader.is_over
    assert [reader.pop(), reader.is_stalled] == [Status(1, "processing", 1), False]
    reader.finish(3)
    assert reader.has_news
    assert reader.pop() == Status(2, "processing", 1)
    assert reader.pop() is None
    assert reader.is_over


@pytest.mark.slow
def test_import_brings_nothing_that_only_some_programs_need() -> None:
    heavy = {"websockets", "http.client", "urllib.request", "email", "rich", "argcomplete"}
    program = "import pydantic, sys; pydantic.BaseModel, pydantic.TypeAdapter; "
    program += "before = set(sys.modules); import longcall; "
    program += f"print(sorted((set(sys.modules) - before) & {heavy!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
