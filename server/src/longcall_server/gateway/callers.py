# SPDX-License-Identifier: Apache-2.0
"""Who sends an HTTP request (PROTOCOL 3.2, 8.1.2, 8.1.3)."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web

from longcall_server.auth import AuthError, KeysUnavailable, Principal
from longcall_server.core.codes import ErrorCode
from longcall_server.gateway.context import GATEWAY
from longcall_server.gateway.problems import problem

_KEYS_RETRY_MS: Final = 1_000


def token_of(request: web.Request) -> str | None:
    """The token that a request or an upgrade carries; the header's before the address's, which is
    looked at only where that is allowed (PROTOCOL 3.2.4, 3.2.5)."""
    token = bearer_token(request)
    if token is None and request.app[GATEWAY].settings.allow_query_token:
        token = request.query.get("access_token")
    return token


def bearer_token(request: web.Request) -> str | None:
    """The token of `Authorization: Bearer`, None if there is none."""
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


async def caller(request: web.Request) -> Principal | web.Response:
    """The caller by the token of the request, or the refusal of one that has none that is good."""
    token = token_of(request)
    if not token:
        return problem(ErrorCode.UNAUTHORIZED, "No token.")
    try:
        return await request.app[GATEWAY].authenticator.verify(token)
    except AuthError as error:
        return problem(ErrorCode.UNAUTHORIZED, f"{str(error).capitalize()}.")
    except KeysUnavailable as error:
        message = f"{str(error).capitalize()}."
        return problem(ErrorCode.UNAVAILABLE, message, retry_after_ms=_KEYS_RETRY_MS)
