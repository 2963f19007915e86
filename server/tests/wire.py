# SPDX-License-Identifier: Apache-2.0
"""A client that shows what goes over the wire: it knows the JSON of the protocol and no more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from longcall_server.auth import SigningKey, create_token
from longcall_server.config import Settings, load_settings

SECRET = "integration-tests-need-a-key-of-32-bytes"
PATIENCE = 20.0
Message = dict[str, Any]


def settings(**given: Any) -> Settings:
    """Settings of a server under test."""
    return load_settings(**{"port": 0, "jwt_secret": SECRET, "store": "memory"} | given)


def token(
    sub: str = "alice", tenant: str = "acme", permissions: tuple[str, ...] = ("request:*",)
) -> str:
    """A token that the servers under test accept."""
    key = SigningKey.of_settings(settings())
    return create_token(key, sub=sub, tenant_id=tenant, permissions=permissions)


class Wire:
    """One connection after its `welcome`."""

    def __init__(self, socket: ClientConnection, welcome: Message) -> None:
        self.socket = socket
        self.welcome = welcome

    async def send(self, type: str, **fields: Any) -> None:
        """Sends one message."""
        await self.send_text(json.dumps({"type": type} | fields))

    async def send_text(self, text: str) -> None:
        """Sends a text frame."""
        await self.socket.send(text)

    async def receive(self) -> Message:
        """The next message; pings are answered by nobody."""
        async with asyncio.timeout(PATIENCE):
            message: Message = json.loads(await self.socket.recv())
        return message

    async def until(self, condition: Callable[[Message], bool]) -> list[Message]:
        """All messages up to the first that fits, itself included."""
        received: list[Message] = []
        while not received or not condition(received[-1]):
            received.append(await self.receive())
        return received

    async def until_type(self, *types: str) -> list[Message]:
        """All messages up to the first of one of these types."""
        return await self.until(lambda message: message["type"] in types)

    async def ended(self) -> list[Message]:
        """All messages up to a terminal event."""
        return await self.until(is_terminal)

    async def closed(self) -> int | None:
        """Waits for the end of the connection; the close code."""
        async with asyncio.timeout(PATIENCE):
            try:
                while True:
                    await self.socket.recv()
            except ConnectionClosed:
                return self.socket.close_code


def is_terminal(message: Message) -> bool:
    """Whether a message ends its request's log."""
    return "seq" in message and message["type"] in ("complete", "error")


def types(messages: list[Message]) -> list[str]:
    """The types in order, progress aside: it may be coalesced."""
    return [message["type"] for message in messages if message["type"] != "progress"]


@asynccontextmanager
async def connected(url: str, bearer: str | None = None) -> AsyncIterator[Wire]:
    """A connection that has said `hello` and got its `welcome`."""
    async with connect(
        url, subprotocols=[Subprotocol("longcall.v1")], open_timeout=PATIENCE
    ) as socket:
        await socket.send(json.dumps({"type": "hello", "token": bearer or token()}))
        welcome = json.loads(await socket.recv())
        assert welcome["type"] == "welcome", welcome
        yield Wire(socket, welcome)
