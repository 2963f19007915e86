# SPDX-License-Identifier: Apache-2.0
"""One iteration over the events of a handle."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from pydantic import JsonValue

from ..errors import InvalidResult
from ..events import Chunk, Event
from ..protocol import EventReader, TrackedRequest
from .connection import Connection
from .usage import Usage

ChunkT = TypeVar("ChunkT")


class BatchIterator(AsyncIterator[list[Event[ChunkT]]], Generic[ChunkT]):
    """Gives what has arrived, at most `size` events at once.

    Progress comes first in its batch or not at all: what waits here still becomes newer.

    Who leaves the loop early (`break`, an exception, a cancelled task) leaves the iteration at that
    moment: this is no generator, which the event loop would close some time later. A cancelled
    `anext()` loses nothing: the next one goes on where it was.
    """

    def __init__(
        self,
        connection: Connection,
        state: TrackedRequest,
        usage: Usage,
        open_reader: Callable[[], EventReader],
        *,
        decode: Callable[[JsonValue], ChunkT],
        size: int,
    ) -> None:
        self._connection = connection
        self._state = state
        self._usage = usage
        self._open_reader = open_reader
        self._decode = decode
        self._size = size
        self._reader: EventReader | None = None
        self._is_closed = False
        self._misfit: InvalidResult | None = None  # behind the events that came before it

    async def __anext__(self) -> list[Event[ChunkT]]:
        if self._is_closed:
            raise StopAsyncIteration
        if self._reader is None:
            self._usage.enter()
            self._reader = self._open_reader()
        try:
            batch = await self._next(self._reader)
        except Exception:
            self._close(left_early=False)
            raise
        if not batch:
            self._close(left_early=False)
            raise StopAsyncIteration
        return batch

    async def _next(self, reader: EventReader) -> list[Event[ChunkT]]:
        """Waits for the next events; none: there are no more."""
        connection = self._connection
        if self._misfit is not None:
            raise self._misfit
        while True:
            with connection.step() as now:
                events = connection.protocol.next_events(self._state, reader, self._size, now)
            if events:
                return self._decoded(events)
            self._usage.check_attached()
            if reader.error is not None:
                raise reader.error._with()
            if reader.is_over:
                return []
            await connection.wait(
                reader.changed, lambda: reader.has_news or self._usage.is_detached
            )

    def _decoded(self, events: list[Event]) -> list[Event[ChunkT]]:
        batch: list[Event[ChunkT]] = []
        for event in events:
            if not isinstance(event, Chunk):
                batch.append(event)
                continue
            try:
                batch.append(Chunk(event.seq, event.attempt, self._decode(event.data)))
            except InvalidResult as misfit:
                if not batch:
                    raise
                self._misfit = misfit
                break
        return batch

    async def aclose(self) -> None:
        """Leaves the iteration; does nothing when it has ended."""
        self._close(left_early=True)

    def _close(self, *, left_early: bool) -> None:
        self._is_closed = True
        if self._reader is not None:
            reader, self._reader = self._reader, None
            self._usage.close_reader(reader)
            self._usage.leave(left_early=left_early)

    def __del__(self) -> None:
        if self._reader is not None:  # left by `break`, or by an exception of somebody else
            # The garbage collector comes by in any thread, and in the middle of anything.
            reader, usage = self._reader, self._usage

            def leave() -> None:
                usage.close_reader(reader)
                usage.leave(left_early=True)

            self._connection.soon(leave)


class EventIterator(AsyncIterator[Event[ChunkT]], Generic[ChunkT]):
    """What `async for` takes the events of a handle from; left as a `BatchIterator` is."""

    def __init__(self, batches: BatchIterator[ChunkT]) -> None:
        self._batches = batches  # of one event each

    async def __anext__(self) -> Event[ChunkT]:
        return (await anext(self._batches))[0]

    async def aclose(self) -> None:
        """Leaves the iteration; does nothing when it has ended."""
        await self._batches.aclose()
