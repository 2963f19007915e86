# SPDX-License-Identifier: Apache-2.0
"""Has the store do what time demands: lost leases, deadlines, cancel graces, retention."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from longcall_server.bus.base import Bus
from longcall_server.files import FileStore
from longcall_server.stores.base import RequestKey, Store, Swept
from longcall_server.worker.writer import log_failure

SOON = 0.2
"""Seconds within which a sweep follows a poke: it learns of new deadlines and due times."""
_LIMIT = 1_000


class Sweeper:
    """Sweeps when the store said that something would be due, when poked, and every `poll_ms`.

    `on_work` is called when something is due to be claimed, `on_changed` with the requests whose
    log or state the sweep changed.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus,
        files: FileStore,
        *,
        poll_ms: int,
        on_work: Callable[[], None],
        on_changed: Callable[[Sequence[RequestKey]], None],
    ) -> None:
        self._store = store
        self._bus = bus
        self._files = files
        self._poll = poll_ms / 1000
        self._on_work = on_work
        self._on_changed = on_changed
        self._at = 0.0
        self._sooner = asyncio.Event()

    def poke(self) -> None:
        """Something new may have a time of its own."""
        self._sweep_at(_now() + SOON)

    def expect(self, at: int) -> None:
        """Something is due at this time of the store's clock."""
        self._sweep_at(_now() + max(0, at - self._store.now()) / 1000)

    async def run(self) -> None:
        """Sweeps until it is cancelled."""
        while True:
            self._at = _now() + self._poll
            try:
                more = await self._sweep()
            except Exception as error:
                log_failure("the sweep", error)
                more = False
            if not more:
                await self._wait()

    async def _sweep(self) -> bool:
        swept = await self._store.sweep(limit=_LIMIT)
        for key in swept.changed:
            self._bus.request_changed(key)
        if swept.changed:
            self._on_changed(swept.changed)
        if swept.files:
            await asyncio.to_thread(self._files.remove, swept.files)
        for key in swept.removed:
            self._bus.request_changed(key)
        if swept.changed:
            # Any worker of any process may run what was taken back, now or when it is due. What a
            # sweep only found is not rung for: two processes would wake each other for ever.
            self._bus.work_available()
        elif swept.work_available:
            self._on_work()
        self._plan(swept)
        return len(swept.changed) + len(swept.removed) >= _LIMIT

    def _plan(self, swept: Swept) -> None:
        # What is due already waits for a free worker, which a sweep does not make.
        if swept.next_due_at is not None and swept.next_due_at > self._store.now():
            self.expect(swept.next_due_at)

    def _sweep_at(self, at: float) -> None:
        if at < self._at:
            self._at = at
            self._sooner.set()

    async def _wait(self) -> None:
        while (left := self._at - _now()) > 0:
            self._sooner.clear()
            try:
                async with asyncio.timeout(left):
                    await self._sooner.wait()
            except TimeoutError:
                return


def _now() -> float:
    return asyncio.get_running_loop().time()
