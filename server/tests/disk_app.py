# SPDX-License-Identifier: Apache-2.0
"""The application of the tests with a disk that takes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools

from longcall_server import Handlers, JsonValue, RequestContext

handlers = Handlers()
gate = asyncio.Event()

# Where only a parent may trace a process: the test may, too (it makes system calls fail).
PR_SET_PTRACER = 0x59616D61
with contextlib.suppress(OSError, AttributeError):
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)


@handlers.register("echo", durable=False)
async def echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    """Needs no store but to be looked up."""
    return payload


@handlers.register("open_gate", durable=False)
async def open_gate(ctx: RequestContext) -> None:
    """Lets the gated go on."""
    gate.set()


@handlers.register("gated", attempts=1)
async def gated(ctx: RequestContext) -> JsonValue:
    """Writes, waits, and writes more."""
    await ctx.chunk("begun")
    await gate.wait()
    for number in range(3):
        await ctx.chunk(number, checkpoint=number)
    return "done"


@handlers.register("insist", attempts=1)
async def insist(ctx: RequestContext) -> int:
    """Writes until a write has had to wait; tells how many it has made."""
    now = asyncio.get_running_loop().time
    for number in itertools.count(1):
        before = now()
        await ctx.chunk(number)
        if now() - before > 2:
            return number
        await asyncio.sleep(0.02)
    raise AssertionError


@handlers.register("keep")
async def keep(ctx: RequestContext, payload: JsonValue) -> int:
    """Takes room."""
    return len(str(payload))
