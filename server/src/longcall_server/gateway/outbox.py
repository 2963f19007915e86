# SPDX-License-Identifier: Apache-2.0
"""What leaves one connection: in order, at the pace of the socket, bounded (PROTOCOL 6.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import WSMsgType
from aiohttp.abc import AbstractStreamWriter

from longcall_server.gateway.socket import Socket

_LEAST_HIGH_WATER = 65_536
_CHECKS_A_STALL = 4


class Gone(Exception):
    """The socket is closed: nothing more can be sent."""


class Outbox:
    """Sends text frames.

    `send` hands the frame to the socket before it first gives way, so that frames leave in the
    order of the calls; then it waits while the socket holds more than its share. Who is held up
    there, and who asks `is_blocked` before taking in more, keep the memory bounded.
    """

    __slots__ = (
        "_held_up",
        "_high",
        "_on_stall",
        "_room",
        "_stall_timeout",
        "_taken",
        "_taken_at",
        "_transport",
        "_watch",
        "_writer",
        "_written",
        "_ws",
    )

    def __init__(
        self,
        ws: Socket,
        transport: asyncio.Transport,
        writer: AbstractStreamWriter,
        *,
        buffer_bytes: int,
        max_message_bytes: int,
        stall_timeout_ms: int,
        on_stall: Callable[[], None],
    ) -> None:
        self._ws = ws
        self._transport = transport
        self._writer = writer
        self._stall_timeout = stall_timeout_ms / 1000
        self._on_stall = on_stall
        self._held_up = 0
        self._written = 0
        self._room: asyncio.Future[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._taken = 0
        self._taken_at = 0.0
        # One frame more can come on top of this mark.
        self._high = max(buffer_bytes - max_message_bytes, _LEAST_HIGH_WATER)
        transport.set_write_buffer_limits(high=self._high)

    async def send(self, text: str) -> None:
        """Sends a frame; raises `Gone` if that cannot be."""
        data = text.encode()
        try:
            await self._ws.send_frame(data, WSMsgType.TEXT)
        except (ConnectionError, RuntimeError) as error:
            raise Gone from error
        size = len(data)
        self._written += size + (2 if size < 126 else 4 if size < 65_536 else 10)
        unsent = self._transport.get_write_buffer_size()
        if unsent:
            if self._watch is None:
                self._begin_watch()
            if unsent > self._high:
                await self._drain()

    @property
    def is_blocked(self) -> bool:
        """Whether the bound is reached: nothing should be read that makes more to send."""
        return self._held_up > 0

    @property
    def is_waiting(self) -> bool:
        """Whether the peer has not taken everything yet."""
        return self._transport.get_write_buffer_size() > 0

    async def room(self) -> None:
        """Waits until the bound is no longer reached."""
        while self._held_up:
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)

    async def _drain(self) -> None:
        self._held_up += 1
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise Gone from error
        finally:
            self._held_up -= 1
            if not self._held_up and self._room is not None:
                self._room.set_result(None)
                self._room = None

    async def close(self, code: int, reason: str, timeout_ms: int) -> None:
        """Says goodbye and closes; a peer that does not answer in time is cut off."""
        self.stop()
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await self._ws.close(code=code, message=reason.encode())
        except (TimeoutError, ConnectionError):
            pass
        finally:
            # A stalled peer would keep the socket, and all that is unsent, for ever.
            self._transport.abort()

    def stop(self) -> None:
        """Watches the peer no more."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _begin_watch(self) -> None:
        loop = asyncio.get_running_loop()
        self._taken = self._count_taken()
        self._taken_at = loop.time()
        self._watch = loop.call_later(self._stall_timeout / _CHECKS_A_STALL, self._check)

    def _check(self) -> None:
        self._watch = None
        if not self.is_waiting or self._transport.is_closing():
            return
        loop = asyncio.get_running_loop()
        taken = self._count_taken()
        if taken > self._taken:
            self._taken, self._taken_at = taken, loop.time()
        elif loop.time() - self._taken_at >= self._stall_timeout:
            self._on_stall()
            return
        self._watch = loop.call_later(self._stall_timeout / _CHECKS_A_STALL, self._check)

    def _count_taken(self) -> int:
        return self._written - self._transport.get_write_buffer_size()
