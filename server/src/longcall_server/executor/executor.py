# SPDX-License-Identifier: Apache-2.0
"""Starts handlers and knows which of them still run."""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from longcall_server.executor.coroutine import CoroutineRun
from longcall_server.executor.execution import Execution, Run
from longcall_server.executor.outcomes import payload_refused, raised
from longcall_server.executor.process import ProcessRun
from longcall_server.executor.process_pool import ProcessPool
from longcall_server.executor.thread import ThreadRun
from longcall_server.executor.thread_pool import ThreadPool
from longcall_server.handlers.attempt import Attempt, AttemptWriter, Bounds, Call, ServerInfo
from longcall_server.handlers.encoding import UNSET
from longcall_server.handlers.registry import Registration
from longcall_server.stores.base import Clock, system_clock

_log = logging.getLogger(__name__)
_LAST_STEP = 0.2
"""Seconds for what has been told twice to end."""


class Executor:
    """Starts handlers and knows which of them still run."""

    def __init__(
        self,
        *,
        server: ServerInfo | None = None,
        bounds: Bounds | None = None,
        threads: int = 32,
        processes: int | None = None,
        clock: Clock = system_clock,
    ) -> None:
        self._server = server or ServerInfo("0", "none", datetime.now(UTC))
        self._bounds = bounds or Bounds()
        self._clock = clock
        self._threads = ThreadPool(threads)
        self._processes = ProcessPool(processes or usable_cpus())
        self._running: set[Execution] = set()

    @property
    def running(self) -> int:
        """How many handlers have not ended yet."""
        return len(self._running)

    def start(
        self, registration: Registration, call: Call, writer: AttemptWriter, *, params: Any = UNSET
    ) -> Execution:
        """Runs a handler; `params` is the payload if it was validated already.

        A payload that the handler no longer takes ends it with VALIDATION_ERROR.
        """
        attempt = Attempt(call, writer, server=self._server, bounds=self._bounds, clock=self._clock)
        execution = Execution(attempt)
        if params is UNSET and registration.executor != "process":  # which does that itself
            try:
                params = registration.validate(call.payload)
            except ValidationError as error:
                execution.fail(payload_refused(error))
                return execution
            except Exception as error:
                # A validator is a handler's code: whoever claims must survive it.
                execution.fail(raised(attempt, error))
                return execution
        self._running.add(execution)
        task = execution.begin(self._run(registration, attempt, params))
        task.add_done_callback(lambda _: self._running.discard(execution))
        return execution

    def _run(self, registration: Registration, attempt: Attempt, params: Any) -> Run:
        if registration.executor == "coroutine":
            return CoroutineRun(registration, attempt, params)
        if registration.executor == "process":
            return ProcessRun(registration, attempt, self._processes)
        return ThreadRun(registration, attempt, params, self._threads)

    async def settled(self) -> None:
        """Waits until the outcome of everything that runs is known."""
        while pending := [execution for execution in self._running if not execution.done]:
            await asyncio.wait([asyncio.ensure_future(one.outcome()) for one in pending])

    async def close(self, *, grace: float = 2.0) -> None:
        """Stops every handler that still runs and waits `grace` seconds for them to give way."""
        for execution in tuple(self._running):
            execution.stop()
        await self._wait_for_all(grace)
        left = tuple(self._running)
        for execution in left:
            call = execution.call
            _log.warning("handler %s of request %s does not end", call.action, call.request_id)
            execution.leave()
        if left:
            await self._wait_for_all(min(grace, _LAST_STEP))
        self._threads.close()
        await self._processes.close()

    async def _wait_for_all(self, grace: float) -> None:
        ends = [asyncio.ensure_future(execution.ended()) for execution in self._running]
        if ends:
            _, late = await asyncio.wait(ends, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def usable_cpus() -> int:
    """How many processes can compute at the same time."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
