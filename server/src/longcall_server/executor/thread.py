# SPDX-License-Identifier: Apache-2.0
"""Handlers that are a plain `def`: they run in a thread, and a cancel sets a flag for them.

A thread cannot be ended from outside: one that does not look at its flag runs on, with nothing that
it writes being of any account, and its place in the pool is given to another.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures import Future
from typing import Any, TypeVar

from longcall_server.executor.outcomes import Outcome, returned
from longcall_server.executor.thread_pool import ThreadCall, ThreadPool
from longcall_server.handlers.attempt import Attempt, FileDraft
from longcall_server.handlers.errors import AttemptFenced
from longcall_server.handlers.registry import Registration
from longcall_server.handlers.sync_context import SyncRequestContext
from longcall_server.stores.base import StoredFile

T = TypeVar("T")


class ThreadRun:
    """One call of a function in a thread of the pool."""

    def __init__(
        self, registration: Registration, attempt: Attempt, params: Any, threads: ThreadPool
    ) -> None:
        self._registration = registration
        self._attempt = attempt
        self._arguments = (params,) if registration.takes_payload else ()
        self._threads = threads
        self._port = LoopPort(attempt, asyncio.get_running_loop())
        self._call: ThreadCall[Outcome] | None = None

    async def outcome(self) -> Outcome:
        """Waits for a free thread, and for what it does."""
        self._call = self._threads.submit(self._work, self._attempt.call.owner)
        outcome, error = await self._call.outcome
        if error is not None:
            raise error
        assert outcome is not None
        return outcome

    def interrupt(self) -> bool:
        """Sets the flag; False if no thread has begun."""
        if self._call is None or self._threads.withdraw(self._call):
            return False
        self._port.interrupted.set()
        return True

    def stop(self) -> bool:
        """Lets the thread go, whatever it waits for; False if none has begun."""
        if self._call is None or self._threads.withdraw(self._call):
            return False
        self._port.release()
        self._threads.abandon(self._call)
        return True

    def _work(self) -> Outcome:
        context = SyncRequestContext(self._attempt, self._port)
        value = self._registration.function(context, *self._arguments)
        return returned(self._attempt, value, self._registration.result_adapter)


class LoopPort:
    """The way of a thread's context to its attempt on the event loop."""

    def __init__(self, attempt: Attempt, loop: asyncio.AbstractEventLoop) -> None:
        self.interrupted = threading.Event()
        self._attempt = attempt
        self._loop = loop
        self._lock = threading.Lock()
        self._newest: str | None = None
        self._waiting: set[Future[Any]] = set()

    def report(self, members: str) -> None:
        """Hands the newest progress over; does not wait for the event loop."""
        with self._lock:
            pending = self._newest is not None
            self._newest = members
        if not pending:
            self._on_loop(self._report)

    def chunk(self, data: str, checkpoint: str | None) -> int:
        """Appends a chunk."""
        return self._wait(self._attempt.chunk(data, checkpoint))

    def save_checkpoint(self, checkpoint: str) -> None:
        """Keeps a checkpoint."""
        self._wait(self._attempt.save_checkpoint(checkpoint))

    def open_file(self, name: str, media_type: str) -> FileDraft:
        """Begins a file."""
        return self._wait(self._attempt.open_file(name, media_type))

    def attach_file(self, stored: StoredFile) -> None:
        """The sealed file becomes a part of the outcome."""
        self._wait(_call(self._attempt.attach_file, stored))

    def drop_file(self, name: str) -> None:
        """Forgets a file whose writing failed."""
        self._on_loop(self._attempt.drop_file, name)

    def release(self) -> None:
        """Ends whatever the thread waits for with `AttemptFenced`: the attempt is stopped."""
        self.interrupted.set()
        for future in tuple(self._waiting):
            future.cancel()

    def _report(self) -> None:
        with self._lock:
            members, self._newest = self._newest, None
        if members is not None:
            self._attempt.report(members)

    def _on_loop(self, function: Any, *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            # The loop is closed: the server went away without this thread.
            raise AttemptFenced("the server has stopped") from None

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            work.close()
            raise AttemptFenced("the server has stopped") from None
        self._waiting.add(future)
        try:
            if self._attempt.stopped:
                future.cancel()
            return future.result()
        except FutureCancelled:
            raise AttemptFenced("this attempt is no longer the current one") from None
        finally:
            self._waiting.discard(future)


async def _call(function: Any, *args: object) -> None:
    function(*args)
