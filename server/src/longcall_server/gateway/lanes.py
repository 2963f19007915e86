# SPDX-License-Identifier: Apache-2.0
"""Work of one connection: in order for each request id, side by side for different ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

Work: TypeAlias = Callable[[], Awaitable[None]]


class Lanes:
    """Runs work lane by lane (PROTOCOL 10.1). Work must not raise but when it is cancelled."""

    __slots__ = ("_elsewhere", "_lanes", "_limit", "_queued", "_room", "_tasks")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lanes: dict[str, list[Work]] = {}
        self._queued = 0
        self._elsewhere = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._room: asyncio.Future[None] | None = None

    def run(self, lane: str, work: Work) -> None:
        """Runs the work behind all earlier work of its lane."""
        waiting = self._lanes.get(lane)
        if waiting is not None:
            waiting.append(work)
            self._queued += 1
            return
        self._lanes[lane] = []
        self.spawn(partial(self._work_off, lane, work))

    def spawn(self, work: Work) -> asyncio.Task[None]:
        """Runs work that waits for none."""
        task = asyncio.create_task(self._run(work))
        self._tasks.add(task)
        return task

    def occupy(self) -> None:
        """Counts work that runs elsewhere."""
        self._elsewhere += 1

    def vacate(self) -> None:
        """Work that runs elsewhere has ended."""
        self._elsewhere -= 1
        self._tell_of_room()

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be taken in."""
        return len(self._tasks) + self._queued + self._elsewhere >= self._limit

    async def room(self) -> None:
        """Waits until there is room again."""
        while self.is_full:
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)

    async def close(self) -> None:
        """Cancels all work and waits for its end."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self._lanes.clear()

    async def _work_off(self, lane: str, work: Work) -> None:
        waiting = self._lanes[lane]
        while True:
            await work()
            if not waiting:
                del self._lanes[lane]
                return
            work = waiting.pop(0)
            self._queued -= 1

    async def _run(self, work: Work) -> None:
        # Called here and not before: cancelled before its first step, it leaves nothing behind.
        try:
            await work()
        finally:
            # Not a callback of the task: that would cost a turn of the loop for each message.
            task = asyncio.current_task()
            assert task is not None
            self._tasks.discard(task)
            self._tell_of_room()

    def _tell_of_room(self) -> None:
        if self._room is not None and not self.is_full:
            self._room.set_result(None)
            self._room = None
