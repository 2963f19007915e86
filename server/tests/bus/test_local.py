# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from longcall_server.bus.base import Bus
from longcall_server.bus.local import LocalBus
from longcall_server.bus.suite import KEY, BusSuite, Follower, exercise_bus


@asynccontextmanager
async def one_bus() -> AsyncIterator[tuple[Bus, Bus]]:
    bus = LocalBus()
    yield bus, bus


class TestLocalBus(BusSuite):
    def buses(self) -> AbstractAsyncContextManager[tuple[Bus, Bus]]:
        return one_bus()


async def test_the_suite_also_runs_without_pytest() -> None:
    assert await exercise_bus(one_bus) > 5


async def test_nothing_is_kept_of_who_left() -> None:
    bus = LocalBus()
    bus.watch_request(KEY, Follower())()
    assert not bus._followers


async def test_one_may_follow_twice() -> None:
    bus, follower = LocalBus(), Follower()
    bus.watch_request(KEY, follower)
    unwatch = bus.watch_request(KEY, follower)
    bus.request_changed(KEY)
    unwatch()
    bus.request_changed(KEY)
    assert follower.heard.all == ["changed"] * 3


async def test_listeners_may_come_and_go_while_the_bell_rings() -> None:
    bus, first, second, late = LocalBus(), Follower(), Follower(), Follower()
    first.on_change = lambda: (leave(), bus.watch_request(KEY, late), None)[2]
    bus.watch_request(KEY, first)
    leave = bus.watch_request(KEY, second)
    bus.request_changed(KEY)
    assert (first.heard.all, second.heard.all, late.heard.all) == (["changed"], [], [])
    bus.request_changed(KEY)
    assert late.heard.all == ["changed"]


async def test_a_listener_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def trouble() -> None:
        raise RuntimeError("trouble")

    bus = LocalBus()
    bus.watch_work(trouble)
    with caplog.at_level(logging.ERROR):
        bus.work_available()
    assert [record.exc_info is not None for record in caplog.records] == [True]
