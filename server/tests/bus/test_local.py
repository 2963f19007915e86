# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from longcall_server.bus.base import Bus
from longcall_server.bus.local import LocalBus
from longcall_server.stores.base import Owner, RequestKey, StoredProgress

KEY = RequestKey(Owner("acme", "alice"), "a")
OTHER = RequestKey(Owner("acme", "bob"), "a")
PROGRESS = StoredProgress(1, 1, "{}")


@dataclass
class Follower:
    heard: list[object] = field(default_factory=list)
    on_change: Callable[[], None] = lambda: None

    def request_changed(self) -> None:
        self.heard.append("changed")
        self.on_change()

    def progress_reported(self, progress: StoredProgress) -> None:
        self.heard.append(progress)


def test_the_local_bus_is_a_bus() -> None:
    bus: Bus = LocalBus()
    bus.request_changed(KEY)
    bus.progress_reported(KEY, PROGRESS)
    bus.cancel_requested(KEY)
    bus.work_available()


def test_followers_hear_of_their_request_alone() -> None:
    bus, alice, bob = LocalBus(), Follower(), Follower()
    bus.watch_request(KEY, alice)
    bus.watch_request(OTHER, bob)
    bus.request_changed(KEY)
    bus.progress_reported(KEY, PROGRESS)
    assert (alice.heard, bob.heard) == (["changed", PROGRESS], [])


def test_all_followers_of_a_request_hear_and_one_may_follow_twice() -> None:
    bus, first, second = LocalBus(), Follower(), Follower()
    bus.watch_request(KEY, first)
    unwatch = bus.watch_request(KEY, first)
    bus.watch_request(KEY, second)
    bus.request_changed(KEY)
    assert (len(first.heard), len(second.heard)) == (2, 1)
    unwatch()
    bus.request_changed(KEY)
    assert (len(first.heard), len(second.heard)) == (3, 2)


def test_who_left_hears_nothing_and_may_leave_again() -> None:
    bus, follower = LocalBus(), Follower()
    unwatch = bus.watch_request(KEY, follower)
    unwatch()
    unwatch()
    bus.request_changed(KEY)
    assert follower.heard == []
    assert not bus._followers


def test_listeners_may_come_and_go_while_the_bell_rings() -> None:
    bus, second, late = LocalBus(), Follower(), Follower()
    first = Follower(on_change=lambda: (leave(), bus.watch_request(KEY, late), None)[2])
    bus.watch_request(KEY, first)
    leave = bus.watch_request(KEY, second)
    bus.request_changed(KEY)
    assert (first.heard, second.heard, late.heard) == (["changed"], [], [])
    bus.request_changed(KEY)
    assert late.heard == ["changed"]


def test_cancels_and_work_reach_everybody_who_watches() -> None:
    bus = LocalBus()
    cancels: list[RequestKey] = []
    work: list[str] = []
    stop_cancels = bus.watch_cancels(cancels.append)
    stop_work = bus.watch_work(lambda: work.append("one"))
    bus.watch_work(lambda: work.append("two"))
    bus.cancel_requested(KEY)
    bus.work_available()
    assert (cancels, work) == ([KEY], ["one", "two"])
    stop_cancels()
    stop_work()
    bus.cancel_requested(KEY)
    bus.work_available()
    assert (cancels, work) == ([KEY], ["one", "two", "two"])


def test_a_listener_that_raises_harms_nobody_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def trouble(*_: object) -> None:
        raise RuntimeError("trouble")

    bus, good = LocalBus(), Follower()
    bus.watch_request(KEY, Follower(on_change=trouble))
    bus.watch_request(KEY, good)
    bus.watch_cancels(trouble)
    bus.watch_work(trouble)
    with caplog.at_level(logging.ERROR):
        bus.request_changed(KEY)
        bus.cancel_requested(KEY)
        bus.work_available()
    assert good.heard == ["changed"]
    assert [record.exc_info is not None for record in caplog.records] == [True] * 3
