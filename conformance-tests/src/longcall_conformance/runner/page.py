# SPDX-License-Identifier: Apache-2.0
"""A driver that is a page: it dials by WebSocket, and each text message is a line.

The frames are the referee's, who writes them by hand: a page under test cannot be told apart from
the suite by a fault of a library that both use.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, Protocol

from ..referee.frames import Opcode, close_payload, encode, read_frame
from ..referee.handshake import read_head, upgrade_response

MESSAGE_LIMIT: Final = 64 * 1024 * 1024


class LineWriter(Protocol):
    """What is needed of a `StreamWriter`; each `write` is one line."""

    def write(self, data: bytes) -> None:
        """Puts a line, with its newline, into the buffer."""

    async def drain(self) -> None:
        """Waits until there is room."""

    def close(self) -> None:
        """Begins to close it."""

    async def wait_closed(self) -> None:
        """Waits until it is closed."""


async def accept_page(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[asyncio.StreamReader, LineWriter]:
    """Answers the upgrade of a page; raises what reading its head raises."""
    _, headers = await read_head(reader)
    writer.write(upgrade_response(headers))
    page = _Page(reader, writer)
    return page.lines, page


class _Page:
    """The runner's end of the WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lines = asyncio.StreamReader(limit=MESSAGE_LIMIT)
        self._reader = reader
        self._writer = writer
        self._task = asyncio.create_task(self._read(), name="driver page")

    async def _read(self) -> None:
        message = b""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ValueError):
            while True:
                frame = await read_frame(self._reader, limit=MESSAGE_LIMIT)
                if frame.opcode == Opcode.CLOSE:
                    break
                if frame.opcode == Opcode.PING:
                    self._writer.write(encode(Opcode.PONG, frame.payload, mask=False))
                elif not frame.is_control:
                    message += frame.payload
                    if frame.fin:
                        self.lines.feed_data(message + b"\n")
                        message = b""
        self.lines.feed_eof()
        self._writer.close()

    def write(self, data: bytes) -> None:
        self._writer.write(encode(Opcode.TEXT, data.rstrip(b"\n"), mask=False))

    async def drain(self) -> None:
        await self._writer.drain()

    def close(self) -> None:
        if not self._writer.is_closing():
            self._writer.write(encode(Opcode.CLOSE, close_payload(1000), mask=False))

    async def wait_closed(self) -> None:
        await self._task
        await self._writer.wait_closed()
