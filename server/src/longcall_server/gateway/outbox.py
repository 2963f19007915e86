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
    """Sends text frames, in the order of the calls.

    `post` hands a frame to the socket at once. `send` then waits while the socket holds more than
    its share: whoever can produce without end uses it, and who asks `is_blocked` before taking in
    what makes more to send keeps the rest bounded.
    """

    __slots__ = (
        "_high",
        "_is_shut",
        "_on_stall",
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
        self._is_shut = False
        self._written = 0
        self._watch: asyncio.TimerHandle | None = None
        self._taken = 0
        self._taken_at = 0.0
        # One frame more can come on top of this mark.
        self._high = max(buffer_bytes - max_message_bytes, _LEAST_HIGH_WATER)
        transport.set_write_buffer_limits(high=self._high)

    def post(self, text: str) -> None:
        """Sends a frame; raises `Gone` if that cannot be."""
        self._hand_over(text.encode(), WSMsgType.TEXT)

    def pong(self, data: bytes) -> None:
        """Answers a ping frame of RFC 6455; raises `Gone` if that cannot be."""
        self._hand_over(data, WSMsgType.PONG)

    def _hand_over(self, data: bytes, kind: WSMsgType) -> None:
        if self._is_shut:
            raise Gone
        try:
            self._written += self._ws.post(data, kind)
        except ConnectionError as error:
            raise Gone from error
        if self._watch is None and self.is_waiting:
            self._begin_watch()

    async def send(self, text: str) -> None:
        """Sends a frame, then waits for room."""
        self.post(text)
        if self.is_blocked:
            await self.room()

    @property
    def is_blocked(self) -> bool:
        """Whether the bound is reached: nothing should be read that makes more to send."""
        return self._transport.get_write_buffer_size() > self._high

    @property
    def is_gone(self) -> bool:
        """Whether the socket is closed: nothing that is sent gets anywhere."""
        return self._transport.is_closing()

    @property
    def is_waiting(self) -> bool:
        """Whether the peer has not taken everything yet."""
        return self._transport.get_write_buffer_size() > 0

    async def room(self) -> None:
        """Waits until the bound is no longer reached; raises `Gone` if that will never be."""
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise Gone from error

    def shut(self) -> None:
        """Takes no more frames: what is sent behind the reason of a close would contradict it."""
        self._is_shut = True

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
