# SPDX-License-Identifier: Apache-2.0
"""A request that the server has: its events, its result, from anywhere and at any time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Final, Generic, TypeAlias, TypeVar

from ..actions import ChunkT, ResultT
from ..asyncio.handle import RequestHandle as AsyncHandle
from ..errors import Detached
from ..events import Download, Event, Snapshot
from .connection import Connection

EventT = TypeVar("EventT")
Callback: TypeAlias = Callable[[EventT], object]
"""A plain function of the application. What it raises is logged, never more."""

BATCH: Final = 64
"""Events that are taken from the event loop at once."""


class RequestHandle(Generic[ResultT, ChunkT]):
    """A request, wherever it was submitted. Iterate it for its events; PROTOCOL 9.2.

    ::

        for event in handle:
            match event:
                case Progress(percentage=percentage): ...
                case Chunk(data=data): ...
        result = handle.result()

    Each start of an iteration yields the log from event 1, whatever happens to the connection, and
    ends at the terminal event only; how the request ended is told by `result()`. When the handle
    ends in another way (the request is gone, the client is closed), the iteration raises that.

    Leaving early, by `break`, by an exception or by Ctrl-C, only detaches: the request goes on, and
    the handle can be used again. With `cancel_on_exit=True` the server is asked to end the request
    as well. The end of a `timeout` never cancels.

    An application that takes events slowly costs bounded memory, twice `Options.reader`: an
    iterator that holds as much as it may pauses, and goes on from its place on the server's log.

    It may be used from any thread, by several at once; each iteration belongs to one of them.
    """

    def __init__(
        self, connection: Connection, handle: AsyncHandle[ResultT, ChunkT], client: object
    ) -> None:
        self._connection = connection
        self._handle = handle
        self._client = client  # which is closed when nobody has it any more
        self._is_detached = False

    @property
    def id(self) -> str:
        """The id of the request; `client.attach(id)` comes back to it from anywhere."""
        return self._handle.id

    @property
    def is_finished(self) -> bool:
        """True when `result()` returns or raises at once."""
        self._connection.check_process()
        return self._handle.is_finished

    def __repr__(self) -> str:
        return repr(self._handle)

    def result(self, *, timeout: float | None = None) -> ResultT:
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
        return self._connection.run(lambda: self._handle.result(timeout=timeout))

    def __iter__(self) -> Generator[Event[ChunkT], None, None]:
        with closing(self._connection.iterate(lambda: self._handle._batches(BATCH))) as batches:
            for batch in batches:
                for event in batch:
                    self._connection.check_process()
                    if self._is_detached:
                        raise Detached(self.id)
                    yield event

    def snapshot(self, *, timeout: float | None = None) -> Snapshot:
        """Returns how the request stands, read by the server after this call.

        Args:
            timeout: The caller's patience in seconds; None: for ever.

        Raises:
            WaitTimeout: The patience ended.
            NotFoundError: It is gone, or was never stored: it was answered at once.
            ConnectionClosed: The client is closed for good.
            Detached: This handle was detached.
        """
        return self._connection.run(lambda: self._handle.snapshot(timeout=timeout))

    def cancel(self, reason: str | None = None, *, timeout: float | None = None) -> None:
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
        self._connection.run(lambda: self._handle.cancel(reason, timeout=timeout))

    def detach(self) -> None:
        """Ends this handle, here only: the request goes on. Iterations of it raise `Detached`."""
        self._connection.do(self._handle.detach)
        self._is_detached = True

    def download(
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
        token = self._connection.run(self._handle._download_token)
        return self._handle._download(
            name, path, token=token, timeout=timeout, stopped=threading.Event()
        )
