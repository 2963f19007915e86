# SPDX-License-Identifier: Apache-2.0
"""An identity provider on a free port of this machine: publishes a JWK Set, and counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from longcall_server.auth import SigningKey
from longcall_server.auth.keys import jwk

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class KeyServer:
    """`url` has the keys of `keys`, unless `answer` says something else."""

    def __init__(self, *keys: SigningKey) -> None:
        self.keys = list(keys)
        self.answer: Answer = self.publish
        self.url = ""
        self.fetches = 0
        self.most_in_flight = 0
        self.elsewhere = 0
        """Requests for anything else: there must be none."""
        self._in_flight = 0

    async def publish(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"keys": [jwk(key.public) for key in self.keys]})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path != "/jwks.json":
            self.elsewhere += 1
            return web.Response(status=404)
        self.fetches += 1
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            return await self.answer(request)
        finally:
            self._in_flight -= 1


@asynccontextmanager
async def key_server(*keys: SigningKey) -> AsyncIterator[KeyServer]:
    """Serves until the block ends."""
    made = KeyServer(*keys)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        handler_cancellation=True,  # who does not wait any more is not in flight any more
        shutdown_timeout=0.1,
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks.json"
    try:
        yield made
    finally:
        await runner.cleanup()


async def never(_: web.Request) -> web.StreamResponse:
    """Does not answer."""
    await asyncio.Event().wait()
    raise AssertionError
