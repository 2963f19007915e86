# SPDX-License-Identifier: Apache-2.0
"""The background thread of a client: an event loop, and in it the client for asyncio.

All of the protocol happens in that thread. So it needs no locks, and whatever interrupts a thread
of the application, as Ctrl-C does, interrupts no step of the protocol.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncIterable, Awaitable, Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar
from weakref import WeakSet

from ..asyncio.client import Client as AsyncClient
from ..errors import ConfigurationError, ConnectionClosed, Forked
from .callbacks import Notifier
from .waiting import Call, Inbox

Result = TypeVar("Result")


ItemT = TypeVar("ItemT")
ItemT_co = TypeVar("ItemT_co", covariant=True)


class Items(AsyncIterable[ItemT_co], Protocol[ItemT_co]):
    """What can be iterated and left in the loop."""

    def aclose(self) -> Awaitable[None]: ...


class Connection:
    """Has things done in the event loop of `client`, from any thread; see `run`."""

    def __init__(self, client: AsyncClient, notifier: Notifier, close_timeout: float) -> None:
        self.client = client
        self._notifier = notifier
        self._close_timeout = close_timeout
        # The garbage collector, which runs anywhere, may end another client in the midst of it.
        self._lock = threading.RLock()
        self._late = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._is_closed = False
        self._is_forked = False
        self._calls: set[asyncio.Task[object]] = set()
        self._ending: asyncio.Task[None] | None = None
        _connections.add(self)

    @property
    def is_closed(self) -> bool:
        """True when `close` was called, or began."""
        return self._is_closing or self._is_closed

    def check_process(self) -> None:
        """Raises `Forked` in a child of the process in which the client was started."""
        if self._is_forked:
            raise Forked

    def start(self) -> None:
        """Starts the thread, unless that has been done.

        Raises:
            ConnectionClosed: The client was closed before it was ever used.
            Forked: It was started in a parent of this process.
        """
        self.check_process()
        with self._lock:
            if self._thread is not None:
                return
            if self._is_closed:
                raise ConnectionClosed(None, "closed by the application")
            loop = asyncio.new_event_loop()
            # For the names of hosts. The loop's own would be waited for, though a resolver hangs.
            resolvers = ThreadPoolExecutor(2, thread_name_prefix="longcall resolver")
            loop.set_default_executor(resolvers)
            # The thread must know nothing by which it would keep a forgotten client alive.
            thread = threading.Thread(
                target=_live, args=(loop, resolvers), name="longcall", daemon=True
            )
            starting = loop.create_task(self.client.__aenter__())
            self._loop, self._thread = loop, thread
            try:
                thread.start()
            except RuntimeError:  # no more threads
                starting.cancel()
                loop.run_until_complete(asyncio.wait([starting]))
                loop.close()
                self._loop = self._thread = None
                raise

    # Having something done.

    def inbox(self) -> Inbox:
        return Inbox(self._post)

    def run(
        self,
        work: Callable[[], Awaitable[Result]],
        *,
        inbox: Inbox | None = None,
        drop: Callable[[Result], object] | None = None,
    ) -> Result:
        """Does `work` in the loop, and waits for it; `inbox` is served meanwhile.

        Whoever interrupts that (KeyboardInterrupt) only ends the waiting: as in asyncio, where a
        task is cancelled. A result that was there already is given to `drop`, in the loop.

        Raises:
            Forked: This is a child of the process in which the client was started.
            ConfigurationError: This is the thread of the loop, which would wait for itself.
        """
        self.start()
        if threading.current_thread() is self._thread:
            raise ConfigurationError(
                "an async function of the application cannot use the client that awaits it"
            )
        call = Call(work, inbox or self.inbox(), drop)
        try:
            if not self._post(lambda: call.begin(self._calls)):
                return self._run_late(work)
            return call.outcome()
        except Exception:
            raise
        except BaseException:
            self._post(call.abandon)
            raise

    def do(
        self, work: Callable[[], Result], drop: Callable[[Result], object] | None = None
    ) -> Result:
        """Does in the loop what does not wait there; see `run`."""

        async def done() -> Result:
            return work()

        return self.run(done, drop=drop)

    def iterate(
        self, make: Callable[[], Items[ItemT]], inbox: Inbox | None = None
    ) -> Generator[ItemT, None, None]:
        """Yields what an iterator of the loop gives. Who leaves it early closes it."""
        items = make()

        async def take() -> list[ItemT]:
            async for item in items:
                return [item]
            return []

        try:
            while taken := self.run(take, inbox=inbox):
                yield taken.pop()
        except Exception:
            raise
        except BaseException:
            # KeyboardInterrupt, or GeneratorExit, perhaps by the garbage collector in the middle
            # of anything: it must not wait.
            self._post(lambda: Call(items.aclose, self.inbox(), None).begin(self._calls))
            raise

    def _post(self, step: Callable[[], object]) -> bool:
        """Has the loop call something; False: it is over, or belongs to a parent process."""
        if self._is_forked:
            return False
        with self._lock:
            if self._loop is None or self._is_closed:
                return False
            self._loop.call_soon_threadsafe(step)
        return True

    def _run_late(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Does something after the end: what is over is still told. Nothing waits there.

        It has a loop of its own, in a thread of its own since one may run in this thread.
        """
        self.check_process()
        answer: Future[Result] = Future()

        async def done() -> Result:
            return await work()

        def live() -> None:
            with self._late:
                loop = asyncio.new_event_loop()
                try:
                    answer.set_result(loop.run_until_complete(done()))
                except BaseException as error:
                    answer.set_exception(error)
                finally:
                    loop.close()

        thread = threading.Thread(target=live, name="longcall late", daemon=True)
        thread.start()
        thread.join()
        return answer.result()

    # The end.

    def close(self) -> None:
        """Closes for good, and leaves no thread, task or socket behind."""
        if self._is_forked:
            return  # nothing here is ours
        with self._lock:
            if self._thread is None:
                self._is_closed = True
                return
        self.begin_to_close()
        self.join()

    def begin_to_close(self) -> None:
        """Begins to close, and does not wait: for the garbage collector."""
        with self._lock:
            if not self._is_closing and self._post(self._spawn_end):
                self._is_closing = True

    def join(self, timeout: float | None = None) -> None:
        """Waits until the client is closed."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)
            self._notifier.join(self._close_timeout)

    def _spawn_end(self) -> None:
        self._ending = asyncio.get_running_loop().create_task(self._end())

    async def _end(self) -> None:
        try:
            await self.client.close()
            await self._end_calls()
        finally:
            with self._lock:
                self._is_closed = True
            # Nothing is posted any more; what was posted before begins, and ends.
            await asyncio.sleep(0)
            await self._end_calls()
            self._notifier.stop()
            asyncio.get_running_loop().stop()

    async def _end_calls(self) -> None:
        """Ends what is waited for. Closing the client has ended it, but for slow callbacks."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=self._close_timeout)
        for task in self._calls:
            task.cancel()
        if self._calls:
            await asyncio.wait(self._calls)

    # After a fork.

    def after_fork_in_child(self) -> None:
        """In a child process there is no thread, and the sockets are the parent's."""
        self._lock, self._late = threading.RLock(), threading.Lock()
        if self._thread is None:
            return  # it may be started here
        self._is_forked = True
        # Never collected here, where that would touch what is shared with the parent.
        _inherited.append(self)
        # Or a connection would stay open for the server as long as this process lives.
        nothing = os.open(os.devnull, os.O_RDWR)
        started = self.client._started
        for number in started.sockets() if started is not None else ():
            os.dup2(nothing, number, inheritable=False)
        os.close(nothing)


_connections: WeakSet[Connection] = WeakSet()
_inherited: list[Connection] = []


def _live(loop: asyncio.AbstractEventLoop, resolvers: ThreadPoolExecutor) -> None:
    try:
        loop.run_forever()
    finally:
        resolvers.shutdown(wait=False)
        loop.close()


def _after_fork_in_child() -> None:
    for connection in tuple(_connections):
        connection.after_fork_in_child()


def _at_exit() -> None:
    """Says goodbye to servers for clients that nobody closed, if that does not take long."""
    for connection in (left := tuple(_connections)):
        connection.begin_to_close()
    for connection in left:
        connection.join(timeout=5)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
