# SPDX-License-Identifier: Apache-2.0
"""One call of the application: done in the event loop, waited for in the thread that called."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import Awaitable, Callable
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeVar

from ..errors import ConfigurationError, ConnectionClosed
from ..events import Event, Progress

logger = logging.getLogger("longcall")

Result = TypeVar("Result")
EventT = TypeVar("EventT", bound=Event)
Post = Callable[[Callable[[], object]], bool]

WINDOW: Final = 64
"""Events that may wait for a callback, so that not each one costs a switch of threads."""
# On Windows nothing interrupts a thread that waits for a lock, so there it waits in small steps.
_STEP: Final = 0.1 if os.name == "nt" else None


class Inbox:
    """What is to be done in a thread while it waits for a call."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._items: SimpleQueue[Callable[[], object] | None] = SimpleQueue()

    def relay(
        self, callback: Callable[[EventT], object] | None
    ) -> Callable[[EventT], Awaitable[None]] | None:
        """Returns what has `callback` called in the thread that waits, with each event in order.

        What it raises is logged, never more. PROTOCOL 9.9.1.

        Raises:
            ConfigurationError: It is an async function.
        """
        if callback is None:
            return None
        if inspect.iscoroutinefunction(callback):
            raise ConfigurationError("a callback is a plain function here, not an async one")

        async def relayed(event: EventT) -> None:
            def tell() -> None:
                try:
                    callback(event)
                except Exception:
                    logger.exception("a callback of a request failed")

            self._items.put(tell)
            # Progress waits alone: newer takes its place in the reader, not here.
            if isinstance(event, Progress) or self._items.qsize() >= WINDOW:
                await self._emptied()

        return relayed

    async def ask(self, act: Callable[[], Result]) -> Result:
        """Does something in the thread that waits, when it waits, and returns what it gives."""
        answered: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        def settle(set_it: Callable[[Any], None], value: object) -> None:
            if not answered.done():
                set_it(value)

        def live() -> None:
            try:
                value = act()
            except Exception as error:
                raised = error
                self._post(lambda: settle(answered.set_exception, raised))
            else:
                self._post(lambda: settle(answered.set_result, value))

        self._items.put(live)
        return await answered

    async def _emptied(self) -> None:
        emptied = asyncio.Event()
        self._items.put(lambda: self._post(emptied.set))
        await emptied.wait()

    def end(self) -> None:
        """Ends `wait`, behind what is to be done."""
        self._items.put(None)

    def wait(self) -> None:
        """Does what is to be done until the end."""
        while True:
            try:
                item = self._items.get(timeout=_STEP)
            except Empty:
                continue
            if item is None:
                return
            item()


class Call(Generic[Result]):
    """What `work` does in the loop, and the thread that waits for it.

    Waiting may be interrupted at any moment: then the work is cancelled, as a task would be that
    waits in asyncio, and `drop` gets a result that nobody takes any more.
    """

    def __init__(
        self,
        work: Callable[[], Awaitable[Result]],
        inbox: Inbox,
        drop: Callable[[Result], object] | None,
    ) -> None:
        self._work = work
        self._inbox = inbox
        self._drop = drop
        self._task: asyncio.Task[Result] | None = None
        self._is_abandoned = False

    # In the loop.

    def begin(self, tasks: set[asyncio.Task[object]]) -> None:
        """Begins the work; its task is in `tasks` until it is done."""
        if self._is_abandoned:
            return

        async def work() -> Result:
            return await self._work()

        def ended(task: asyncio.Task[object]) -> None:
            tasks.discard(task)
            if not task.cancelled():
                task.exception()  # looked at, whoever takes it
            self._inbox.end()

        task = asyncio.get_running_loop().create_task(work())
        self._task = task
        tasks.add(task)
        task.add_done_callback(ended)

    def abandon(self) -> None:
        """Nobody waits any more."""
        self._is_abandoned = True
        task = self._task
        if task is None or task.cancel() or task.cancelled() or task.exception() is not None:
            return
        if self._drop is not None:
            self._drop(task.result())

    # In the thread that called.

    def outcome(self) -> Result:
        """Waits until the work is done, and returns or raises what it did."""
        self._inbox.wait()
        task = self._task
        assert task is not None
        if task.cancelled():
            raise ConnectionClosed(None, "closed by the application")
        error = task.exception()
        if error is None:
            return task.result()
        try:
            raise error
        finally:
            # Its traceback refers to this frame: nothing here may refer to it.
            self._task = None
            del task, error
