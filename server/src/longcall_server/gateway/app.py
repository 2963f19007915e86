# SPDX-License-Identifier: Apache-2.0
"""The aiohttp application: routes, and the drain."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from aiohttp import web

from longcall_server.auth import Authenticator
from longcall_server.bus.base import Bus
from longcall_server.core.codes import CloseCode
from longcall_server.core.messages import Limits
from longcall_server.gateway import announcing, http
from longcall_server.gateway.context import GATEWAY, Gateway, GatewaySettings
from longcall_server.gateway.entrance import ENTRANCE, Entrance, entrance
from longcall_server.gateway.problems import problems
from longcall_server.gateway.websocket import connect
from longcall_server.requests import RequestService
from longcall_server.stores.base import Store

__all__ = ["GatewaySettings", "create_app", "drain"]

_MOVE_SPREAD_MS = 2_000


def create_app(
    *,
    service: RequestService,
    store: Store,
    bus: Bus,
    authenticator: Authenticator,
    limits: Limits,
    settings: GatewaySettings,
    ready: Callable[[], bool] = lambda: True,
) -> web.Application:
    """Builds the application; `ready` says what `/readyz` tells. Times are of the store's clock."""
    app = web.Application(
        middlewares=[problems, entrance],
        client_max_size=limits.max_message_bytes,  # PROTOCOL 8.1.6
    )
    app[ENTRANCE] = Entrance(settings.entrance)
    app[GATEWAY] = Gateway(
        service=service,
        bus=bus,
        authenticator=authenticator,
        clock=store.now,
        limits=limits,
        settings=settings,
        ready=ready,
    )
    app.router.add_get("/v1/connect", connect, allow_head=False)
    app.router.add_get("/v1/requests/{id}/files/{name}", http.file)
    app.router.add_post("/v1/announcements", announcing.announce)
    app.router.add_get("/healthz", http.healthz)
    app.router.add_get("/readyz", http.readyz)
    app.cleanup_ctx.append(announcing.told)
    app.on_shutdown.append(_shut_down)
    return app


async def drain(app: web.Application, *, code: CloseCode, reason: str, grace_s: float) -> None:
    """Sends everybody away (PROTOCOL 6.8): `goaway`, then `grace_s` seconds to move, then a close.

    Returns when no connection is left. May be called again with another grace.
    """
    gateway = app[GATEWAY]
    gateway.draining = True
    spread_ms = min(_MOVE_SPREAD_MS, int(grace_s * 500))
    for connection in tuple(gateway.connections):
        connection.goaway(reason, random.randint(0, spread_ms))
    try:
        async with asyncio.timeout(grace_s):
            await gateway.empty()
    except TimeoutError:
        for connection in tuple(gateway.connections):
            connection.close(code, reason)
        await gateway.empty()


async def _shut_down(app: web.Application) -> None:
    await drain(app, code=CloseCode.GOING_AWAY, reason="the server stops", grace_s=0)
