# SPDX-License-Identifier: Apache-2.0
"""The application of the servers under test. It is also loaded by real server processes."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

from longcall_server import (
    Backoff,
    Handlers,
    JsonValue,
    RequestCancelled,
    RequestContext,
    SyncRequestContext,
)

handlers = Handlers()


@handlers.register("echo", durable=False)
async def echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    """Answers at once."""
    return payload


@handlers.register("durable_echo")
async def durable_echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    """Answers through the log."""
    return payload


@handlers.register("rows")
async def rows(ctx: RequestContext, count: int) -> dict[str, int]:
    """Streams rows and reports its progress."""
    for row in range(count):
        await ctx.progress(100 * (row + 1) / count, f"row {row}")
        await ctx.chunk([row])
    return {"rows": count}


@handlers.register("slow_quick", durable=False, sync_window=timedelta(milliseconds=20))
async def slow_quick(ctx: RequestContext) -> str:
    """Takes longer than a quick handler may."""
    await ctx.progress(50)
    await asyncio.sleep(0.2)
    return "after a while"


@handlers.register("two_seconds", durable=False, sync_window=timedelta(seconds=10))
async def two_seconds(ctx: RequestContext) -> str:
    """Takes longer than clients get for their last words at a shutdown."""
    await asyncio.sleep(2)
    return "after two seconds"


@handlers.register("quick_chunk", durable=False)
async def quick_chunk(ctx: RequestContext) -> int:
    """A quick handler that cannot be one."""
    return await ctx.chunk("first")


@handlers.register("wait")
async def wait(ctx: RequestContext) -> None:
    """Runs until it is cancelled."""
    await ctx.chunk("begun")
    await asyncio.Event().wait()


@handlers.register("half")
async def half(ctx: RequestContext, details: JsonValue) -> None:
    """Reports its progress and runs until it is cancelled."""
    await ctx.progress(50, "half of it", details)
    await asyncio.Event().wait()


@handlers.register("a_second")
async def a_second(ctx: RequestContext) -> int:
    """Does a second of work, and says in which attempt."""
    await ctx.chunk("begun")
    await asyncio.sleep(1)
    return ctx.attempt


@handlers.register("pid")
async def pid(ctx: RequestContext) -> int:
    """Says where it runs."""
    return os.getpid()


@handlers.register("deaf", cancel_grace=timedelta(milliseconds=50))
async def deaf(ctx: RequestContext) -> None:
    """Ignores its cancel, and goes only when it is fenced."""
    await ctx.chunk("begun")
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            try:
                ctx.raise_if_cancelled()
            except RequestCancelled:
                continue


@handlers.register("never_ends")
async def never_ends(ctx: RequestContext) -> None:
    """Does not even go when the server does."""
    await ctx.chunk("begun")
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


@handlers.register("twice", backoff=Backoff(timedelta(milliseconds=1)))
async def twice(ctx: RequestContext) -> JsonValue:
    """Fails once, after a checkpoint."""
    if ctx.checkpoint is None:
        await ctx.chunk("kept", checkpoint={"page": 1})
        await ctx.chunk("void")
        raise RuntimeError("the first attempt fails")
    await ctx.chunk("again")
    return ctx.checkpoint


@handlers.register("survivor")
@handlers.register("only_once", attempts=1)
async def survivor(ctx: RequestContext) -> JsonValue:
    """Waits for the end of its server after a checkpoint, and then goes on."""
    if ctx.checkpoint is None:
        await ctx.chunk("kept", checkpoint="here")
        await ctx.chunk("void")
        await asyncio.Event().wait()
    return {"attempt": ctx.attempt, "kept_to": ctx.chunks_kept_to, "at": ctx.checkpoint}


@handlers.register("quick_survivor", durable=False)
async def quick_survivor(ctx: RequestContext) -> JsonValue:
    """A quick handler that is promoted, and waits for the end of its server."""
    if ctx.checkpoint is None:
        await ctx.chunk("kept", checkpoint="here")
        await asyncio.Event().wait()
    return {"attempt": ctx.attempt, "at": ctx.checkpoint}


@handlers.register("file")
def file(ctx: SyncRequestContext, text: str) -> dict[str, JsonValue]:
    """Attaches a file, from a thread."""
    with ctx.file("report.txt", "text/plain") as made:
        made.write(text.encode())
    return {"size": made.size, "sha256": made.sha256}
