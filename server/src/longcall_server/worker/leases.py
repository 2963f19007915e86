# SPDX-License-Identifier: Apache-2.0
"""Keeps the leases of a worker's runs, and hears from the store how each of them stands."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping

from longcall_server.bus.base import Bus
from longcall_server.stores.base import Renewal, Renewed, RequestKey, Store
from longcall_server.worker.run import Run
from longcall_server.worker.writer import log_failure

_log = logging.getLogger(__name__)

RETRY_STORE = 1.0
"""Seconds before a claim or a renewal that failed is made anew."""
_KEEP_PROGRESS = 0.1
"""Seconds between two renewals that only keep progress which the bus does not carry."""


class Leases:
    """Renews the leases of `runs` at a third of their life, and those that are asked for at once.

    A renewal carries the newest progress, and its answer tells of cancels and fences: the handler's
    code has no part in it (PROTOCOL 5.4.1).
    """

    def __init__(
        self, store: Store, bus: Bus, runs: Mapping[RequestKey, Run], *, lease_ms: int
    ) -> None:
        self._store = store
        self._bus = bus
        self._runs = runs
        self._lease_ms = lease_ms
        self._asked: set[RequestKey] = set()
        self._ask = asyncio.Event()
        self._unheard: set[RequestKey] = set()
        """Whose newest progress is too long for the bus: readers will find it in the store."""

    def look_at(self, keys: Iterable[RequestKey]) -> None:
        """Asks the store at once how it stands with these: a cancel, a deadline, a lost lease."""
        self._asked.update(keys)
        self._ask.set()

    def keep_soon(self, key: RequestKey) -> None:
        """Has the newest progress of a run stored with a renewal, and rings when it is."""
        if key not in self._unheard:
            self._unheard.add(key)
            asyncio.get_running_loop().call_later(_KEEP_PROGRESS, self.look_at, (key,))

    async def run(self) -> None:
        """Renews until it is cancelled."""
        interval = self._lease_ms / 3000
        loop = asyncio.get_running_loop()
        all_at = loop.time() + interval
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(all_at):
                    await self._ask.wait()
            self._ask.clear()
            everyone = loop.time() >= all_at
            if everyone:
                self._asked.update(self._runs)
            done = await self._renew()
            if everyone:
                all_at = loop.time() + interval
            if not done:
                all_at = min(all_at, loop.time() + RETRY_STORE)

    async def _renew(self) -> bool:
        runs = [self._runs[key] for key in self._asked if key in self._runs]
        unheard = self._unheard & self._asked
        self._unheard -= unheard
        self._asked.clear()
        if not runs:
            return True
        renewals = [Renewal(run.lease, run.execution.progress) for run in runs]
        try:
            answers = await self._store.renew(renewals, lease_ms=self._lease_ms)
        except Exception as error:
            log_failure("the renewal of leases", error)
            self._unheard |= unheard
            return False
        for run, answer in zip(runs, answers, strict=True):
            self._renewed(run, answer)
        for key in unheard:
            self._bus.request_changed(key)
        return True

    def _renewed(self, run: Run, answer: Renewed) -> None:
        if run.finishing:
            return  # How the end was taken, its own write tells.
        if answer.lease is None:
            _log.info("request %s: attempt %d is fenced", run.lease.key.id, run.lease.attempt)
            run.fence()
            return
        run.lease = answer.lease
        if answer.cancel_requested:
            run.execution.cancel(answer.cancel_reason)
