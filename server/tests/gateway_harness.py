# SPDX-License-Identifier: Apache-2.0
"""A gateway on a free port, and clients that speak raw frames to it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import WSMsgType, web
from service_harness import Desk, desk, limits

from longcall_server import Handlers
from longcall_server.auth import Authenticator, KeyRing, SigningKey, create_token
from longcall_server.core.messages import Limits
from longcall_server.gateway.app import (
    GatewaySettings,
    ListenerSettings,
    create_app,
    create_listener,
)
from longcall_server.gateway.context import GATEWAY

KEY = SigningKey.of_secret(b"k" * 32)
PROTOCOL = "longcall.v1"
PATIENCE = 20.0
"""Seconds after which a test that waits is broken; nothing is measured by it."""


def token(sub: str = "ann", *permissions: str, tenant: str = "acme", ttl_s: float = 3600) -> str:
    return create_token(
        KEY, sub=sub, tenant_id=tenant, permissions=permissions or ("request:*",), ttl_s=ttl_s
    )


class Peer:
    """One client connection. Keeps to nothing: it sends what it is told."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws

    async def send(self, message: dict[str, Any] | str) -> None:
        text = message if isinstance(message, str) else json.dumps(message)
        await self.ws.send_str(text)

    async def receive(self) -> dict[str, Any]:
        """The next message but pings, which are answered."""
        while True:
            async with asyncio.timeout(PATIENCE):
                frame = await self.ws.receive()
            assert frame.type is WSMsgType.TEXT, (frame, self.ws.close_code)
            message: dict[str, Any] = json.loads(frame.data)
            if message["type"] != "ping":
                return message
            await self.send({"type": "pong"})

    async def ask(self, message: dict[str, Any] | str) -> dict[str, Any]:
        await self.send(message)
        return await self.receive()

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """All messages up to the one that is wanted."""
        seen = [await self.receive()]
        while not wanted(seen[-1]):
            seen.append(await self.receive())
        return seen

    async def close_code(self) -> int | None:
        """The code with which the server closes; what it sends before is dropped."""
        while True:
            async with asyncio.timeout(PATIENCE):
                frame = await self.ws.receive()
            if frame.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING):
                return self.ws.close_code
            assert frame.type is not WSMsgType.ERROR, frame

    async def hello(self, text: str | None = None) -> dict[str, Any]:
        return await self.ask({"type": "hello", "token": text or token()})

    async def request(self, action: str, payload: Any = None, **fields: Any) -> None:
        fields = {"id": "r1", **fields}
        await self.send({"type": "request", "action": action, "payload": payload, **fields})

    async def attach(self, after_seq: int = 0, request_id: str = "r1", **fields: Any) -> None:
        await self.send(
            {"type": "attach", "request_id": request_id, "after_seq": after_seq, **fields}
        )

    async def pinged(self) -> None:
        """Everything that was sent before has been read."""
        await self.send({"type": "ping", "nonce": "here"})
        await self.until(lambda message: message == {"type": "pong", "nonce": "here"})


class Harness:
    """A running gateway."""

    def __init__(
        self, desk: Desk, app: web.Application, port: int, tls: ssl.SSLContext | None = None
    ) -> None:
        self.desk = desk
        self.app = app
        self.port = port
        secure = "" if tls is None else "s"
        self.http = f"http{secure}://127.0.0.1:{port}"
        self.url = f"ws{secure}://127.0.0.1:{port}/v1/connect"
        self.gateway = app[GATEWAY]
        self._sessions: list[aiohttp.ClientSession] = []

    def client(self) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession()
        self._sessions.append(session)
        return session

    async def connect(self, *, read_limit: int = 0, **options: Any) -> Peer:
        """Opens a connection that has not said hello."""
        options = {"protocols": (PROTOCOL,), **options}
        return Peer(await self.client().ws_connect(self.url, max_msg_size=read_limit, **options))

    async def welcomed(self, text: str | None = None, **options: Any) -> Peer:
        """Opens a connection and says hello."""
        peer = await self.connect(**options)
        welcome = await peer.hello(text)
        assert welcome["type"] == "welcome"
        return peer

    async def until_connections(self, count: int) -> None:
        """Waits until so many are open: an end takes a moment to be noticed."""
        async with asyncio.timeout(PATIENCE):
            while self.gateway.doors.connections != count:  # noqa: ASYNC110 (nothing tells)
                await asyncio.sleep(0.005)

    async def close(self) -> None:
        for session in self._sessions:
            await session.close()


@asynccontextmanager
async def gateway(
    handlers: Handlers,
    folder: Path,
    *,
    bounds: Limits | None = None,
    settings: GatewaySettings | None = None,
    authenticator: Authenticator | None = None,
    ready: Callable[[], bool] = lambda: True,
    listener: ListenerSettings | None = None,
    tls: ssl.SSLContext | None = None,
    **options: Any,
) -> AsyncIterator[Harness]:
    """Serves until the block ends; then no task of it may be left."""
    bounds = bounds or limits()
    verifier = authenticator or Authenticator(KeyRing([KEY.public]))
    before = asyncio.all_tasks()
    async with desk(handlers, folder, bounds=bounds, **options) as made:
        app = create_app(
            service=made.service,
            store=made.node.store,
            bus=made.node.bus,
            authenticator=verifier,
            limits=bounds,
            settings=settings or GatewaySettings(files_dir=folder, close_timeout_ms=500),
            ready=ready,
        )
        server = create_listener(app, listener or ListenerSettings(), tls)
        harness = Harness(made, app, await server.open("127.0.0.1", 0), tls)
        await verifier.start()
        try:
            yield harness
        finally:
            await harness.close()
            await server.close()
            await verifier.close()
            names = {task.get_name() for task in asyncio.all_tasks() - before}
            assert not {name for name in names if name in ("longcall feed", "longcall close")}
