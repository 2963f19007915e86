# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ASYNC109 - a caller's patience is a part of the protocol (PROTOCOL 9.3)
"""A request that the server has: its events, its result, from anywhere and at any time."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from ..actions import Action, ChunkT, ResultT
from ..errors import ConfigurationError, Detached, WaitTimeout
from ..events import Chunk, Download, Event, Progress, Snapshot, Status
from ..options import EndTrace, http_base
from ..protocol import Ending, EventReader, Question, TrackedRequest
from .connection import Connection, TokenFailed
from .iteration import BatchIterator, EventIterator
from .usage import Usage

logger = logging.getLogger("longcall")

Answer = TypeVar("Answer")
EventT = TypeVar("EventT")
Callback: TypeAlias = Callable[[EventT], object | Awaitable[object]]
"""A function of the application, plain or async. What it raises is logged, never more."""


@dataclass(frozen=True, slots=True)
class Callbacks(Generic[ChunkT]):
    """What `call` tells the application meanwhile."""

    on_progress: Callback[Progress] | None = None
    on_chunk: Callback[Chunk[ChunkT]] | None = None
    on_status: Callback[Status] | None = None

    def of(self, event: Event[ChunkT]) -> Callable[[Any], object] | None:
        match event:
            case Progress():
                return self.on_progress
            case Chunk():
                return self.on_chunk
            case Status():
                return self.on_status

    def __bool__(self) -> bool:
        return any((self.on_progress, self.on_chunk, self.on_status))


class RequestHandle(Generic[ResultT, ChunkT]):
    """A request, wherever it was submitted. Iterate it for its events; PROTOCOL 9.2.

    ::

        async for event in handle:
            match event:
                case Progress(percentage=percentage): ...
                case Chunk(data=data): ...
        result = await handle

    Each start of an iteration yields the log from event 1, whatever happens to the connection, and
    ends at the terminal event only; how the request ended is told by `result()`, and by awaiting
    the handle, which is the same. When the handle ends in another way (the request is gone, the
    client is closed), the iteration raises that.

    Leaving early, by `break`, by an exception or because the task is cancelled, only detaches: the
    request goes on, and the handle can be used again. With `cancel_on_exit=True` the server is
    asked to end the request as well. The end of a `timeout` never cancels.

    An application that takes events slowly costs bounded memory: an iterator that holds as much as
    it may (`Options.reader`) pauses, and goes on from its place on the server's log.
    """

    def __init__(
        self,
        connection: Connection,
        state: TrackedRequest,
        action: Action[Any, ResultT, ChunkT],
        *,
        keeps_first: bool = True,
        cancel_on_exit: bool = False,
        end_trace: EndTrace | None = None,
    ) -> None:
        self._connection = connection
        self._state = state
        self._action = action
        self._usage = Usage(connection, state, cancel_on_exit=cancel_on_exit)
        self._usage.trace(end_trace)
        self._first: EventReader | None = None
        if keeps_first:
            with connection.step() as now:
                self._first = connection.protocol.open_reader(state, now, passive=True)

    @property
    def id(self) -> str:
        """The id of the request; `client.attach(id)` comes back to it from anywhere."""
        return self._state.id

    @property
    def is_finished(self) -> bool:
        """True when `result()` returns or raises at once."""
        return self._state.outcome is not None

    def __repr__(self) -> str:
        return f"<RequestHandle {self.id}{' finished' if self.is_finished else ''}>"

    async def result(self, *, timeout: float | None = None) -> ResultT:
        """Waits for the end, and returns the result.

        Args:
            timeout: The caller's patience in seconds; None: for ever. Its end cancels nothing.

        Raises:
            WaitTimeout: The patience ended; the request goes on.
            RequestError: The request failed, was cancelled or timed out on the server.
            InvalidResult: The result does not fit the type of the `Action`.
            ConnectionClosed: The client is closed for good.
            Detached: This handle was detached.
        """
        state = self._state
        with self._usage.wait():
            with self._connection.step() as now:
                self._connection.protocol.add_waiter(state, now)
            try:
                async with self._patience(timeout):
                    await self._connection.wait(
                        state.changed, lambda: state.outcome is not None or self._usage.is_detached
                    )
            finally:
                with self._connection.step() as now:
                    self._connection.protocol.remove_waiter(state, now)
        outcome = state.outcome
        if outcome is None:
            raise Detached(self.id)
        if outcome.error is not None:
            raise outcome.error._with(attempt=state.attempt)
        return self._action._decode_result(outcome.result, self.id)

    def __await__(self) -> Generator[Any, None, ResultT]:
        return self.result().__await__()

    def __aiter__(self) -> EventIterator[ChunkT]:
        return EventIterator(self._batches(1))

    def _batches(self, size: int) -> BatchIterator[ChunkT]:
        """Iterates over what has arrived, at most `size` events at once. For the front ends."""
        return BatchIterator(
            self._connection,
            self._state,
            self._usage,
            self._open_reader,
            decode=lambda data: self._action._decode_chunk(data, self.id),
            size=size,
        )

    def _open_reader(self) -> EventReader:
        first, self._first = self._first, None
        return self._usage.open_reader(first)

    async def snapshot(self, *, timeout: float | None = None) -> Snapshot:
        """Returns how the request stands, read by the server after this call.

        Args:
            timeout: The caller's patience in seconds; None: for ever.

        Raises:
            WaitTimeout: The patience ended.
            NotFoundError: It is gone, or was never stored: it was answered at once.
            ConnectionClosed: The client is closed for good.
            Detached: This handle was detached.
        """
        with self._usage.wait(releases=False):
            with self._connection.step() as now:
                question = self._connection.protocol.snapshot(self._state, now)
            answer = await self._answer(question, timeout)
        assert answer is not None
        return answer

    async def cancel(self, reason: str | None = None, *, timeout: float | None = None) -> None:
        """Asks the server to end the request, and returns when it has taken that.

        The end itself comes as every end does: `result()` raises `RequestCancelledError`, or
        returns the result that was there before. To cancel what has ended does nothing.

        Args:
            reason: Why, in words; the first one given comes with the error. PROTOCOL 10.14.
            timeout: The caller's patience in seconds; None: for ever.

        Raises:
            WaitTimeout: The patience ended; the cancel is still sent.
            NotFoundError: There is no such request.
            ConnectionClosed: The client is closed for good.
            Detached: This handle was detached.
        """
        with self._usage.wait(releases=False):
            with self._connection.step() as now:
                question = self._connection.protocol.cancel(self._state, reason, now)
            await self._answer(question, timeout)

    def detach(self) -> None:
        """Ends this handle, here only: the request goes on. Iterations of it raise `Detached`."""
        if self._first is not None and not self._usage.is_detached:
            self._usage.close_reader(self._first)
            self._first = None
        self._usage.detach()

    async def download(
        self, name: str, path: str | os.PathLike[str], *, timeout: float = 60.0
    ) -> Download:
        """Downloads a file of the finished request over HTTP, and checks it.

        It is written beside `path` and put in its place only when it is whole and its SHA-256 is
        the one that the server announced.

        Args:
            name: The file's name, as the handler gave it.
            path: Where to put it; a folder: there, under its own name.
            timeout: Seconds that the server may be silent.

        Raises:
            NotFoundError: There is no such file (any more).
            RequestError: The server refused.
            DownloadError: It did not arrive whole.
            ConfigurationError: The name is no name of a file, or there was no token.
            OSError: It cannot be written, or the server cannot be reached.
        """
        token = await self._download_token()
        stopped = threading.Event()
        try:
            return await asyncio.to_thread(
                self._download, name, path, token=token, timeout=timeout, stopped=stopped
            )
        finally:
            stopped.set()  # a thread cannot be cancelled; it looks at this between two blocks

    # For `Client`, and for the front end without a loop.

    async def _download_token(self) -> str | None:
        try:
            return await self._connection.fetch_token("connect")
        except TokenFailed as failed:
            raise ConfigurationError(str(failed)) from None

    def _download(
        self,
        name: str,
        path: str | os.PathLike[str],
        *,
        token: str | None,
        timeout: float,
        stopped: threading.Event,
    ) -> Download:
        """Downloads in this thread, and blocks it."""
        # All of http and email is imported for it, and few programs download.
        from ..download import download_file  # noqa: PLC0415

        return download_file(
            http_base(self._connection.url),
            self.id,
            name,
            Path(path),
            token=token,
            headers=self._connection.options.headers,
            timeout=timeout,
            stopped=stopped,
        )

    async def _settle(self, timeout: float | None) -> None:
        """Waits until the server is known to have the request; raises its refusal."""
        state = self._state
        with self._usage.wait():
            async with self._patience(timeout):
                await self._connection.wait(state.changed, lambda: state.is_settled)
        outcome = state.outcome
        if outcome is not None and outcome.error is not None and outcome.ending is Ending.LOSS:
            raise outcome.error._with()

    def _leave(self) -> None:
        """Ends this handle at once, as leaving an iteration early does."""
        self._usage.detach(exits=True)

    async def _run(self, callbacks: Callbacks[ChunkT], timeout: float | None) -> ResultT:
        """Calls the application for each event until the end, and returns the result."""
        # Whoever waits inside is cancelled by the end of the patience; only here it is known why.
        with self._usage.wait():
            async with self._patience(timeout):
                if callbacks:
                    await self._watch(callbacks)
                return await self.result()

    async def _watch(self, callbacks: Callbacks[ChunkT]) -> None:
        async with aclosing(aiter(self)) as events:
            async for event in events:
                if (callback := callbacks.of(event)) is not None:
                    try:
                        answer = callback(event)
                        if inspect.isawaitable(answer):
                            await answer
                    except Exception:  # PROTOCOL 9.9.1
                        logger.exception("a callback of request %s failed", self.id)

    @asynccontextmanager
    async def _patience(self, timeout: float | None) -> AsyncIterator[None]:
        """Raises `WaitTimeout` when the caller's patience ends. PROTOCOL 9.3.2."""
        is_anothers = False
        try:
            async with self._connection.patience(timeout):
                try:
                    yield
                except TimeoutError:
                    is_anothers = True  # what the application raised
                    raise
        except TimeoutError:
            if is_anothers:
                raise
            state = self._state
            raise WaitTimeout(
                self.id, sent=state.sends > 0 or state.is_stored, acknowledged=state.is_stored
            ) from None

    async def _answer(self, question: Question[Answer], timeout: float | None) -> Answer | None:
        async with self._patience(timeout):
            await self._connection.wait(
                question.changed, lambda: question.is_answered or self._usage.is_detached
            )
        if question.error is not None:
            raise question.error._with()
        if not question.is_answered:
            raise Detached(self.id)
        return question.answer
