# SPDX-License-Identifier: Apache-2.0
"""Many requests of one action, bounded in flight."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
)
from contextlib import aclosing
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

from ..errors import ConnectionClosed, LongcallError, QueueFull
from ..events import MapItem
from .connection import Connection
from .handle import Callbacks, RequestHandle

PayloadT = TypeVar("PayloadT")
ResultT = TypeVar("ResultT")
Submit: TypeAlias = Callable[[PayloadT], RequestHandle[ResultT, Any]]


class MapIterator(AsyncIterator[MapItem[PayloadT, ResultT]], Generic[PayloadT, ResultT]):
    """What `async for` takes the items of `client.map` from.

    Who leaves the loop early, by `break`, by an exception or because the task is cancelled, leaves
    all requests that are not finished, at that moment: they go on, or are cancelled with
    `cancel_on_exit`.
    """

    def __init__(self, mapping: Mapping[PayloadT, ResultT]) -> None:
        self._mapping = mapping

    async def __anext__(self) -> MapItem[PayloadT, ResultT]:
        try:
            return await self._mapping.next()
        except asyncio.CancelledError:
            # Whoever iterates may be kept alive by this very exception, for a long time.
            self._mapping.leave()
            raise

    async def aclose(self) -> None:
        """Leaves the iteration, and waits until nothing of it is left here."""
        self._mapping.leave()
        await self._mapping.ended()

    def __del__(self) -> None:
        # Its tasks know the mapping only, so that this is seen when nobody iterates any more.
        self._mapping.connection.soon(self._mapping.leave)


class Mapping(Generic[PayloadT, ResultT]):
    """The requests of one `map`: a window over the payloads.

    A payload is taken from its iterable when there is room: `size` counts what is submitted and
    not yet taken by the application, finished or not. So a slow application slows all down to its
    own pace, and an endless iterable is fine.
    """

    def __init__(
        self,
        connection: Connection,
        payloads: Iterable[PayloadT] | AsyncIterable[PayloadT],
        submit: Submit[PayloadT, ResultT],
        *,
        size: int,
        ordered: bool,
        timeout: float | None,
    ) -> None:
        self.connection = connection
        self._payloads = payloads
        self._submit = submit
        self._size = size
        self._ordered = ordered
        self._timeout = timeout
        self._tasks: set[asyncio.Task[None]] = set()
        self._handles: set[RequestHandle[ResultT, Any]] = set()
        self._ready: deque[MapItem[PayloadT, ResultT]] = deque()
        self._finished: dict[int, MapItem[PayloadT, ResultT]] = {}  # out of turn
        self._failure: BaseException | None = None
        self._begun = 0
        self._taken = 0
        self._turn = 0
        self._is_begun = False
        self._is_exhausted = False
        self._is_broken = False  # an item never comes, and whoever waits for it is told why
        self._has_left = False
        self._changed = asyncio.Event()  # there is something to take, or never will be
        self._took = asyncio.Event()  # the application has taken something

    async def next(self) -> MapItem[PayloadT, ResultT]:
        """Waits for the next item.

        Raises:
            StopAsyncIteration: There are no more.
            ConnectionClosed: The client is closed for good.
            Exception: What the iterable of payloads raised, behind the items before it; what the
                application's `id`, or a type of its own, raised, as soon as that is known.
        """
        if not self._is_begun:
            self._is_begun = True
            self._spawn(self._feed())
        while not self._ready:
            if self._is_broken or self._is_over:
                failure, self._failure = self._failure, None
                self.leave()
                raise failure or StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        self._taken += 1
        self._took.set()
        return self._ready.popleft()

    @property
    def _is_over(self) -> bool:
        return self._has_left or (self._is_exhausted and self._taken == self._begun)

    def leave(self) -> None:
        """Leaves what is not finished. For the loop alone."""
        if self._has_left:
            return
        self._has_left = True
        for handle in tuple(self._handles):
            handle._leave()
        for task in self._tasks:
            task.cancel()
        self._changed.set()

    async def ended(self) -> None:
        """Waits until no task is left."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _feed(self) -> None:
        try:
            async with aclosing(_each(self._payloads)) as payloads:
                async for payload in payloads:
                    self._spawn(self._one(self._begun, payload))
                    self._begun += 1
                    while self._begun - self._taken >= self._size:
                        self._took.clear()
                        await self._took.wait()
        except Exception as error:
            self._failure = error
        self._is_exhausted = True
        self._changed.set()

    async def _one(self, index: int, payload: PayloadT) -> None:
        handle: RequestHandle[ResultT, Any] | None = None
        result: ResultT | None = None
        error: LongcallError | None = None
        try:
            handle = await self._submitted(payload)
            self._handles.add(handle)
            result = await handle._run(Callbacks(), self._timeout)
        except ConnectionClosed:
            raise
        except LongcallError as failed:
            error = failed
        finally:
            if handle is not None:
                self._handles.discard(handle)
        request_id = None if handle is None else handle.id
        self._deliver(MapItem(index, payload, request_id, error, result))

    async def _submitted(self, payload: PayloadT) -> RequestHandle[ResultT, Any]:
        """Submits, as soon as the client's queue takes it."""
        protocol = self.connection.protocol
        while True:
            try:
                return self._submit(payload)
            except QueueFull:
                if not protocol.waiting:
                    raise  # it alone is more than the queue may hold
                before = protocol.waiting
                await self.connection.wait(protocol.room, partial(self._is_below, before))

    def _is_below(self, waiting: int) -> bool:
        return self.connection.protocol.waiting < waiting

    def _deliver(self, item: MapItem[PayloadT, ResultT]) -> None:
        if self._ordered:
            self._finished[item.index] = item
            while (due := self._finished.pop(self._turn, None)) is not None:
                self._ready.append(due)
                self._turn += 1
        else:
            self._ready.append(item)
        self._changed.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.connection.spawn(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error: BaseException | None
        if task.cancelled():  # by the client, which is closed
            state = self.connection.protocol.state
            error = ConnectionClosed(state.code, state.reason)
        else:
            error = task.exception()
        if error is not None and not self._has_left and not self._is_broken:
            self._failure, self._is_broken = error, True
            self._changed.set()


async def _each(
    payloads: Iterable[PayloadT] | AsyncIterable[PayloadT],
) -> AsyncGenerator[PayloadT, None]:
    if isinstance(payloads, AsyncIterable):
        async for payload in payloads:
            yield payload
    else:
        for payload in payloads:
            yield payload
