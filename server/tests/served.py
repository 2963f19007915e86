# SPDX-License-Identifier: Apache-2.0
"""A real server process on a data folder, for tests that kill it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from longcall_server.auth import SigningKey, create_token

SECRET = "a-secret-of-the-durability-tests-only"

HANDLERS = """
# SPDX-License-Identifier: Apache-2.0
from longcall_server import Handlers, JsonValue, RequestContext

handlers = Handlers()


@handlers.register("echo", attempts=1_000)  # each kill in the middle of one costs an attempt
async def echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    return payload
"""


class Served:
    """One process of `longcall-server serve`."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    def kill(self) -> None:
        """kill -9, without a moment to write anything."""
        self.process.send_signal(signal.SIGKILL)


SERVE = "from longcall_server.__main__ import main; raise SystemExit(main())"
UNSAFE_SERVE = f"""
import functools
import longcall_server.stores.sqlite as sqlite
sqlite.SqliteStore = functools.partial(sqlite.SqliteStore, synchronous="OFF")
{SERVE}
"""


@asynccontextmanager
async def serve(
    folder: Path, *, prefix: Sequence[str] = (), program: str = SERVE
) -> AsyncIterator[Served]:
    """Starts a server, waits until it is ready, and always ends it.

    `program` may be `UNSAFE_SERVE`: the same server on a store that does not sync.
    """
    (folder / "durable_handlers.py").write_text(HANDLERS)
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(
        *prefix,
        *(sys.executable, "-c", program, "serve", "durable_handlers:handlers"),
        *("--port", "0", "--data-dir", str(folder / "data"), "--ready-file", str(ready)),
        cwd=folder,
        env={**os.environ, "LONGCALL_JWT_SECRET": SECRET},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Served(process, (await _ready(process, ready))["url"])
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _ready(process: asyncio.subprocess.Process, path: Path) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(path.exists):
            if process.returncode is not None:
                raise AssertionError(f"the server ended with {process.returncode}")
            await asyncio.sleep(0.01)
    return dict(json.loads(await asyncio.to_thread(path.read_text)))


@asynccontextmanager
async def connection(url: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A welcomed connection of the one user of these tests."""
    token = create_token(
        SigningKey.of_secret(SECRET.encode()),
        sub="alice",
        tenant_id="acme",
        permissions=["request:*"],
        ttl_s=3600,
    )
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=["longcall.v1"]) as socket,
    ):
        await socket.send_json({"type": "hello", "token": token})
        welcome = await socket.receive_json()
        assert welcome["type"] == "welcome"
        yield socket


async def receive(socket: aiohttp.ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    """The next message of a type, passing over others."""
    async with asyncio.timeout(20):
        while True:
            message: dict[str, Any] = await socket.receive_json()
            if message["type"] == kind:
                return message
            assert message["type"] != "error", message
