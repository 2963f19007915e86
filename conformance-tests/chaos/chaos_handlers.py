# SPDX-License-Identifier: Apache-2.0
"""The application under chaos. Each value follows from the one before, so that what an attempt
forgot or did twice shows in everything that comes after it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, Field

from longcall_server import (
    Backoff,
    HandlerError,
    Handlers,
    JsonValue,
    RequestContext,
    SyncRequestContext,
)

handlers = Handlers()
SOON = Backoff(timedelta(milliseconds=10), timedelta(milliseconds=100))
MANY = 10_000
"""Attempts: each kill in the middle of one costs one."""


class Work(BaseModel):
    """What every action here takes."""

    seed: int
    steps: Annotated[int, Field(ge=1)] = 1
    pause_ms: int = 0
    every: Annotated[int, Field(ge=1)] = 1
    """After how many chunks one carries a checkpoint."""
    failures: int = 0
    """So many first attempts fail by themselves."""


def following(state: int, seed: int) -> int:
    """The next link of a chain."""
    return (state * 1_103_515_245 + seed) % 2_147_483_648


def begun(checkpoint: JsonValue) -> tuple[int, int]:
    """How many links there are, and the last one."""
    if isinstance(checkpoint, list):
        done, state = checkpoint
        if isinstance(done, int) and isinstance(state, int):
            return done, state
    return 0, 0


def finished(state: int, steps: int) -> JsonValue:
    """A result."""
    return {"steps": steps, "state": state}


async def chain(ctx: RequestContext, work: Work, *, checkpoints: bool) -> JsonValue:
    """Streams a chain."""
    done, state = begun(ctx.checkpoint)
    for number in range(done, work.steps):
        await asyncio.sleep(work.pause_ms / 1000)
        state = following(state, work.seed)
        await ctx.progress(100 * (number + 1) / work.steps)
        link: JsonValue = [number, state]
        if checkpoints and (number + 1) % work.every == 0:
            await ctx.chunk(link, checkpoint=[number + 1, state])
        else:
            await ctx.chunk(link)
    # What the attempt before reported died with it, and there may have been nothing left to do.
    await ctx.progress(100)
    return finished(state, work.steps)


@handlers.register("chain", attempts=MANY, backoff=SOON)
async def kept_chain(ctx: RequestContext, work: Work) -> JsonValue:
    """Chunks, some of them with a checkpoint: the others are void when an attempt is lost."""
    return await chain(ctx, work, checkpoints=True)


@handlers.register("stream", attempts=MANY, backoff=SOON)
async def stream(ctx: RequestContext, work: Work) -> JsonValue:
    """Chunks without a checkpoint: each attempt begins anew."""
    return await chain(ctx, work, checkpoints=False)


@handlers.register("once", attempts=1)
async def once(ctx: RequestContext, work: Work) -> JsonValue:
    """A chain that may not fail at all: only what a server hands back is tried again."""
    return await chain(ctx, work, checkpoints=True)


@handlers.register("computed", attempts=MANY, backoff=SOON, executor="process")
@handlers.register("threaded", attempts=MANY, backoff=SOON)
def threaded(ctx: SyncRequestContext, work: Work) -> JsonValue:
    """A chain in a thread or a process; the checkpoints come between the chunks."""
    done, state = begun(ctx.checkpoint)
    for number in range(done, work.steps):
        time.sleep(work.pause_ms / 1000)
        state = following(state, work.seed)
        ctx.chunk([number, state])
        ctx.save_checkpoint([number + 1, state])
    return finished(state, work.steps)


@handlers.register("flaky", attempts=MANY, backoff=SOON)
async def flaky(ctx: RequestContext, work: Work) -> JsonValue:
    """Fails by itself at first, with a chunk that does not stand."""
    state = following(0, work.seed)
    await ctx.chunk([0, state])
    if ctx.attempt <= work.failures:
        raise HandlerError("not_yet", "It is too early.", retryable=True)
    return finished(state, 1)


@handlers.register("measure", attempts=MANY, backoff=SOON)
async def measure(ctx: RequestContext, work: Work) -> JsonValue:
    """Reports far more progress than anybody is sent."""
    state = 0
    for number in range(work.steps):
        state = following(state, work.seed)
        await ctx.progress(100 * (number + 1) / work.steps, f"step {number}", {"state": state})
        if number % 50 == 0:
            await asyncio.sleep(work.pause_ms / 1000)
    return finished(state, work.steps)


@handlers.register("quick", durable=False)
async def quick(ctx: RequestContext, work: Work) -> JsonValue:
    """Answered at once."""
    return finished(following(0, work.seed), 1)


@handlers.register(
    "promoted",
    durable=False,
    attempts=MANY,
    backoff=SOON,
    sync_window=timedelta(milliseconds=20),
)
async def promoted(ctx: RequestContext, work: Work) -> JsonValue:
    """A quick action that takes about as long as it may, and is then stored after all."""
    await asyncio.sleep(work.pause_ms / 1000)
    return finished(following(0, work.seed), 1)


@handlers.register("wait", attempts=MANY, backoff=SOON)
async def wait(ctx: RequestContext, work: Work) -> JsonValue:
    """Never ends by itself."""
    await ctx.chunk([0, following(0, work.seed)])
    await asyncio.Event().wait()
    return None


@handlers.register("document", attempts=MANY, backoff=SOON)
async def document(ctx: RequestContext, work: Work) -> JsonValue:
    """Attaches a file."""
    state, digest = 0, hashlib.sha256()
    async with ctx.file("chain.txt", "text/plain") as file:
        for _ in range(work.steps):
            state = following(state, work.seed)
            line = f"{state}\n".encode()
            digest.update(line)
            await file.write(line)
    assert file.sha256 == digest.hexdigest()
    return finished(state, work.steps)
