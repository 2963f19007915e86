# SPDX-License-Identifier: Apache-2.0
"""Both front ends under the names of the one for asyncio, so that one test can speak to either."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from functools import partial
from typing import Any, Self, TypeVar, cast

import longcall
from longcall import Client, Event

Result = TypeVar("Result")


Connect = Callable[..., Client]
"""`longcall.connect`, or what looks like it."""


_in_threads: dict[asyncio.Future[Any], threading.Thread] = {}


async def in_thread(work: Callable[[], Result]) -> Result:
    """Waits for something that blocks, in a new thread; any number of them beside each other.

    A wait that is cancelled leaves its thread to `threads_ended`.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def live() -> None:
        try:
            result = work()
        except BaseException as error:
            loop.call_soon_threadsafe(future.set_exception, error)
        else:
            loop.call_soon_threadsafe(future.set_result, result)

    thread = threading.Thread(target=live, name="test")
    _in_threads[future] = thread
    future.add_done_callback(_joined)
    thread.start()
    await asyncio.wait([future])  # which, cancelled, leaves the future as it is
    return future.result()


def _joined(future: asyncio.Future[Any]) -> None:
    future.exception()  # looked at, whoever takes it
    _in_threads.pop(future).join()


async def threads_ended(patience: float) -> None:
    """Waits for all threads of `in_thread`: each tells its end to a loop that must still live."""
    if _in_threads:
        _, hung = await asyncio.wait(_in_threads, timeout=patience)
        assert not hung, f"threads of the test hang: {[_in_threads[one] for one in hung]}"


async def _iterate(items: Generator[Result, None, None]) -> AsyncGenerator[Result, None]:
    try:
        while taken := await in_thread(lambda: [*_first(items)]):
            yield taken.pop()
    finally:
        if (
            inspect.getgeneratorstate(items) != inspect.GEN_RUNNING
        ):  # else this wait is cancelled, and the thread goes on
            items.close()


def _first(items: Generator[Result, None, None]) -> Generator[Result, None, None]:
    try:
        yield next(items)
    except StopIteration:
        return


class Handle:
    """A `longcall.sync.RequestHandle` in threads."""

    def __init__(self, handle: longcall.sync.RequestHandle) -> None:
        self._sync = handle

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._sync, name)
        if not callable(value) or name == "detach":
            return value
        return lambda *args, **kwargs: in_thread(lambda: value(*args, **kwargs))

    def __aiter__(self) -> AsyncGenerator[Event, None]:
        return _iterate(iter(self._sync))


class SyncClient:
    """A `longcall.sync.Client` in threads. What it calls is called in the loop of the test."""

    def __init__(self, url: str, token: Any = None, **arguments: Any) -> None:
        loop = asyncio.get_running_loop()
        for name in ("on_state", "on_announcement"):
            if name in arguments:
                tell = partial(loop.call_soon_threadsafe, arguments[name])
                arguments[name] = tell
        self._sync = longcall.sync.connect(url, token, **arguments)

    async def __aenter__(self) -> Self:
        self._sync.__enter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await in_thread(lambda: self._sync.__exit__(*error))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._sync, name)
        if not callable(value):
            return value
        if name == "attach":
            return lambda id: Handle(value(id))
        if name in ("states", "requests", "map"):
            return lambda *args, **kwargs: _iterate(value(*args, **kwargs))
        return lambda *args, **kwargs: self._call(value, args, kwargs)

    async def _call(self, method: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        loop = asyncio.get_running_loop()
        for name, given in kwargs.items():
            if inspect.iscoroutinefunction(given):

                def plain(event: Event, given: Any = given) -> object:
                    return asyncio.run_coroutine_threadsafe(given(event), loop).result()

                kwargs[name] = plain
        answer = await in_thread(lambda: method(*args, **kwargs))
        return Handle(answer) if isinstance(answer, longcall.sync.RequestHandle) else answer


async def fire_timer(client: Client) -> None:
    """Has a client look at its clock."""
    if isinstance(client, SyncClient):
        inner = client._sync._connection
        started = inner.client._connection
        await in_thread(lambda: inner.do(started._on_timer))
    else:
        client._connection._on_timer()


FRONTS: dict[str, Connect] = {
    "asyncio": longcall.connect,
    "sync": cast("Connect", SyncClient),
}


async def collect(handle: longcall.RequestHandle[Any, Any]) -> list[Event[Any]]:
    """Iterates over all events of a handle."""
    if isinstance(either := cast("object", handle), Handle):
        return await in_thread(lambda: list(either._sync))
    return [event async for event in handle]
