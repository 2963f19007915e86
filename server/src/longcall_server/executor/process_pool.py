# SPDX-License-Identifier: Apache-2.0
"""A bounded pool of processes for handlers that compute.

The standard pool does not fit: there, a process that dies takes every call of the pool with it, and
a running call can neither be told of its cancel nor be ended. Here each process is on its own: one
that crashes costs the call that it ran, and one that does not give way is killed. Processes start
when a call waits and none is idle, are used again, and end with the server, however that ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Final

from longcall_server.core.turns import TurnQueue, kept_of
from longcall_server.executor.process_handle import PoolProcess, ProcessCall, ProcessDied

_LAST_STEP: Final = 2.0
"""Seconds that idle processes have to end in good order."""


class ProcessPool:
    """Runs calls in at most `size` processes. Use it on the event loop only.

    Owners take turns, and some places are kept for owners of whom nothing runs.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._calls: TurnQueue[ProcessCall] = TurnQueue()
        self._busy: dict[PoolProcess, Hashable] = {}
        """Whose call a process runs."""
        self._processes: set[PoolProcess] = set()
        self._idle: list[PoolProcess] = []
        self._closed = False

    def submit(self, call: ProcessCall) -> None:
        """Queues a call; the caller waits for its `outcome`."""
        if self._closed:
            raise RuntimeError("the process pool is closed")
        self._calls.put(call.owner, call)
        self._dispatch()

    def withdraw(self, call: ProcessCall) -> bool:
        """Takes a call back that has not begun; whether it was still waiting."""
        return self._calls.withdraw(call.owner, call)

    def abandon(self, call: ProcessCall) -> None:
        """Has a running call end; its process is killed if it does not within `GIVE_WAY`."""
        if call.process is not None:
            call.process.stop()

    async def close(self) -> None:
        """Ends every process and waits until none is left."""
        self._closed = True
        self._calls.clear()
        processes = tuple(self._processes)
        for process in processes:
            process.close()
        if processes:
            _, late = await asyncio.wait([one.task for one in processes], timeout=_LAST_STEP)
            for process in processes:
                process.kill()
            if late:
                await asyncio.wait(late)

    def _dispatch(self) -> None:
        while self._idle and (taken := self._calls.take(self._may_run)) is not None:
            owner, call = taken
            # The one that was used last: what it has loaded is warm, and others may be swapped out.
            process = self._idle.pop()
            self._busy[process] = owner
            process.begin(call)
        starting = sum(1 for process in self._processes if not process.ready)
        while starting < len(self._calls) and len(self._processes) < self._size:
            self._processes.add(PoolProcess(on_free=self._freed, on_gone=self._gone))
            starting += 1

    def _may_run(self, owner: Hashable) -> bool:
        free = self._size - len(self._busy)
        return free > kept_of(self._size) or owner not in self._busy.values()

    def _freed(self, process: PoolProcess) -> None:
        self._busy.pop(process, None)
        self._idle.append(process)
        self._dispatch()

    def _gone(self, process: PoolProcess, died: ProcessDied) -> None:
        self._processes.discard(process)
        self._busy.pop(process, None)
        if process in self._idle:
            self._idle.remove(process)
        elif not process.was_ready and (taken := self._calls.take()) is not None:
            # Each failure costs one call its attempt, so that the backoff of
            # its policy is what keeps processes that cannot start from being started for ever.
            taken[1].end(died)
        if not self._closed:
            self._dispatch()
