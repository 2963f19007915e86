# SPDX-License-Identifier: Apache-2.0
"""A clock that stands still until the test advances it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from weakref import WeakSet

QUIET_CYCLES: Final = 5
"""Turns of a loop in which nothing must happen, before it counts as at rest."""
MAX_CYCLES: Final = 20_000
"""Turns after which a loop that never rests is no longer waited for."""


class TestClock:
    """The time of an `InMemoryServer` and of its clients: waits, heartbeats, timeouts, deadlines.

    It stands still. `advance` lets time pass: it runs what becomes due, each at its moment, and
    after each waits until everything that this set going has come to rest. What waits for real
    things (a file, a thread, `asyncio.sleep`) is not waited for.
    """

    __test__ = False  # no test class, whatever pytest takes it for

    def __init__(self) -> None:
        self._now = 0.0
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _Timer]] = []
        self._loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()

    def now(self) -> float:
        """The seconds that have passed."""
        return self._now

    @property
    def pending(self) -> int:
        """How many timers wait."""
        with self._lock:
            return sum(not timer.is_cancelled for _, _, timer in self._timers)

    async def advance(self, seconds: float) -> None:
        """Lets time pass.

        Args:
            seconds: How much. 0: runs what is due now, and waits until all is at rest.
        """
        await self._settle()
        end = self._now + seconds
        while (timer := self._take_due(end)) is not None:
            timer.run()
            await self._settle()
        self._now = end

    def advance_sync(self, seconds: float) -> None:
        """Lets time pass, from a thread without an event loop.

        Args:
            seconds: As in `advance`.
        """
        asyncio.run(self.advance(seconds))

    async def sleep(self, seconds: float) -> None:
        """Waits until so much time has passed here.

        Args:
            seconds: How much.
        """
        is_over = asyncio.Event()
        timer = self._call_later(seconds, is_over.set)
        try:
            await is_over.wait()
        finally:
            timer.cancel()

    # For servers and clients.

    def _call_later(self, delay: float, callback: Callable[[], None]) -> _Timer:
        """Calls back in the running loop, or in `advance` where none is running."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self._add(delay, callback)
        self._joined(loop)

        def call() -> None:
            if not timer.is_cancelled:
                callback()

        def run() -> None:
            with suppress(RuntimeError):  # it is closed, perhaps just now
                loop.call_soon_threadsafe(call)

        timer = self._add(delay, run)
        return timer

    def _joined(self, loop: asyncio.AbstractEventLoop) -> None:
        """A loop whose rest is to be waited for."""
        self._loops.add(loop)

    def _add(self, delay: float, run: Callable[[], None]) -> _Timer:
        timer = _Timer(run)
        with self._lock:
            heapq.heappush(self._timers, (self._now + delay, next(self._order), timer))
        return timer

    def _take_due(self, end: float) -> _Timer | None:
        """Moves to the next timer that is due until `end`, and takes it."""
        with self._lock:
            while self._timers and (self._timers[0][0] <= end or self._timers[0][2].is_cancelled):
                due, _, timer = heapq.heappop(self._timers)
                if not timer.is_cancelled:
                    self._now = max(self._now, due)
                    return timer
        return None

    async def _settle(self) -> None:
        here = asyncio.get_running_loop()
        self._loops.add(here)
        loops = list(self._loops)
        for loop in [*loops, *loops[:-1]]:  # a later one may have stirred an earlier one
            if loop is here:
                await _rest()
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_rest(), loop))


class _Timer:
    """A call to come."""

    def __init__(self, run: Callable[[], None]) -> None:
        self.run = run
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


async def _rest() -> None:
    """Waits until every other task of this loop waits for something that has not happened."""
    quiet = 0
    for _ in range(MAX_CYCLES):
        await asyncio.sleep(0)
        quiet = 0 if any(map(_is_moving, asyncio.all_tasks())) else quiet + 1
        if quiet == QUIET_CYCLES:
            return


def _is_moving(task: asyncio.Task[Any]) -> bool:
    if task is asyncio.current_task():
        return False
    waits_for = getattr(task, "_fut_waiter", None)
    return waits_for is None or waits_for.done()
