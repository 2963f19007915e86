# SPDX-License-Identifier: Apache-2.0
"""What the clients that are weighed ask for."""

from __future__ import annotations

import asyncio

from longcall_server import Handlers, RequestContext

handlers = Handlers()
AT_ONCE = 256


@handlers.register("events")
async def events(ctx: RequestContext, count: int) -> int:
    """So many events, then the end; written in handfuls, or it would take all day."""
    for begin in range(0, count, AT_ONCE):
        numbers = range(begin, min(count, begin + AT_ONCE))
        await asyncio.gather(*(ctx.chunk(number) for number in numbers))
    return count


@handlers.register("wait")
async def wait(ctx: RequestContext) -> None:
    """Waits for its end."""
    await asyncio.Event().wait()
