# SPDX-License-Identifier: Apache-2.0
"""A server that does only what a case tells it: it accepts sockets and waits for orders."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any

from .connection import RefereeConnection
from .handshake import read_head, upgrade_response


class ScriptedServer:
    """Listens on 127.0.0.1; each upgrade waits until the case accepts it."""

    def __init__(self, record: list[dict[str, Any]]) -> None:
        self._record = record
        self._arrived: asyncio.Queue[RefereeConnection] = asyncio.Queue()
        self._refusals: deque[tuple[int, str]] = deque()
        self._server: asyncio.Server | None = None
        self.connections: list[RefereeConnection] = []
        self.most_open = 0

    @property
    def url(self) -> str:
        """Where a client connects."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"ws://127.0.0.1:{port}/v1/connect"

    async def start(self) -> None:
        """Begins to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    def refuse_next(self, status: int, headers: str = "") -> None:
        """Answers the next upgrade with this HTTP status."""
        self._refusals.append((status, headers))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            _, headers = await read_head(reader)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
            writer.close()
            return
        if self._refusals:
            status, extra = self._refusals.popleft()
            self._record.append(
                {"connection": "-", "what": "refused", "message": {"status": status}}
            )
            always = "Content-Length: 0\r\nConnection: close\r\n"
            writer.write(f"HTTP/1.1 {status} Refused\r\n{always}{extra}\r\n".encode())
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            writer.close()
            return
        writer.write(upgrade_response(headers))
        name = f"c{len(self.connections) + 1}"
        connection = RefereeConnection(name, reader, writer, client=False, record=self._record)
        self._record.append({"connection": name, "what": "opened", "message": {}})
        self.connections.append(connection)
        self.most_open = max(self.most_open, self.open_count)
        self._arrived.put_nowait(connection)

    @property
    def open_count(self) -> int:
        """How many sockets are open now."""
        return sum(connection.is_open for connection in self.connections)

    async def accept(self) -> RefereeConnection:
        """The next connection, in the order of arrival."""
        return await self._arrived.get()

    async def stop(self) -> None:
        """Stops to listen and lets go of every socket."""
        if self._server is not None:
            self._server.close()
        for connection in self.connections:
            await connection.close()
        if self._server is not None:
            await self._server.wait_closed()
