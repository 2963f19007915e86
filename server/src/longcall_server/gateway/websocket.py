# SPDX-License-Identifier: Apache-2.0
"""The upgrade at `/v1/connect` (PROTOCOL 2.1, 2.7, 3.2)."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import hdrs, web

from longcall_server.core.codes import ErrorCode
from longcall_server.gateway.addresses import Address, subscriber
from longcall_server.gateway.callers import token_of
from longcall_server.gateway.connection import Connection
from longcall_server.gateway.context import GATEWAY, Gateway
from longcall_server.gateway.deflating_socket import DeflatingSocket
from longcall_server.gateway.doors import Full, Place
from longcall_server.gateway.handshake import refusal_of_upgrade
from longcall_server.gateway.outbox import Gone
from longcall_server.gateway.problems import problem
from longcall_server.gateway.socket import SUBPROTOCOL, Socket

_COME_BACK_MS = 5_000


async def connect(request: web.Request) -> web.StreamResponse:
    """`GET /v1/connect`: a session, until one side closes."""
    gateway = request.app[GATEWAY]
    offered = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ())
    if not _is_upgrade(request) or not _offers_subprotocol(offered):
        message = f"This is a WebSocket endpoint of the subprotocol {SUBPROTOCOL}."
        return problem(ErrorCode.VALIDATION_ERROR, message)
    refusal = refusal_of_upgrade(request)
    if refusal is not None:
        return refusal
    if gateway.draining:
        message = "The server is going away."
        return problem(ErrorCode.UNAVAILABLE, message, retry_after_ms=1_000)
    address = gateway.entrance.remote(request).address
    place = gateway.doors.enter(subscriber(address))
    if isinstance(place, Full):
        return _refusal(gateway, place, address)
    try:
        return await _serve(gateway, request, place)
    finally:
        place.leave()


async def _serve(gateway: Gateway, request: web.Request, place: Place) -> web.StreamResponse:
    ws = _socket(gateway)
    try:
        await ws.prepare(_with_one_offer(request))
    except web.HTTPBadRequest:
        # The library's own words repeat what it did not like.
        message = "This is no handshake of WebSocket version 13."
        return problem(ErrorCode.VALIDATION_ERROR, message)
    try:
        connection = Connection(gateway, ws, request, token_of(request), place)
    except Gone:
        return ws
    gateway.add(connection)
    try:
        await connection.run()
    finally:
        gateway.remove(connection)
    return ws


def _socket(gateway: Gateway) -> Socket:
    limit, timeout_ms = gateway.limits.max_message_bytes, gateway.settings.close_timeout_ms
    if gateway.deflater is None:
        return Socket(max_message_bytes=limit, close_timeout_ms=timeout_ms)
    return DeflatingSocket(gateway.deflater, max_message_bytes=limit, close_timeout_ms=timeout_ms)


def _is_upgrade(request: web.Request) -> bool:
    return request.headers.get(hdrs.UPGRADE, "").strip().lower() == "websocket"


def _offers_subprotocol(offered: list[str] | tuple[()]) -> bool:
    return SUBPROTOCOL in (name.strip() for name in ",".join(offered).split(","))


def _with_one_offer(request: web.Request) -> web.Request:
    """The request with its subprotocols in one header: the library looks at the first alone."""
    if len(request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL)) == 1:
        return request
    headers = request.headers.copy()
    headers[hdrs.SEC_WEBSOCKET_PROTOCOL] = SUBPROTOCOL
    return request.clone(headers=headers)


def _refusal(gateway: Gateway, full: Full, address: Address | None) -> web.Response:
    """PROTOCOL 2.7.5."""
    limits = gateway.doors.limits
    if full is Full.ADDRESS:
        gateway.complaints.warning(
            "connections of %s are refused: it has %d of at most %d "
            "(LONGCALL_MAX_CONNECTIONS_PER_ADDRESS; a proxy belongs in LONGCALL_TRUSTED_PROXIES)",
            address,
            gateway.doors.of_address[subscriber(address)],
            limits.per_address,
        )
        message = "There are too many connections of this address."
        return problem(ErrorCode.RATE_LIMITED, message, retry_after_ms=_COME_BACK_MS)
    gateway.complaints.warning(
        "connections are refused: there are %d of at most %d (LONGCALL_MAX_CONNECTIONS)",
        gateway.doors.connections,
        limits.total,
    )
    message = "There are too many connections."
    return problem(
        ErrorCode.RESOURCE_EXHAUSTED,
        message,
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        retry_after_ms=_COME_BACK_MS,
    )
