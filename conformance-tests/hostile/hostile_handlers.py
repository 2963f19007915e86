# SPDX-License-Identifier: Apache-2.0
"""The application under attack: that of chaos, for the honest, and what the hostile may ask for,
which is bounded whatever its payload says."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from chaos_handlers import handlers

from longcall_server import HandlerError, JsonValue, RequestContext

__all__ = ["handlers"]

SOON = timedelta(seconds=2)
_MOST = 20


@handlers.register("h.echo", durable=False)
async def echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    """Answered at once."""
    return payload


@handlers.register("h.keep", retention=SOON)
async def keep(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    """Stored, and its result is its payload."""
    await ctx.chunk(payload, checkpoint=1)
    return payload


@handlers.register("h.count", retention=SOON)
async def count(ctx: RequestContext, payload: int) -> int:
    """Events and progress, some."""
    for number in range(min(payload, _MOST)):
        await ctx.progress(5 * number, "on the way", {"number": number})
        await ctx.chunk(number)
    return min(payload, _MOST)


@handlers.register("h.slow", durable=False, sync_window=timedelta(milliseconds=10), retention=SOON)
async def slow(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    """Promoted, and then there to be cancelled for a while."""
    await asyncio.sleep(0.2)
    return payload


@handlers.register("h.fail", attempts=2, retention=SOON)
async def fail(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    """Says no."""
    raise HandlerError("no", "It says no.", retryable=False)
