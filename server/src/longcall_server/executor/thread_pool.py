# SPDX-License-Identifier: Apache-2.0
"""A bounded pool of daemon threads for handlers that block.

The standard pool does not fit: its threads are joined when the interpreter exits, so a handler
that never returns would keep a stopped server alive, and it would take a place for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from longcall_server.core.turns import TurnQueue, kept_of

T = TypeVar("T")


class ThreadCall(Generic[T]):
    """One call that waits for a thread or runs in one."""

    def __init__(
        self, function: Callable[[], T], loop: asyncio.AbstractEventLoop, owner: Hashable
    ) -> None:
        self.function = function
        self.owner = owner
        self.loop = loop
        self.context = contextvars.copy_context()
        self.outcome: asyncio.Future[tuple[T | None, BaseException | None]] = loop.create_future()
        """`(value, None)` or `(None, exception)`; set on the event loop."""
        self.finished = False
        self.abandoned = False

    def run(self) -> None:
        """Calls the function and tells the loop."""
        outcome: tuple[T | None, BaseException | None]
        try:
            outcome = (self.context.run(self.function), None)
        except BaseException as error:
            outcome = (None, error)
        # A closed loop refuses: nobody waits any more.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._tell, outcome)

    def _tell(self, outcome: tuple[T | None, BaseException | None]) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class ThreadPool:
    """Runs calls in at most `size` threads; an abandoned call no longer counts.

    Owners take turns, and some places are kept for owners of whom nothing runs.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Condition()
        self._calls: TurnQueue[ThreadCall[Any]] = TurnQueue()
        self._running: Counter[Hashable] = Counter()
        self._threads = 0
        self._idle = 0
        self._closed = False
        self._numbers = itertools.count(1)

    def submit(self, function: Callable[[], T], owner: Hashable = None) -> ThreadCall[T]:
        """Queues a call of an owner; the caller waits for its `outcome`."""
        call = ThreadCall(function, asyncio.get_running_loop(), owner)
        with self._lock:
            if self._closed:
                raise RuntimeError("the thread pool is closed")
            self._calls.put(owner, call)
            self._lock.notify()
            if self._idle < len(self._calls) and self._threads < self._size:
                self._start_thread()
        return call

    def withdraw(self, call: ThreadCall[Any]) -> bool:
        """Takes a call back that has not begun; whether it was still waiting."""
        with self._lock:
            return self._calls.withdraw(call.owner, call)

    def abandon(self, call: ThreadCall[Any]) -> None:
        """Gives the place of a call that will not end to another thread."""
        with self._lock:
            if call.abandoned or call.finished:
                return
            call.abandoned = True
            self._over(call)
            self._threads -= 1
            if self._calls and not self._closed:
                self._start_thread()

    def close(self) -> None:
        """Lets idle threads go; running ones go when their call ends."""
        with self._lock:
            self._closed = True
            self._calls.clear()
            self._lock.notify_all()

    def _start_thread(self) -> None:
        self._threads += 1
        name = f"longcall-handler-{next(self._numbers)}"
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def _work(self) -> None:
        while (call := self._next()) is not None:
            call.run()
            with self._lock:
                call.finished = True
                if call.abandoned:
                    return  # Another thread has taken this one's place.
                self._over(call)
            del call

    def _next(self) -> ThreadCall[Any] | None:
        with self._lock:
            self._idle += 1
            while (taken := self._calls.take(self._may_run)) is None and not self._closed:
                self._lock.wait()
            self._idle -= 1
            if taken is None:
                self._threads -= 1
                return None
            owner, call = taken
            self._running[owner] += 1
            # The call that ended before may have let two begin: this one, and one of its own owner
            # on a kept place. An idle thread hears of that from here only.
            self._lock.notify()
            return call

    def _may_run(self, owner: Hashable) -> bool:
        free = self._size - self._running.total()
        return free > kept_of(self._size) or not self._running[owner]

    def _over(self, call: ThreadCall[Any]) -> None:
        self._running[call.owner] -= 1
        if not self._running[call.owner]:
            del self._running[call.owner]
