# SPDX-License-Identifier: Apache-2.0
"""The aiohttp application: routes, and the drain."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from ssl import SSLContext

from aiohttp import web
from aiohttp.typedefs import Handler

from longcall_server.auth import Authenticator
from longcall_server.bus.base import Bus
from longcall_server.core.codes import CloseCode
from longcall_server.core.messages import Limits
from longcall_server.gateway import announcing, http
from longcall_server.gateway.context import GATEWAY, Gateway, GatewaySettings
from longcall_server.gateway.listener import (
    HttpProtocol,
    Listener,
    ListenerSettings,
    without_versions,
)
from longcall_server.gateway.problems import problems
from longcall_server.gateway.socket import CONNECT_PATH
from longcall_server.gateway.websocket import connect
from longcall_server.requests import RequestService
from longcall_server.stores.base import Store

__all__ = ["GatewaySettings", "ListenerSettings", "create_app", "create_listener", "drain"]

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
        middlewares=[problems, _let_in],
        client_max_size=limits.max_message_bytes,  # PROTOCOL 8.1.6
    )
    app[GATEWAY] = Gateway(
        service=service,
        bus=bus,
        authenticator=authenticator,
        clock=store.now,
        limits=limits,
        settings=settings,
        ready=ready,
    )
    app.router.add_get(CONNECT_PATH, connect, allow_head=False)
    app.router.add_get("/v1/requests/{id}/files/{name}", http.file)
    app.router.add_post("/v1/announcements", announcing.announce)
    app.router.add_get("/healthz", http.healthz)
    app.router.add_get("/readyz", http.readyz)
    app.cleanup_ctx.append(announcing.told)
    app.on_response_prepare.append(without_versions)
    app.on_shutdown.append(_shut_down)
    return app


def create_listener(
    app: web.Application, settings: ListenerSettings, tls: SSLContext | None = None
) -> Listener:
    """Builds what listens for an application of `create_app`, with TLS if there is a context."""
    gateway = app[GATEWAY]
    return Listener(app, gateway.entrance, gateway.doors, settings, tls=tls)


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


@web.middleware
def _let_in(request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
    """Refuses who may not come in; leaves no frame of its own below a connection."""
    protocol = request.protocol
    if isinstance(protocol, HttpProtocol):
        protocol.began()
    refusal = request.app[GATEWAY].entrance.refusal(request)
    return handler(request) if refusal is None else _answer(refusal)


async def _answer(refusal: web.Response) -> web.StreamResponse:
    return refusal


async def _shut_down(app: web.Application) -> None:
    await drain(app, code=CloseCode.GOING_AWAY, reason="the server stops", grace_s=0)
