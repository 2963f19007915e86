# SPDX-License-Identifier: Apache-2.0
"""Runs one handler, in a coroutine or in a thread, and tells how it ended.

Quick and durable requests run here alike; only where their context writes differs. An execution
belongs to the executor from `start` until its handler has really ended: one that is stopped has
its outcome at once, and its handler is left alone if it does not give way.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import MISSING, ValidationError

from longcall_server.core import errors
from longcall_server.core.codes import ErrorCode
from longcall_server.core.ijson import escape_pointer
from longcall_server.handlers.attempt import Attempt, AttemptWriter, Bounds, Call, ServerInfo
from longcall_server.handlers.context import RequestContext, SyncRequestContext
from longcall_server.handlers.encoding import UNSET
from longcall_server.handlers.errors import (
    AttemptFenced,
    HandlerError,
    LogLimitReached,
    NotJson,
    PayloadTooLarge,
    RequestCancelled,
)
from longcall_server.handlers.registry import Registration
from longcall_server.stores.base import Clock, StoredFile, StoredProgress, system_clock
from longcall_server.threads import ThreadCall, ThreadPool

_log = logging.getLogger(__name__)
_LAST_STEP = 0.2
"""Seconds for what has been told twice to end."""


@dataclass(frozen=True, slots=True)
class Completed:
    """The handler returned; `result` is JSON text that fits into a message."""

    result: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler failed; `error` is an ErrorInfo as JSON, `retryable` is for the policy."""

    error: str
    retryable: bool
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The handler gave way to a cancel."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The execution was stopped: fenced, handed back or discarded. Nothing of it counts."""


Outcome = Completed | Failed | Cancelled | Stopped


class Execution:
    """One running handler. Use it on the event loop only."""

    def __init__(self, registration: Registration, attempt: Attempt, threads: ThreadPool) -> None:
        self.registration = registration
        self.attempt = attempt
        self._threads = threads
        self._thread_call: ThreadCall | None = None
        self._sync_context: SyncRequestContext | None = None
        self._outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[Any] | None = None

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
        """Tells the handler to stop (PROTOCOL 5): cancels its task, or sets the thread's flag."""
        if self.done or self.attempt.cancelled:
            return
        self.attempt.cancelled = True
        self.attempt.cancel_reason = reason
        self.attempt.interrupted.set()
        waiting = self._thread_call
        if waiting is None or self._threads.withdraw(waiting):
            self._cancel_task()
        elif self._sync_context is not None:
            self._sync_context.interrupt()

    def stop(self) -> None:
        """Ends the execution as `Stopped`, whether or not the handler gives way."""
        self.attempt.stopped = True
        self.attempt.interrupted.set()
        self._settle(Stopped())
        if self._thread_call is not None and not self._threads.withdraw(self._thread_call):
            if self._sync_context is not None:
                self._sync_context.release()
            self._threads.abandon(self._thread_call)
        else:
            self._cancel_task()

    def leave(self) -> None:
        """Waits no longer for a stopped handler: its thread, if any, runs on by itself."""
        self._cancel_task()

    def begin(self, arguments: Callable[[], tuple[object, ...]]) -> asyncio.Task[Any]:
        """Starts the handler; for the executor."""
        name = f"longcall handler {self.call.action} {self.call.request_id}"
        run = self._coroutine if self.registration.is_coroutine else self._thread
        self._task = asyncio.get_running_loop().create_task(run(arguments), name=name)
        self._task.add_done_callback(self._handler_ended)
        return self._task

    def fail(self, failed: Failed) -> None:
        """Ends it before the handler was called; for the executor."""
        self._settle(failed)

    async def _coroutine(self, arguments: Callable[[], tuple[object, ...]]) -> object:
        try:
            return await self.registration.function(*arguments())
        except SystemExit as error:
            # In a task it would end the event loop, and with it the server.
            raise RuntimeError(f"the handler called sys.exit({error.code!r})") from error

    async def _thread(self, arguments: Callable[[], tuple[object, ...]]) -> object:
        loop = asyncio.get_running_loop()
        self._sync_context = context = SyncRequestContext(self.attempt, loop)
        function = self.registration.function
        rest = arguments()
        self._thread_call = self._threads.submit(lambda: function(context, *rest))
        value, error = await self._thread_call.outcome
        if isinstance(error, StopIteration | SystemExit | KeyboardInterrupt):
            raise RuntimeError(f"the handler raised {error!r}") from error
        if error is not None:
            raise error
        return value

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _settle(self, outcome: Outcome) -> None:
        if not self._outcome.done():
            self._outcome.set_result(outcome)

    def _handler_ended(self, task: asyncio.Task[Any]) -> None:
        if self.done:
            # Stopped before; whatever the handler did in the end is of no interest.
            if not task.cancelled():
                task.exception()
            return
        self._settle(self._classify(task))

    def _classify(self, task: asyncio.Task[Any]) -> Outcome:
        if self.attempt.fatal is not None:
            return self._failed(ErrorCode.RESOURCE_EXHAUSTED, str(self.attempt.fatal))
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            return self._completed(task.result())
        match error:
            case asyncio.CancelledError() | RequestCancelled() if self.attempt.cancelled:
                return Cancelled()
            case AttemptFenced():
                return Stopped()
            case HandlerError():
                return self._handler_error(error)
            case PayloadTooLarge():
                return self._too_large(error)
            case LogLimitReached():
                return self._failed(ErrorCode.RESOURCE_EXHAUSTED, str(error))
        return self._unexpected(error, retryable=True)

    def _completed(self, value: object) -> Outcome:
        try:
            return Completed(self.attempt.encode_result(value, self.registration.result_adapter))
        except PayloadTooLarge as error:
            return self._too_large(error)
        except Exception as error:
            # Another attempt would return the same kind of value: it is not repeated.
            return self._unexpected(error, retryable=False)

    def _handler_error(self, error: HandlerError) -> Failed:
        details: dict[str, object] = {"code": str(error.code)}
        try:
            if error.details is not None:
                details["details"] = error.details
            self.attempt.encode("details of the HandlerError", details, levels=3)
            self.attempt.encode("message of the HandlerError", error.message)
        except NotJson as problem:
            return self._unexpected(problem, retryable=error.retryable)
        failed = self._failed(
            ErrorCode.HANDLER_ERROR, str(error.message), details, retryable=error.retryable
        )
        if not self.attempt.error_fits(failed.error):
            _log.warning("%s: the HandlerError %.100s is too large to send", self._name, error.code)
            too_large = PayloadTooLarge(
                "HandlerError", self.attempt.max_message_bytes, len(failed.error.encode())
            )
            return self._too_large(too_large)
        return failed

    def _too_large(self, error: PayloadTooLarge) -> Failed:
        details = {"limit": error.limit, "size": error.size}
        return self._failed(ErrorCode.PAYLOAD_TOO_LARGE, f"{str(error).capitalize()}.", details)

    def _unexpected(self, error: BaseException, *, retryable: bool) -> Failed:
        incident = uuid.uuid4().hex
        _log.error("%s failed, incident %s", self._name, incident, exc_info=error)
        failed = self._failed(
            ErrorCode.INTERNAL_ERROR, "The handler failed unexpectedly.", {"incident_id": incident}
        )
        return Failed(failed.error, retryable=retryable)

    def _failed(
        self, code: ErrorCode, message: str, details: object = UNSET, *, retryable: bool = False
    ) -> Failed:
        return Failed(error_info(code, message, details, retryable=retryable), retryable=retryable)

    @property
    def _name(self) -> str:
        call = self.call
        return f"handler {call.action}, request {call.request_id}, attempt {call.attempt}"


class Executor:
    """Starts handlers and knows which of them still run."""

    def __init__(
        self,
        *,
        server: ServerInfo | None = None,
        bounds: Bounds | None = None,
        threads: int = 32,
        clock: Clock = system_clock,
    ) -> None:
        self._server = server or ServerInfo("0", "none", datetime.now(UTC))
        self._bounds = bounds or Bounds()
        self._clock = clock
        self._threads = ThreadPool(threads)
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
        execution = Execution(registration, attempt, self._threads)
        if params is UNSET:
            try:
                params = registration.validate(call.payload)
            except ValidationError as error:
                execution.fail(payload_refused(error))
                return execution
        rest: tuple[object, ...] = (params,) if registration.takes_payload else ()
        self._running.add(execution)
        if registration.is_coroutine:
            task = execution.begin(lambda: (RequestContext(attempt), *rest))
        else:
            task = execution.begin(lambda: rest)
        task.add_done_callback(lambda _: self._running.discard(execution))
        return execution

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

    async def _wait_for_all(self, grace: float) -> None:
        ends = [asyncio.ensure_future(execution.ended()) for execution in self._running]
        if ends:
            _, late = await asyncio.wait(ends, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def payload_refused(error: ValidationError) -> Failed:
    """The failure of a stored request whose payload does not fit its handler (any more)."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    pointer = "".join(f"/{escape_pointer(str(part))}" for part in ("payload", *first["loc"]))
    info = error_info(ErrorCode.VALIDATION_ERROR, first["msg"], {"pointer": pointer})
    return Failed(info, retryable=False)


def error_info(
    code: ErrorCode, message: str, details: object = UNSET, *, retryable: bool | None = None
) -> str:
    """The JSON text of an ErrorInfo; `retryable` as the code says unless given (PROTOCOL 7)."""
    given = MISSING if details is UNSET else details
    return errors.error_info(code, message, retryable=retryable, details=given).model_dump_json()
