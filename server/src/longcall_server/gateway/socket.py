# SPDX-License-Identifier: Apache-2.0
"""The WebSocket of one connection, as the protocol wants it from aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest

from longcall_server.gateway.deflate import head_bytes
from longcall_server.gateway.framing import GuardedReader

CONNECT_PATH: Final = "/v1/connect"
SUBPROTOCOL: Final = "longcall.v1"

_LOOK_S = 0.02
_NEVER_BY_ITSELF = 1 << 62


class Socket(web.WebSocketResponse):
    """Differs in five things.

    It never waits for the peer while it sends, so that a frame is handed over in one go: the outbox
    waits. It answers no ping by itself: whoever sends pings and takes no pongs would have it hold
    them without end. And where the peer broke RFC 6455 or sent too much, it goes on taking what is
    still on its way for a while: a socket closed before that is reset, and the peer would never
    learn why. What the library lets pass against RFC 6455 is stopped before it (see `framing`), and
    a close frame is answered with its own code, or with 1002 where that may not be sent.
    """

    def __init__(
        self, *, max_message_bytes: int, close_timeout_ms: int, compress: bool = False
    ) -> None:
        super().__init__(
            protocols=(SUBPROTOCOL,),
            compress=compress,
            autoping=False,
            # The library refuses what reaches its limit; the protocol, what passes it.
            max_msg_size=max_message_bytes + 1,
            writer_limit=_NEVER_BY_ITSELF,
            timeout=close_timeout_ms / 1000,
            autoclose=False,
        )
        self._linger_s = close_timeout_ms / 1000
        self._transport: asyncio.Transport | None = None
        self._is_paused = False

    def post(self, data: bytes, kind: WSMsgType = WSMsgType.TEXT) -> int:
        """Hands a frame over; how many bytes it has. Raises `ConnectionError` if the socket is
        closed."""
        sending = self.send_frame(data, kind)
        try:
            sending.send(None)
        except StopIteration:
            return len(data) + head_bytes(len(data))
        sending.close()
        raise RuntimeError("the library waits although its limit is never reached")

    def pause_reading(self) -> None:
        """Takes nothing more from the network; the library would go on with one more message."""
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()
            self._is_paused = True

    def resume_reading(self) -> None:
        """Goes on, if it was paused."""
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            with contextlib.suppress(RuntimeError):  # closed meanwhile
                self._transport.resume_reading()

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter:
        self._transport = request.transport
        return await super().prepare(request)

    def _post_start(self, request: BaseRequest, protocol: str | None, writer: Any) -> None:
        # What came with the upgrade must pass the guard too: the library would read it in here.
        connection = request.protocol
        early, connection._message_tail = connection._message_tail, b""
        super()._post_start(request, protocol, writer)
        guard = GuardedReader(connection._payload_parser, self._reader)
        connection._payload_parser = guard
        if early:
            guard.feed_data(early)

    async def receive(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109  # the library's
        message = await super().receive(timeout)
        if message.type is WSMsgType.CLOSE:
            code = message.data or WSCloseCode.OK
            if not _is_sendable(code):
                code = WSCloseCode.PROTOCOL_ERROR
            # The client may be gone already: nothing waits for it to read.
            await super().close(code=code, drain=False)
        return message

    async def close(
        self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True
    ) -> bool:
        if code in _VIOLATIONS and not self.closed and self._transport is not None:
            with contextlib.suppress(ConnectionError):
                await self.send_frame(code.to_bytes(2, "big") + message, WSMsgType.CLOSE)
            await self._linger(self._transport)
            self._transport.close()
        return await super().close(code=code, message=message, drain=drain)

    @property
    def transport(self) -> asyncio.Transport | None:
        """What frames are written to."""
        return self._transport

    async def _linger(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._linger_s
        while not transport.is_closing():
            if loop.time() >= ends_at:
                return
            await asyncio.sleep(_LOOK_S)


def _is_sendable(code: int) -> bool:
    """Whether a close frame may carry this code (RFC 6455 7.4, and the registry of IANA)."""
    return (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999


_VIOLATIONS: Final[frozenset[Any]] = frozenset(
    {
        WSCloseCode.PROTOCOL_ERROR,
        WSCloseCode.INVALID_TEXT,
        WSCloseCode.MESSAGE_TOO_BIG,
    }
)
