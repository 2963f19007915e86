# SPDX-License-Identifier: Apache-2.0
"""The worker: a bounded number of leased executions. It knows no gateway."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from longcall_server.bus.base import Bus
from longcall_server.core.codes import ErrorCode, RequestStatus
from longcall_server.core.lifecycle import cancelled_error
from longcall_server.core.turns import kept_of
from longcall_server.executor import (
    Cancelled,
    Completed,
    Execution,
    Executor,
    Failed,
    Outcome,
    Stopped,
    error_info,
)
from longcall_server.files import FileStore
from longcall_server.handlers.attempt import Call
from longcall_server.handlers.registry import Handlers
from longcall_server.stores.base import (
    Claimed,
    Fenced,
    Lease,
    LogFull,
    Record,
    RequestKey,
    Store,
)
from longcall_server.stores.outcomes import until_known
from longcall_server.worker.leases import RETRY_STORE, Leases
from longcall_server.worker.run import Run
from longcall_server.worker.sweeper import Sweeper
from longcall_server.worker.writer import LeaseWriter, log_failure

_log = logging.getLogger(__name__)

_GIVE_WAY = 2.0
"""Seconds that a handler may take to end when its request is handed back."""


class Worker:
    """Runs the durable requests of one process.

    `name` is unique among all workers. It claims when the bus rings, when the sweep says that
    something is due, and every `poll_ms`; leases last `lease_ms` and are renewed at a third. With
    `claims` off it runs what it adopts and leaves the rest to workers of other processes.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus,
        handlers: Handlers,
        executor: Executor,
        files: FileStore,
        *,
        name: str,
        claims: bool = True,
        concurrency: int = 32,
        tenant_concurrency: int | None = None,
        owner_concurrency: int | None = None,
        lease_ms: int = 30_000,
        poll_ms: int = 5_000,
    ) -> None:
        self.name = name
        self.lease_ms = lease_ms
        self._store = store
        self._bus = bus
        self._handlers = handlers
        self._executor = executor
        self._files = files
        self._claims = claims
        self._concurrency = concurrency
        self._limits = replace(
            handlers.concurrency(),
            per_tenant=tenant_concurrency,
            per_owner=owner_concurrency,
            kept_places=kept_of(concurrency),
        )
        self._poll = poll_ms / 1000
        self._sweeper = Sweeper(
            store,
            bus,
            files,
            poll_ms=poll_ms,
            on_work=self._wake_up if claims else bus.work_available,
            on_changed=self._look_at,
        )
        self._runs: dict[RequestKey, Run] = {}
        self._leases = Leases(store, bus, self._runs, lease_ms=lease_ms)
        self._drives: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._hungry = False
        """More was due than there was room for, or may have been."""
        self._draining = False
        self._handing_back = False
        self._claiming: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._broken = asyncio.Event()
        self._unwatch: list[Callable[[], None]] = []

    @property
    def running(self) -> int:
        """How many requests it runs now."""
        return len(self._runs)

    async def start(self) -> None:
        """Begins to claim, to renew and to sweep."""
        self._unwatch = [self._bus.watch_cancels(lambda key: self._look_at((key,)))]
        if self._claims:
            self._unwatch.append(self._bus.watch_work(self._work_rang))
            self._claiming = self._lasting(self._claim_for_ever(), "claims")
        self._tasks = [
            self._lasting(self._leases.run(), "leases"),
            self._lasting(self._sweeper.run(), "sweep"),
        ]

    async def broken(self) -> None:
        """Waits until a defect has ended the claims, the leases or the sweep: without them all
        looks well and nothing goes on. What it was is in the log."""
        await self._broken.wait()

    def adopt(self, claimed: Claimed, execution: Execution) -> None:
        """Takes over a quick execution that was promoted (PROTOCOL 10.7): it goes on running, its
        context writes to the log from now on, and its outcome will come from there."""
        run = self._begin(claimed.lease)
        run.execution = execution
        execution.writer = run.writer
        self._drive(run, claimed.record)

    async def drain(self, grace: float) -> None:
        """Claims nothing more, waits `grace` seconds for what runs, and hands the rest back."""
        self._draining = True
        self._wake.set()
        if self._claiming is not None:
            await asyncio.wait([self._claiming])
        await _at_most(self._idle(), grace)
        self._handing_back = True
        for run in tuple(self._runs.values()):
            self._hand_back(run)

    async def close(self) -> None:
        """Drains without grace, then ends everything that is still under way."""
        await self.drain(0)
        if self._drives:
            _, late = await asyncio.wait(self._drives, timeout=2 * _GIVE_WAY + self._poll)
            for task in late:
                # A store that does not answer, or a handler's file system: nothing stored is lost.
                _log.warning("%s could not be written down; its lease will end", task.get_name())
                task.cancel()
        for unwatch in self._unwatch:
            unwatch()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._drives, return_exceptions=True)

    def _lasting(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"longcall {name}")
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.critical("%s has failed", task.get_name(), exc_info=error)
            self._broken.set()

    # --- Claims -----------------------------------------------------------------------------------

    def _work_rang(self) -> None:
        self._wake.set()
        self._sweeper.poke()

    def _wake_up(self) -> None:
        self._wake.set()

    def _look_at(self, keys: Sequence[RequestKey]) -> None:
        """The store may tell something new of these: a cancel, a deadline, a lost lease."""
        mine = [key for key in keys if key in self._runs]
        if mine:
            self._leases.look_at(mine)
            self._sweeper.poke()

    async def _claim_for_ever(self) -> None:
        actions = self._handlers.actions()
        while not self._draining:
            self._wake.clear()
            free = self._concurrency - len(self._runs)
            claimed: Sequence[Claimed] = ()
            wait = self._poll
            if free > 0:
                try:
                    claimed = await self._store.claim(
                        self.name,
                        actions,
                        limit=free,
                        lease_ms=self.lease_ms,
                        concurrency=self._limits,
                    )
                except Exception as error:
                    # What it may have leased comes back when that lease ends.
                    log_failure("a claim", error)
                    wait = min(wait, RETRY_STORE)
            for one in claimed:
                self._start(one)
            self._hungry = len(claimed) >= free - self._limits.kept_places
            await _at_most(_heard(self._wake), wait)

    def _start(self, claimed: Claimed) -> None:
        record = claimed.record
        registration = self._handlers.get(record.action)
        assert registration is not None  # only the actions of `_handlers` are claimed
        run = self._begin(claimed.lease)
        run.execution = self._executor.start(registration, Call.of(record), run.writer)
        self._drive(run, record)

    def _begin(self, lease: Lease) -> Run:
        run = Run(lease)
        run.writer = LeaseWriter(
            self._store,
            self._bus,
            self._files,
            lease,
            on_fenced=run.fence,
            on_unheard=lambda: self._leases.keep_soon(lease.key),
        )
        return run

    def _drive(self, run: Run, record: Record) -> None:
        key = run.lease.key
        former = self._runs.get(key)
        if former is not None:
            # Its lease was lost, and this worker itself has claimed the next attempt.
            former.fence()
        self._runs[key] = run
        task = asyncio.create_task(self._follow(run), name=f"request {key.id}")
        self._drives.add(task)
        task.add_done_callback(self._drives.discard)
        if record.cancel_requested_at is not None:
            run.execution.cancel(record.cancel_reason)
        if record.deadline_at is not None:
            self._sweeper.expect(record.deadline_at)
        if self._handing_back:
            self._hand_back(run)
        self._bus.request_changed(key)

    async def _idle(self) -> None:
        while self._drives:
            await asyncio.wait(self._drives)

    def _hand_back(self, run: Run) -> None:
        if not run.finishing:
            run.handed_back = True
            run.execution.stop()

    # --- The end of a run -------------------------------------------------------------------------

    async def _follow(self, run: Run) -> None:
        key = run.lease.key
        try:
            outcome = await run.execution.outcome()
            run.finishing = True
            if run.handed_back:
                await _at_most(run.execution.ended(), _GIVE_WAY)
            recorded = await self._end(run, outcome)
            await self._release_files(run, recorded=recorded)
        except Exception:
            # Whether its files were recorded is not known: the next start of the server finds out.
            _log.exception("request %s could not be finished", key.id)
        finally:
            run.over()
            if self._runs.get(key) is run:
                del self._runs[key]
            self._room_made(run.execution.call.action)

    def _room_made(self, action: str) -> None:
        """Something may begin that had to wait: here, or where a limit holds with any worker."""
        if self._limits.hold_back(action):
            self._bus.work_available()
        elif self._hungry:
            self._wake.set()

    async def _end(self, run: Run, outcome: Outcome) -> bool:
        """Writes the end of an attempt down; whether its files were recorded."""
        try:
            if not run.fenced:
                await run.writer.close()
            return not run.fenced and await self._write_down(run, outcome)
        except Fenced:
            return False

    async def _write_down(self, run: Run, outcome: Outcome) -> bool:
        match outcome:
            case Completed(result):
                try:
                    await self._complete(run, result)
                    return True
                except LogFull as error:
                    message = f"The log of the request has no room for its result. {error}".strip()
                    info = error_info(ErrorCode.RESOURCE_EXHAUSTED, message, retryable=False)
                    await self._fail(run, Failed(info, retryable=False))
            case Failed():
                await self._fail(run, outcome)
            case Cancelled():
                info = cancelled_error(run.execution.attempt.cancel_reason)
                await self._fail(run, Failed(info, retryable=False))
            case Stopped() if run.handed_back:
                info = error_info(ErrorCode.UNAVAILABLE, "The server that ran it is going away.")
                await self._fail(run, Failed(info, retryable=True), counted=False)
            case Stopped():
                info = error_info(ErrorCode.INTERNAL_ERROR, "The handler gave up its attempt.")
                await self._fail(run, Failed(info, retryable=True))
        return False

    async def _complete(self, run: Run, result: str) -> None:
        execution = run.execution
        await until_known(
            f"the end of request {run.lease.key.id}",
            lambda: self._store.complete(
                run.lease, result, progress=execution.progress, files=execution.files
            ),
        )
        self._files.recorded(execution.files)
        self._bus.request_changed(run.lease.key)

    async def _fail(self, run: Run, failed: Failed, *, counted: bool = True) -> None:
        record = await until_known(
            f"the end of request {run.lease.key.id}",
            lambda: self._store.fail(
                run.lease,
                failed.error,
                retryable=failed.retryable,
                counted=counted,
                retry_after_ms=failed.retry_after_ms,
                progress=run.execution.progress,
            ),
        )
        self._bus.request_changed(run.lease.key)
        if record.status is RequestStatus.RETRYING:
            self._sweeper.expect(record.due_at)
            # This worker may have no room when it is due; the sweeps of others learn of it now.
            self._bus.work_available()

    async def _release_files(self, run: Run, *, recorded: bool) -> None:
        attempt = run.execution.attempt
        if attempt.has_files:
            await asyncio.to_thread(attempt.release_files, recorded=recorded)


async def _heard(event: asyncio.Event) -> None:
    await event.wait()


async def _at_most(work: Awaitable[None], seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await work
