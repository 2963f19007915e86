# SPDX-License-Identifier: Apache-2.0
"""Bodies of HTTP requests: of a size, decompressed too, and within a time (PROTOCOL 8.1.6)."""

from __future__ import annotations

import asyncio

from aiohttp import web

from longcall_server.gateway.context import GATEWAY


async def text_of(request: web.Request) -> str:
    """The body as text.

    Raises `UnicodeDecodeError` where it is none, and what the middleware makes a problem document
    of: 413 where it is too large, 408 where it does not come in time, 400 where it comes broken.
    """
    timeout_ms = request.app[GATEWAY].settings.body_timeout_ms
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            return (await request.read()).decode()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (web.RequestPayloadError, ConnectionError):
        # It does not decompress, or its sender has gone away: no defect of ours.
        raise web.HTTPBadRequest from None
