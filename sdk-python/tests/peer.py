# SPDX-License-Identifier: Apache-2.0
"""A scripted server on a real socket: each test says every word of it."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any, Self

from fronts import Connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

import longcall
from longcall.asyncio.transport import SUBPROTOCOL
from longcall.testing.messages import welcome

PATIENCE = 10.0
"""Seconds after which a test that waits is wrong."""


class Talk:
    """One connection of the client, seen from the server."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket

    async def take(self) -> dict[str, Any]:
        """Returns the next message of the client."""
        async with asyncio.timeout(PATIENCE):
            message: dict[str, Any] = json.loads(await self.socket.recv())
        return message

    async def expect(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Takes the next message, which must be of this type with these fields."""
        message = await self.take()
        assert message["type"] == kind, message
        for name, value in fields.items():
            assert message.get(name) == value, message
        return message

    async def send(self, *messages: dict[str, Any] | str | bytes) -> None:
        for message in messages:
            raw = message if isinstance(message, (str, bytes)) else json.dumps(message)
            await self.socket.send(raw)

    async def close(self, code: int) -> None:
        await self.socket.close(code)

    def cut(self) -> None:
        """The network breaks."""
        self.socket.transport.abort()

    async def closed(self) -> int | None:
        """Waits until the client has closed; returns its code. What it sent before is dropped."""
        async with asyncio.timeout(PATIENCE):
            try:
                while True:
                    await self.socket.recv()
            except ConnectionClosed as end:
                return end.rcvd.code if end.rcvd is not None else None


class Peer:
    """The server; `accept` gives the connections in their order.

    `connect` is that of the front end that is tested, `patience` is that for a connection.
    """

    def __init__(self) -> None:
        self.patience = PATIENCE
        self.connect: Connect = longcall.connect
        self.live = 0
        self.most_live = 0
        self.tokens: list[str | None] = []
        self._server: Server | None = None
        self._talks: asyncio.Queue[Talk] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            subprotocols=[SUBPROTOCOL],
            process_request=self.answer,
            ping_interval=None,
            close_timeout=0.2,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        (socket,) = self._server.sockets
        return f"ws://127.0.0.1:{socket.getsockname()[1]}"

    def answer(self, socket: ServerConnection, request: Request) -> Response | None:
        """Answers an HTTP request by itself; None: it is an upgrade to be accepted."""
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        self.live += 1
        self.most_live = max(self.most_live, self.live)
        self._talks.put_nowait(Talk(socket))
        try:
            await socket.wait_closed()
        finally:
            self.live -= 1

    async def accept(self) -> Talk:
        """Returns the next connection, before anything was said."""
        async with asyncio.timeout(self.patience):
            return await self._talks.get()

    async def welcome(self, **changes: Any) -> Talk:
        """Accepts the next connection, takes `hello` and welcomes."""
        talk = await self.accept()
        hello = await talk.expect("hello")
        self.tokens.append(hello.get("token"))
        await talk.send(welcome(**changes))
        return talk
