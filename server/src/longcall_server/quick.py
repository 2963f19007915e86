# SPDX-License-Identifier: Apache-2.0
"""A quick request while it runs without being stored, and its promotion (PROTOCOL 5.3, 10.6-10.12).

    running ── the handler ends ─────────────────────────────► answered, nothing stored
       │
       └─ sync window over; a chunk, checkpoint or file; a cancel ─► promoting
              promoting ── stored, lease ours ───────► acknowledged; a worker goes on with it
              promoting ── the id was stored before ─► stopped; duplicate or CONFLICT

Nothing here belongs to a connection: one that is lost neither stops nor delays anything.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Protocol

from longcall_server import executor
from longcall_server.answers import Answered, Outcome, QuickFailed, stored, unavailable
from longcall_server.core.codes import ErrorCode
from longcall_server.core.errors import error_info
from longcall_server.core.lifecycle import cancelled_error
from longcall_server.executor import Execution
from longcall_server.handlers.attempt import FENCED, FileDraft
from longcall_server.handlers.errors import AttemptFenced
from longcall_server.stores.base import (
    Claimed,
    NewRequest,
    OutcomeUnknown,
    Promotion,
    Store,
    StoredProgress,
    StoreUnavailable,
    SubmitOutcome,
)
from longcall_server.stores.outcomes import submit_until_known


class QuickHost(Protocol):
    """Who goes on with a promoted execution: the worker."""

    name: str
    lease_ms: int

    def adopt(self, claimed: Claimed, execution: Execution) -> None:
        """Takes the running execution over; its outcome will come from the log."""


class QuickRun:
    """One quick execution from its start to its answer or promotion."""

    def __init__(
        self,
        store: Store,
        host: QuickHost,
        new: Callable[[], NewRequest],
        *,
        patience_ms: int,
        on_over: Callable[[], None],
    ) -> None:
        self.execution: Execution
        self._store = store
        self._host = host
        self._new = new
        self._patience_ms = patience_ms
        self._on_over = on_over
        self._outcome: Outcome | OutcomeUnknown | None = None
        self._listeners: list[Callable[[], None]] = []
        self._promotion: asyncio.Task[bool] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, execution: Execution, window_ms: int, deadline_ms: int | None) -> None:
        """The handler runs: it has `window_ms` to end by itself."""
        self.execution = execution
        execution.add_done_callback(self._handler_ended)
        loop = asyncio.get_running_loop()
        if deadline_ms is not None and deadline_ms <= window_ms:
            self._timer = loop.call_later(deadline_ms / 1000, self._time_out)
        else:
            self._timer = loop.call_later(window_ms / 1000, self._begin_promotion)

    @property
    def writer(self) -> QuickWriter:
        """Where the handler's context writes until the request is stored or answered."""
        return QuickWriter(self)

    @property
    def is_answered(self) -> bool:
        """Whether `result` can be asked."""
        return self._outcome is not None

    def result(self) -> Outcome:
        """The answer to the request.

        Raises `OutcomeUnknown` if nobody can tell whether the request was stored.
        """
        if isinstance(self._outcome, OutcomeUnknown):
            raise self._outcome
        assert self._outcome is not None, "the run is not answered yet"
        return self._outcome

    def when_answered(self, listener: Callable[[], None]) -> None:
        """Calls the listener once, when the answer is there; at once if it is."""
        if self._outcome is None:
            self._listeners.append(listener)
        else:
            listener()

    async def outcome(self) -> Outcome:
        """Waits for `result`; a waiter that is cancelled cancels nothing."""
        answered = asyncio.Event()
        self.when_answered(answered.set)
        await answered.wait()
        return self.result()

    async def promote(self, *, cancel: bool = False, reason: str | None = None) -> bool:
        """Has the request stored now; whether this execution is the one that was stored.

        With `cancel` its cancel is stored in the same transaction (PROTOCOL 10.12).
        """
        if self._promotion is None:
            if self.is_answered:
                return False
            self._begin_promotion(cancel=cancel, reason=reason)
        assert self._promotion is not None
        return await asyncio.shield(self._promotion)

    async def close(self) -> None:
        """The server stops: waits for a promotion under way, and ends what is not stored."""
        self._stop_timer()
        if self._promotion is not None:
            await asyncio.wait([self._promotion])
        if not self.is_answered:
            self.execution.stop()
            self._settle(unavailable())

    def _begin_promotion(self, *, cancel: bool = False, reason: str | None = None) -> None:
        if self.is_answered or self._promotion is not None:
            return
        self._stop_timer()
        self._promotion = asyncio.create_task(
            self._promote(cancel, reason), name=f"promotion of {self.execution.call.request_id}"
        )

    async def _promote(self, cancel: bool, reason: str | None) -> bool:
        new = self._new()
        execution, host = self.execution, self._host
        try:
            submitted = await submit_until_known(
                "a promotion",
                # PROTOCOL 5.3.6: no limit refuses what is running already.
                lambda: self._store.submit(
                    new,
                    max_in_flight=sys.maxsize,
                    promotion=Promotion(
                        worker=host.name,
                        lease_ms=host.lease_ms,
                        cancel_requested=cancel,
                        cancel_reason=reason,
                        progress=execution.progress,
                    ),
                ),
                patience_ms=self._patience_ms,
                wait_for_store=lambda: not execution.done,
            )
        except StoreUnavailable:
            self._answer_unstored()
            return False
        except OutcomeUnknown as unknown:
            execution.stop()
            self._settle(unknown)
            return False
        if submitted.outcome is SubmitOutcome.CREATED:
            assert submitted.record is not None
            assert submitted.lease is not None
            host.adopt(Claimed(submitted.record, submitted.lease), execution)
            self._settle(stored(submitted))
            return True
        # PROTOCOL 10.7: somebody else's execution was stored; this one never was.
        execution.stop()
        self._settle(stored(submitted))
        return False

    def _answer_unstored(self) -> None:
        """The store holds nothing of this request, and cannot take it (PROTOCOL 10.8)."""
        self._promotion = None
        if self.execution.done:
            self.execution.add_done_callback(self._handler_ended)
        else:
            self.execution.stop()
            self._settle(unavailable())

    def _handler_ended(self, outcome: executor.Outcome) -> None:
        if self._promotion is not None or self.is_answered:
            return
        match outcome:
            case executor.Completed(result):
                self._settle(Answered(result))
            case executor.Failed(error):
                self._settle(QuickFailed(error))
            case executor.Cancelled():
                self._settle(QuickFailed(cancelled_error(None)))
            case executor.Stopped():
                self._settle(unavailable())

    def _time_out(self) -> None:
        if self._promotion is not None or self.is_answered:
            return
        # PROTOCOL 5.3.9: it ran, and nothing of it is stored.
        self.execution.stop()
        error = error_info(ErrorCode.TIMEOUT, "The deadline passed before the handler ended.")
        self._settle(QuickFailed(error.model_dump_json()))

    def _settle(self, outcome: Outcome | OutcomeUnknown) -> None:
        if self.is_answered:
            return
        self._stop_timer()
        self._outcome = outcome
        if isinstance(self.execution.writer, QuickWriter):
            self.execution.writer = FENCED
        self._on_over()
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class QuickWriter:
    """The `AttemptWriter` of a quick execution: whatever must be durable promotes it first."""

    def __init__(self, run: QuickRun) -> None:
        self._run = run

    def progress(self, progress: StoredProgress) -> None:
        """Nobody follows yet: the execution keeps the newest (PROTOCOL 10.10)."""

    async def chunk(self, data: str, checkpoint: str | None) -> int:
        """Appends a chunk once the request is stored."""
        await self._promoted()
        return await self._run.execution.writer.chunk(data, checkpoint)

    async def save_checkpoint(self, checkpoint: str) -> None:
        """Keeps a checkpoint once the request is stored."""
        await self._promoted()
        await self._run.execution.writer.save_checkpoint(checkpoint)

    async def open_file(self, name: str, media_type: str) -> FileDraft:
        """Begins a file once the request is stored."""
        await self._promoted()
        return await self._run.execution.writer.open_file(name, media_type)

    async def _promoted(self) -> None:
        if not await self._run.promote():
            raise AttemptFenced("the request could not be stored under this execution")
