# SPDX-License-Identifier: Apache-2.0
"""The WebSocket of a connection on which messages are compressed (PROTOCOL 2.6)."""

from __future__ import annotations

import zlib
from typing import Any

from aiohttp import WSCloseCode, WSMessage, WSMsgType

from longcall_server.gateway.deflate import Deflater, text_frame
from longcall_server.gateway.socket import Socket


class DeflatingSocket(Socket):
    """One that compresses, if the client has offered to take that."""

    def __init__(
        self, deflater: Deflater, *, max_message_bytes: int, close_timeout_ms: int
    ) -> None:
        super().__init__(
            max_message_bytes=max_message_bytes, close_timeout_ms=close_timeout_ms, compress=True
        )
        self._deflater = deflater
        self._max_message_bytes = max_message_bytes

    def post(self, data: bytes, kind: WSMsgType = WSMsgType.TEXT) -> int:
        if kind is not WSMsgType.TEXT:
            return super().post(data, kind)
        # The library would compress long messages in a thread, and wait for it.
        payload = self._deflater.deflate(data, self.compress) if self.compress else None
        transport = self.transport
        if self.closed or transport is None or transport.is_closing():
            raise ConnectionResetError("the socket is closed")
        frame = text_frame(data) if payload is None else text_frame(payload, compressed=True)
        transport.write(frame)
        return len(frame)

    async def receive(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109  # the library's
        message = await super().receive(timeout)
        if (
            message.type is WSMsgType.TEXT
            and self.compress
            and is_longer(message.data, self._max_message_bytes)
        ):
            # Of what was compressed the library lets one byte more pass.
            await self.close(code=WSCloseCode.MESSAGE_TOO_BIG)
            return WSMessage(WSMsgType.ERROR, None, None)
        return message

    async def close(
        self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True
    ) -> bool:
        if isinstance(self.exception(), zlib.error):
            # What does not decompress is no text (RFC 6455 7.4.1).
            code = WSCloseCode.INVALID_TEXT
        return await super().close(code=code, message=message, drain=drain)


def is_longer(text: str, limit: int) -> bool:
    """Whether a text has more bytes of UTF-8 than this."""
    size = len(text)
    return size > limit or (size * 4 > limit and not text.isascii() and len(text.encode()) > limit)
