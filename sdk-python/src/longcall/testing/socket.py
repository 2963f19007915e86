# SPDX-License-Identifier: Apache-2.0
"""A WebSocket in memory, seen from the client."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol


class Peer(Protocol):
    """The other end. Called in the client's loop."""

    def on_text(self, text: str) -> None:
        """A message of the client arrived."""

    def on_drained(self) -> None:
        """The client has taken all that was delivered."""

    def on_closed(self, code: int | None) -> None:
        """The client has closed; None: it cut the connection."""


class MemorySocket:
    """What `longcall.asyncio.transport.Transport` is over a network.

    The server's end may be used from any thread: `deliver` and `end` arrive in their order.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[str] = deque()
        self._delivered = self._arrived = 0
        self._wake = asyncio.Event()
        self._ended: tuple[int | None, str] | None = None
        self._limit: int | None = None
        self.peer: Peer | None = None

    # The client's end: a `Socket`.

    @property
    def fileno(self) -> int:
        """-1: there is no file."""
        return -1

    def send(self, text: str) -> None:
        if self._ended is None and self.peer is not None:
            self.peer.on_text(text)

    def set_read_limit(self, max_bytes: int) -> None:
        self._limit = max_bytes

    def close(self, code: int, reason: str) -> None:
        self._close(code, reason)

    def abort(self) -> None:
        self._close(None, "the connection was lost")

    async def run(self, take: Callable[[str | bytes], None]) -> tuple[int | None, str]:
        """Hands each message to `take` until the socket is closed; as `Transport.run` does."""
        try:
            while True:
                while self._inbox:
                    text = self._inbox.popleft()
                    if self._limit is not None and len(text.encode()) > self._limit:
                        self._close(1009, "message too big")
                        break
                    take(text)
                if self._ended is not None:
                    return self._ended
                if self.backlog == 0 and self.peer is not None:
                    self.peer.on_drained()
                self._wake.clear()
                await self._wake.wait()
        finally:
            self._close(None, "")

    def _close(self, code: int | None, reason: str) -> None:
        if self._ended is None:
            self._ended = None, reason  # by the client: no word of the server
            self._inbox.clear()
            if self.peer is not None:
                self.peer.on_closed(code)
            self._wake.set()

    # The server's end.

    @property
    def backlog(self) -> int:
        """How many texts the client has not taken yet."""
        return self._delivered - self._arrived + len(self._inbox)

    def deliver(self, text: str) -> None:
        """Sends a text to the client."""
        self._delivered += 1
        self._soon(lambda: self._arrive(text))

    def end(self, code: int | None, reason: str) -> None:
        """Ends the connection behind what was sent; None: it is lost."""
        self._soon(lambda: self._end(code, reason))

    def _soon(self, act: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # it is closed, perhaps just now
            self._loop.call_soon_threadsafe(act)

    def _arrive(self, text: str) -> None:
        self._arrived += 1
        if self._ended is None:
            self._inbox.append(text)
            self._wake.set()

    def _end(self, code: int | None, reason: str) -> None:
        if self._ended is None:
            self._ended = code, reason
            self._wake.set()
