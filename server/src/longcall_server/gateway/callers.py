# SPDX-License-Identifier: Apache-2.0
"""Who sends an HTTP request (PROTOCOL 8.1.2, 8.1.3)."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from longcall_server.auth import AuthError, KeysUnavailable, Principal
from longcall_server.core.codes import ErrorCode
from longcall_server.gateway.context import GATEWAY
from longcall_server.gateway.problems import bearer_token, problem

_KEYS_RETRY_MS: Final = 1_000


async def caller(request: web.Request) -> Principal | web.Response:
    """The caller by the token of the request, or the refusal of one that has none that is good."""
    gateway = request.app[GATEWAY]
    token = bearer_token(request)
    if token is None and gateway.settings.allow_query_token:
        token = request.query.get("access_token")
    if not token:
        return problem(ErrorCode.UNAUTHORIZED, "No token.")
    try:
        return await gateway.authenticator.verify(token)
    except AuthError as error:
        return problem(ErrorCode.UNAUTHORIZED, f"{str(error).capitalize()}.")
    except KeysUnavailable as error:
        message = f"{str(error).capitalize()}."
        return problem(ErrorCode.UNAVAILABLE, message, retry_after_ms=_KEYS_RETRY_MS)
