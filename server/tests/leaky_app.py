# SPDX-License-Identifier: Apache-2.0
"""Handlers for a test that looks for tokens: they make everybody talk, and leave a canary."""

from __future__ import annotations

import asyncio
import logging

from longcall_server import Handlers, RequestContext

handlers = Handlers()
_log = logging.getLogger(__name__)


@handlers.register("loosen", durable=False)
async def loosen(ctx: RequestContext) -> None:
    """Whatever can be logged is logged from here on: each callback of the loop as a slow one."""
    logging.getLogger().setLevel(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(logging.DEBUG)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0


@handlers.register("echo", durable=False)
async def echo(ctx: RequestContext, payload: str) -> str:
    """Gives it back at once."""
    return payload


@handlers.register("keep")
async def keep(ctx: RequestContext, payload: str) -> str:
    """Writes it to wherever a handler can write."""
    _log.warning("kept: %s", payload)
    print("printed:", payload, flush=True)
    await ctx.progress(50, "half", details=payload)
    await ctx.chunk(payload, checkpoint=payload)
    async with ctx.file("kept.txt", "text/plain") as file:
        await file.write(payload.encode())
    return payload


@handlers.register("fail", attempts=1)
async def fail(ctx: RequestContext, payload: str) -> None:
    """Fails as no handler should."""
    raise RuntimeError("a defect of the handler")
