# SPDX-License-Identifier: Apache-2.0
"""The one suite that every bus passes; importable by whoever writes another one.

With pytest (and pytest-asyncio in auto mode), in the bus's test module:

    class TestMyBus(BusSuite):
        @asynccontextmanager
        async def buses(self):
            async with MyBus(...) as here, MyBus(...) as there:
                yield here, there

Without it: `await exercise_bus(buses)` raises the first failure. A bus may lose a ring; in the
quiet of a test, with listeners who keep up, it does not.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, TypeVar

from longcall_server.bus.base import (
    MAX_ANNOUNCEMENT_BYTES,
    MAX_NAME_CHARS,
    Announcement,
    Audience,
    Bus,
)
from longcall_server.stores.base import Owner, RequestKey, StoredProgress

KEY = RequestKey(Owner("acme", "alice"), "a")
OTHER = RequestKey(Owner("acme", "bob"), "a")
STRANGE = RequestKey(Owner("ü\ud800", 'q"\\'), "a:b")
WORD = Announcement('{"type":"announcement"}', Audience())
LAST = RequestKey(Owner("acme", "alice"), "the-last")
PATIENCE = 20.0
"""Seconds after which something that is waited for is said to be lost."""

T = TypeVar("T")


class Heard(Generic[T]):
    """Collects what was heard, and waits for more."""

    def __init__(self) -> None:
        self.all: list[T] = []
        self._more = asyncio.Event()

    def add(self, item: T) -> None:
        """Something was heard."""
        self.all.append(item)
        self._more.set()

    async def until(self, item: T) -> list[T]:
        """Waits until this was heard; everything up to now."""
        async with asyncio.timeout(PATIENCE):
            while item not in self.all:
                self._more.clear()
                await self._more.wait()
        return self.all


class Follower:
    """A follower of one request: hears `"changed"` and reports of progress."""

    def __init__(self) -> None:
        self.heard: Heard[object] = Heard()
        self.on_change: Callable[[], None] = lambda: None

    def request_changed(self) -> None:
        """Its request has changed."""
        self.heard.add("changed")
        self.on_change()

    def progress_reported(self, progress: StoredProgress) -> None:
        """Its request reports progress."""
        self.heard.add(progress)


class BusSuite:
    """All tests; a subclass says how buses are made (`buses`)."""

    def buses(self) -> AbstractAsyncContextManager[tuple[Bus, Bus]]:
        """Two buses of two processes, or twice the one bus of one; closed at the end."""
        raise NotImplementedError

    async def test_followers_hear_of_their_request_alone(self) -> None:
        async with self.buses() as (here, there):
            alice, bob, strange = Follower(), Follower(), Follower()
            there.watch_request(KEY, alice)
            there.watch_request(OTHER, bob)
            there.watch_request(STRANGE, strange)
            here.request_changed(KEY)
            here.request_changed(STRANGE)
            await alice.heard.until("changed")
            await strange.heard.until("changed")
            assert bob.heard.all == []

    async def test_every_follower_hears_on_every_bus(self) -> None:
        async with self.buses() as (here, there):
            followers = [Follower(), Follower(), Follower()]
            here.watch_request(KEY, followers[0])
            for follower in followers[1:]:
                there.watch_request(KEY, follower)
            there.request_changed(KEY)
            for follower in followers:
                await follower.heard.until("changed")

    async def test_the_ringer_hears_before_its_call_returns(self) -> None:
        async with self.buses() as (here, _):
            follower, report = Follower(), StoredProgress(1, 1, "{}")
            heard: list[object] = []
            here.watch_request(KEY, follower)
            here.watch_cancels(heard.append)
            here.watch_work(lambda: heard.append("work"))
            here.watch_announcements(heard.append)
            here.request_changed(KEY)
            here.progress_reported(KEY, report)
            here.cancel_requested(KEY)
            here.work_available()
            here.announce(WORD)
            assert follower.heard.all == ["changed", report]
            assert heard == [KEY, "work", WORD]

    async def test_progress_arrives_and_the_newest_comes_last(self) -> None:
        async with self.buses() as (here, there):
            follower, other = Follower(), Follower()
            there.watch_request(KEY, follower)
            there.watch_request(OTHER, other)
            reports = [
                StoredProgress(1, version, '{"message":"é\\"\U0001f600"}') for version in range(9)
            ]
            for report in reports:
                assert here.progress_reported(KEY, report)
            # An older report may be left out, never be put behind a newer one.
            heard = await follower.heard.until(reports[-1])
            assert heard == [report for report in reports if report in heard]
            assert other.heard.all == []

    async def test_progress_that_is_not_handed_on_is_said_to_be_too_long(self) -> None:
        async with self.buses() as (here, there):
            follower = Follower()
            there.watch_request(KEY, follower)
            report = StoredProgress(1, 1, "x" * 1_000_000)
            if here.progress_reported(KEY, report):
                await follower.heard.until(report)
            else:
                here.request_changed(KEY)
                assert await follower.heard.until("changed") == ["changed"]

    async def test_cancels_and_work_reach_everybody_who_watches(self) -> None:
        async with self.buses() as (here, there):
            cancels: Heard[RequestKey] = Heard()
            work: Heard[str] = Heard()
            here.watch_cancels(cancels.add)
            there.watch_cancels(cancels.add)
            here.watch_work(lambda: work.add("here"))
            there.watch_work(lambda: work.add("there"))
            there.cancel_requested(KEY)
            there.work_available()
            await work.until("here")
            await work.until("there")
            assert await cancels.until(KEY) == [KEY, KEY]

    async def test_announcements_reach_everybody_who_watches_as_they_were_made(self) -> None:
        name, longest = "n" * MAX_NAME_CHARS, '"' * MAX_ANNOUNCEMENT_BYTES
        words = [
            Announcement("to all", Audience()),
            Announcement("to a tenant", Audience("ü\u0000")),
            Announcement("to a user", Audience("acme", 'q"\\')),
            Announcement("to a connection", Audience(connection_id="c-1")),
            Announcement("said twice", Audience()),
            Announcement("said twice", Audience()),
            Announcement(longest, Audience("\u0000" * MAX_NAME_CHARS, name, name)),
        ]
        async with self.buses() as (here, there):
            heard: list[Heard[Announcement]] = [Heard(), Heard()]
            here.watch_announcements(heard[0].add)
            there.watch_announcements(heard[1].add)
            others = {here.announce(word) for word in words}
            assert others == {0 if here is there else 1}
            for one in heard:
                assert await one.until(words[-1]) == words

    async def test_a_burst_is_heard_whole(self) -> None:
        async with self.buses() as (here, there):
            keys = [RequestKey(Owner("acme", "alice"), f"r-{number}") for number in range(2_000)]
            changed: Heard[RequestKey] = Heard()
            for key in keys:
                there.watch_request(key, _Teller(key, changed))
            for key in keys:
                here.request_changed(key)
            await changed.until(keys[-1])
            assert set(changed.all) == set(keys)

    async def test_who_left_hears_nothing_and_may_leave_again(self) -> None:
        async with self.buses() as (here, there):
            gone, stays = Follower(), Follower()
            heard: list[object] = []
            leave = [
                there.watch_request(KEY, gone),
                there.watch_cancels(heard.append),
                there.watch_work(lambda: heard.append("work")),
                there.watch_announcements(heard.append),
            ]
            there.watch_request(LAST, stays)
            for _ in range(2):
                for unwatch in leave:
                    unwatch()
            here.request_changed(KEY)
            here.cancel_requested(KEY)
            here.work_available()
            here.announce(WORD)
            here.request_changed(LAST)
            await stays.heard.until("changed")
            assert (gone.heard.all, heard) == ([], [])

    async def test_a_listener_that_raises_harms_nobody(self) -> None:
        def trouble(*_: object) -> None:
            raise RuntimeError("trouble")

        async with self.buses() as (here, there):
            bad, good = Follower(), Follower()
            bad.on_change = trouble
            there.watch_request(KEY, bad)
            there.watch_request(KEY, good)
            there.watch_cancels(trouble)
            there.watch_work(trouble)
            there.watch_announcements(trouble)
            here.announce(WORD)
            here.cancel_requested(KEY)
            here.work_available()
            here.request_changed(KEY)
            await good.heard.until("changed")


class _Teller:
    """A follower that says of which request it heard."""

    def __init__(self, key: RequestKey, heard: Heard[RequestKey]) -> None:
        self._key = key
        self._heard = heard

    def request_changed(self) -> None:
        self._heard.add(self._key)

    def progress_reported(self, progress: StoredProgress) -> None:
        pass


async def exercise_bus(
    buses: Callable[[], AbstractAsyncContextManager[tuple[Bus, Bus]]],
) -> int:
    """Runs the whole suite and returns the number of tests; `buses` as in `BusSuite`."""

    class Suite(BusSuite):
        @asynccontextmanager
        async def buses(self) -> AsyncIterator[tuple[Bus, Bus]]:
            async with buses() as pair:
                yield pair

    names = [name for name, _ in inspect.getmembers(Suite, inspect.iscoroutinefunction)]
    tests = [name for name in names if name.startswith("test_")]
    for name in tests:
        await getattr(Suite(), name)()
    return len(tests)
