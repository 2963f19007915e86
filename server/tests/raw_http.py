# SPDX-License-Identifier: Apache-2.0
"""A socket to an HTTP server, without a library that knows what belongs on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from wire import PATIENCE


class Raw:
    """One socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def until_end(self) -> bytes:
        """All that comes until the other side ends it."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def answer(self, data: bytes) -> bytes:
        """The head and body of the answer to what is sent."""
        self.writer.write(data)
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = next(
                (
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                ),
                0,
            )
            return head + await self.reader.readexactly(length)


@asynccontextmanager
async def raw(port: int) -> AsyncIterator[Raw]:
    """Opens one to a port of this machine."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()
