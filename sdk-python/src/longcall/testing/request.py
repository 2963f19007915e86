# SPDX-License-Identifier: Apache-2.0
"""A request as an `InMemoryServer` has it: its log, and the handler that a test plays."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

from pydantic import MISSING, JsonValue

from ..codec import to_json_value
from ..errors import ConfigurationError, RequestError
from ..messages import RequestMessage
from . import messages
from .clock import TestClock
from .messages import Message, timestamp

CANCEL_GRACE: Final = 10.0
"""Seconds that a script may take to end after a cancel. PROTOCOL 5.6."""

Script: TypeAlias = Callable[["InMemoryRequest"], object]
"""What a server does with the requests of an action, plain or async; see `InMemoryServer.on`."""


class Watcher(Protocol):
    """Whom a request tells what happens to it."""

    def on_event(self, request: InMemoryRequest) -> None:
        """Its log has a new event."""

    def on_progress(self, request: InMemoryRequest, message: Message) -> None:
        """It has newer progress."""

    def on_answer(self, request: InMemoryRequest, message: Message) -> None:
        """It was quick, and is answered without having been stored."""


class InMemoryRequest:
    """A request that a server has; a script or a test says what becomes of it.

    Attributes:
        id: Its id.
        action: What was called.
        payload: With what; JSON.
        message: The whole `request`, as it arrived first: `metadata`, `traceparent`, ….
        arrivals: How often it arrived: more than once when the client had to send it again.
        executions: How often its script was started.
        log: Its events so far, as they are sent.
        status: `queued`, `processing`, `retrying`, `completed`, `failed` or `cancelled`.
        attempt: The newest attempt; 0 before the first.
        is_stored: False for a quick request that nothing has promoted.
        cancel_requested: True once the client has asked for its end.
        cancel_reason: The reason that it gave.
    """

    def __init__(
        self, message: RequestMessage, clock: TestClock, lock: threading.RLock, watcher: Watcher
    ) -> None:
        self.message: dict[str, Any] = message.model_dump(mode="json")
        self._message = message
        self.id: str = message.id
        self.action: str = message.action
        self.payload: JsonValue = None if message.payload is MISSING else message.payload
        self.arrivals: int = 1
        self.executions: int = 0
        self.log: list[dict[str, Any]] = []
        self._texts: list[str] = []  # of the same, as they are sent
        self.status: str = "queued"
        self.attempt: int = 0
        self.is_stored: bool = False
        self.cancel_requested: bool = False
        self.cancel_reason: str | None = None
        self._newest: Message | None = None  # progress
        self._clock = clock
        self._lock = lock
        self._watcher = watcher
        self._created_at = timestamp(clock.now())
        self._updated_at = self._created_at
        self._version = 0
        self._kept_to = 0
        self._is_running = False
        self._script: Script | None = None
        self._task: asyncio.Task[None] | None = None
        self._timers: list[Any] = []

    def __repr__(self) -> str:
        return f"<InMemoryRequest {self.id} of {self.action}, {self.status}>"

    @property
    def is_finished(self) -> bool:
        """True once it has ended."""
        return self.status in ("completed", "failed", "cancelled")

    # What a script or a test says.

    def progress(
        self,
        percentage: float | None = None,
        message: str | None = None,
        details: object = None,
    ) -> None:
        """Reports progress; the newest is what counts.

        Args:
            percentage: 0 to 100.
            message: For people.
            details: Any JSON value, pydantic model or dataclass; None: none.

        Raises:
            ConfigurationError: No server could send it, or the request has ended.
        """
        with self._lock:
            self._begin()
            self._version += 1
            fields = {
                "percentage": percentage,
                "message": message,
                "details": to_json_value(details, "/details"),
            }
            told = messages.progress(
                self.id,
                self.attempt,
                self._version,
                **{key: value for key, value in fields.items() if value is not None},
            )
            told["updated_at"] = self._now()
            messages.checked(told)
            self._newest = {
                key: value for key, value in told.items() if key not in ("type", "request_id")
            }
            if self.is_stored:
                self._watcher.on_progress(self, told)

    def chunk(self, data: object, *, checkpoint: bool = False) -> None:
        """Sends a piece of the result.

        Args:
            data: Any JSON value, pydantic model or dataclass.
            checkpoint: Whether the pieces up to this one stand when another attempt begins.
        """
        with self._lock:
            self._begin()
            self._store()  # PROTOCOL 10.10
            self._append(
                {
                    "type": "chunk",
                    "request_id": self.id,
                    "seq": len(self.log) + 1,
                    "attempt": self.attempt,
                    "data": to_json_value(data, "/data"),
                }
            )
            if checkpoint:
                self._kept_to = len(self.log)

    def complete(self, result: object = None) -> None:
        """Ends it with a result.

        Args:
            result: Any JSON value, pydantic model or dataclass.
        """
        with self._lock:
            self._begin()
            value = to_json_value(result, "/result")
            if self.is_stored:
                event = messages.complete(self.id, len(self.log) + 1, value)
                messages.checked(event)
                self._finish("completed")
                self._append(event)
            else:
                answer = {"type": "response", "request_id": self.id, "result": value}
                messages.checked(answer)
                self._finish("completed")
                self._watcher.on_answer(self, answer)

    def fail(
        self,
        code: str,
        message: str = "scripted failure",
        *,
        retryable: bool | None = None,
        details: object = None,
    ) -> None:
        """Ends it with an error.

        Args:
            code: One of the protocol's; a handler's own goes into `details["code"]`.
            message: For people.
            retryable: None: what the code says.
            details: Any JSON value.
        """
        with self._lock:
            self._begin()
            fields = {"retryable": retryable, "details": to_json_value(details, "/details")}
            if self.is_stored:
                self._end(code, message, **fields)
                return
            # PROTOCOL 10.9
            answer = messages.failure(
                code, message, request_id=self.id, reply_to="request", executed=True, **fields
            )
            messages.checked(answer)
            self._finish("failed")
            self._watcher.on_answer(self, answer)

    def retry(
        self,
        after: float = 0.0,
        code: str = "INTERNAL_ERROR",
        message: str = "scripted failure",
    ) -> None:
        """Lets the attempt fail, and another one begin; a script runs again.

        Args:
            after: The seconds until then, of the server's clock.
            code: Why it failed, in the protocol's codes.
            message: Why, for people.
        """
        with self._lock:
            self._begin()
            self._store()
            error = messages.failure(code, message, retryable=True)["error"]
            self._append(
                {
                    "type": "status",
                    "request_id": self.id,
                    "seq": len(self.log) + 1,
                    "status": "retrying",
                    "attempt": self.attempt,
                    "chunks_kept_to": self._kept_to,
                    "retry_at": timestamp(self._clock.now() + after),
                    "error": error,
                }
            )
            self.status = "retrying"
            self._is_running = False
            self._after(after, self._next_attempt)

    # What the server says.

    def _start(self, script: Script | None, promote_after: float | None) -> None:
        """Begins; without a script, somebody plays the handler."""
        self._script = script
        if promote_after is None:
            self._store()
        else:
            self._after(promote_after, self._store)
        if script is not None:
            delay = self._message.delay_ms
            self._after(0 if delay is MISSING else delay / 1000, self._next_attempt)

    def _store(self) -> None:
        """Stores it, if it is not: event 1. Later events come from the log."""
        with self._lock:
            if self.is_stored or self.is_finished:
                return
            self.is_stored = True
            self._append(messages.acknowledgment(self.id, created_at=self._created_at))
            if self._is_running:
                self._processing()
            deadline = self._message.deadline_ms
            if deadline is not MISSING:
                self._after(deadline / 1000, lambda: self._stop("TIMEOUT", "the deadline passed"))

    def _cancel(self, reason: str | None) -> None:
        """Takes a cancel. PROTOCOL 5.6, 10.14."""
        if self.is_finished or self.cancel_requested:
            return
        self._store()  # PROTOCOL 10.12
        self.cancel_requested = True
        self.cancel_reason = reason
        if self._task is None:
            self._cancelled()
        else:
            self._after(CANCEL_GRACE, self._cancelled)
            self._cancel_task()

    def _abandon(self) -> None:
        """Stops what runs: the server stops."""
        self._clear_timers()
        self._cancel_task()

    def _summary(self) -> Message:
        """Returns how it stands."""
        optional = {
            "cancel_requested": True if self.cancel_requested else None,
            "progress": self._newest,
        }
        return messages.summary(
            self.id,
            action=self.action,
            status=self.status,
            attempt=self.attempt,
            created_at=self._created_at,
            updated_at=self._updated_at,
            last_seq=len(self.log),
            **{key: value for key, value in optional.items() if value is not None},
        )

    # Inside.

    def _begin(self) -> None:
        """Begins an attempt, unless one runs."""
        if self.is_finished:
            raise ConfigurationError(f"request {self.id} has ended already: {self.status}")
        if self._is_running:
            return
        self._is_running = True
        self.attempt += 1
        self._version = 0
        if self.is_stored:
            self._processing()

    def _processing(self) -> None:
        self.status = "processing"
        seq = len(self.log) + 1
        self._append(messages.processing(self.id, seq, self.attempt, self._kept_to))

    def _next_attempt(self) -> None:
        with self._lock:
            if self.is_finished:
                return
            self._begin()
            if self._script is None:
                return
            self.executions += 1
            attempt = self.attempt
            try:
                answer = self._script(self)
            except Exception as error:
                self._failed(attempt, error)
                return
            if inspect.isawaitable(answer):
                self._task = asyncio.ensure_future(self._await(attempt, answer))
            elif self._is_current(attempt):
                self.complete(answer)

    async def _await(self, attempt: int, answer: Any) -> None:
        try:
            result = await answer
        except asyncio.CancelledError:
            with self._lock:
                if self.cancel_requested:
                    self._cancelled()
            return
        except Exception as error:
            with self._lock:
                self._failed(attempt, error)
            return
        with self._lock:
            if self._is_current(attempt):
                self.complete(result)

    def _is_current(self, attempt: int) -> bool:
        return not self.is_finished and self._is_running and self.attempt == attempt

    def _failed(self, attempt: int, error: Exception) -> None:
        """A script raised: a `RequestError` is what it says, anything else an accident."""
        if not self._is_current(attempt):
            return
        if isinstance(error, RequestError):
            self.fail(error.code, error.message, retryable=error.retryable, details=error.details)
        else:
            self.fail("INTERNAL_ERROR", f"{type(error).__name__}: {error}")

    def _cancelled(self) -> None:
        reason = self.cancel_reason
        details: JsonValue = None if reason is None else {"reason": reason}
        self._stop("CANCELLED", "the request was cancelled", details)

    def _stop(self, code: str, message: str, details: JsonValue = None) -> None:
        with self._lock:
            if not self.is_finished:
                self._end(code, message, details=details)
                self._cancel_task()

    def _cancel_task(self) -> None:
        task = self._task
        if task is not None and not task.done() and not task.get_loop().is_closed():
            task.get_loop().call_soon_threadsafe(task.cancel)

    def _end(self, code: str, message: str, **fields: Any) -> None:
        event = messages.failure(code, message, request_id=self.id, seq=len(self.log) + 1, **fields)
        messages.checked(event)
        self._finish("cancelled" if code == "CANCELLED" else "failed")
        self._append(event)

    def _finish(self, status: str) -> None:
        self.status = status
        self._is_running = False
        self._clear_timers()

    def _append(self, event: Message) -> None:
        self._texts.append(messages.checked(event))
        self.log.append(event)
        self._updated_at = self._now()
        self._watcher.on_event(self)

    def _after(self, delay: float, act: Callable[[], None]) -> None:
        if delay > 0:
            self._timers.append(self._clock._call_later(delay, act))
            return
        try:
            asyncio.get_running_loop().call_soon(act)
        except RuntimeError:
            act()

    def _clear_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _now(self) -> str:
        return timestamp(self._clock.now())
