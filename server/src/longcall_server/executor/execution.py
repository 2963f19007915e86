# SPDX-License-Identifier: Apache-2.0
"""One running handler, from its start until it has really ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from longcall_server.executor.outcomes import Outcome, Stopped, log_full, raised
from longcall_server.handlers.attempt import Attempt, AttemptWriter, Call
from longcall_server.stores.base import StoredFile, StoredProgress


class Run(Protocol):
    """One call of a handler in its own way: as a coroutine, in a thread, in a process."""

    async def outcome(self) -> Outcome:
        """Calls the handler once and returns how it ended, or raises what it raised."""

    def interrupt(self) -> bool:
        """Tells the handler of a cancel; False if whoever awaits `outcome` is to be cancelled."""

    def stop(self) -> bool:
        """Does what makes the handler end, nothing of it counts; False as in `interrupt`."""


class Execution:
    """One running handler. Use it on the event loop only."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self._outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._run: Run | None = None
        self._task: asyncio.Task[Outcome] | None = None

    @property
    def call(self) -> Call:
        """What the handler was called with."""
        return self.attempt.call

    @property
    def writer(self) -> AttemptWriter:
        """Where the handler's context writes; a promotion puts another one in place."""
        return self.attempt.writer

    @writer.setter
    def writer(self, writer: AttemptWriter) -> None:
        self.attempt.writer = writer

    @property
    def progress(self) -> StoredProgress | None:
        """The newest progress, None if there was none."""
        return self.attempt.progress

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """The files that a completion records."""
        return self.attempt.files

    @property
    def done(self) -> bool:
        """Whether the outcome is known."""
        return self._outcome.done()

    async def outcome(self) -> Outcome:
        """How it ended. Any number may wait; a waiter that is cancelled cancels nothing."""
        return await asyncio.shield(self._outcome)

    def add_done_callback(self, callback: Callable[[Outcome], None]) -> None:
        """Calls back once, soon after the outcome is known."""
        self._outcome.add_done_callback(lambda future: callback(future.result()))

    async def ended(self) -> None:
        """Waits until the handler itself has ended, which may be after the outcome."""
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    def cancel(self, reason: str | None) -> None:
        """Tells the handler to stop (PROTOCOL 5.6.4): cancels its task, or sets its flag."""
        if self.done or self.attempt.cancelled:
            return
        self.attempt.cancelled = True
        self.attempt.cancel_reason = reason
        self.attempt.interrupted.set()
        if self._run is not None and not self._run.interrupt():
            self._cancel_task()

    def stop(self) -> None:
        """Ends the execution as `Stopped`, whether or not the handler gives way."""
        self.attempt.stopped = True
        self.attempt.interrupted.set()
        self._settle(Stopped())
        if self._run is not None and not self._run.stop():
            self._cancel_task()

    def leave(self) -> None:
        """Waits no longer for a stopped handler: its thread, if any, runs on by itself."""
        self._cancel_task()

    def begin(self, run: Run) -> asyncio.Task[Outcome]:
        """Starts the handler; for the executor."""
        self._run = run
        name = f"longcall handler {self.call.action} {self.call.request_id}"
        self._task = asyncio.get_running_loop().create_task(self._call(run), name=name)
        self._task.add_done_callback(self._handler_ended)
        return self._task

    def fail(self, outcome: Outcome) -> None:
        """Ends it before the handler was called; for the executor."""
        self._settle(outcome)

    async def _call(self, run: Run) -> Outcome:
        try:
            outcome = await run.outcome()
        except BaseException as error:
            # Nothing that a handler raises may reach the event loop: SystemExit would end it.
            outcome = raised(self.attempt, error)
        if self.attempt.fatal is not None:
            return log_full(self.attempt.fatal)
        return outcome

    def _handler_ended(self, task: asyncio.Task[Outcome]) -> None:
        if task.cancelled():  # before its first step: the handler was not called
            self._settle(raised(self.attempt, asyncio.CancelledError()))
        else:
            self._settle(task.result())

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _settle(self, outcome: Outcome) -> None:
        if not self._outcome.done():
            self._outcome.set_result(outcome)
