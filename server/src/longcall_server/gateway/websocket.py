# SPDX-License-Identifier: Apache-2.0
"""The upgrade at `/v1/connect` (PROTOCOL 2.1, 3.2)."""

from __future__ import annotations

from aiohttp import hdrs, web

from longcall_server.core.codes import ErrorCode
from longcall_server.gateway.connection import Connection
from longcall_server.gateway.context import GATEWAY
from longcall_server.gateway.outbox import Gone
from longcall_server.gateway.problems import bearer_token, problem
from longcall_server.gateway.socket import SUBPROTOCOL, Socket


async def connect(request: web.Request) -> web.StreamResponse:
    """`GET /v1/connect`: a session, until one side closes."""
    gateway = request.app[GATEWAY]
    if not _offers_subprotocol(request):
        message = f"This is a WebSocket endpoint of the subprotocol {SUBPROTOCOL}."
        return problem(ErrorCode.VALIDATION_ERROR, message)
    if gateway.draining:
        message = "The server is going away."
        return problem(ErrorCode.UNAVAILABLE, message, retry_after_ms=1_000)
    ws = Socket(
        max_message_bytes=gateway.limits.max_message_bytes,
        close_timeout_ms=gateway.settings.close_timeout_ms,
    )
    await ws.prepare(request)
    try:
        connection = Connection(gateway, ws, request, _transport_token(request))
    except Gone:
        return ws
    gateway.add(connection)
    try:
        await connection.run()
    finally:
        gateway.remove(connection)
    return ws


def _offers_subprotocol(request: web.Request) -> bool:
    headers = request.headers
    offered = ",".join(headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ()))
    return headers.get(hdrs.UPGRADE, "").lower() == "websocket" and SUBPROTOCOL in (
        name.strip() for name in offered.split(",")
    )


def _transport_token(request: web.Request) -> str | None:
    """The token of the upgrade (PROTOCOL 3.2.5); `hello` may bring another one."""
    token = bearer_token(request)
    if token is None and request.app[GATEWAY].settings.allow_query_token:
        token = request.query.get("access_token")
    return token
