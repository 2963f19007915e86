# SPDX-License-Identifier: Apache-2.0
"""Handlers that do what their payload says, so that a seed decides everything.

A payload is `{"plans": [[step, …], …], "stubborn": bool}`: one plan for each attempt, the last one
for all further ones. Pieces (chunks) are numbered from 0, and the number goes on from the
checkpoint: so what a reader assembles must be 0, 1, … n-1, with n in the result.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Protocol

from longcall_server import (
    HandlerError,
    Handlers,
    JsonValue,
    LogLimitReached,
    RequestContext,
)
from longcall_server.handlers import Backoff

Plan = list[list[Any]]


class Planned(Exception):
    """What a handler raises when it is to fail unexpectedly."""


class Stage(Protocol):
    """Who watches the handlers."""

    over: bool

    def began(self, ctx: RequestContext) -> None:
        """A handler was called."""

    def reported(self, ctx: RequestContext, version: int) -> None:
        """A handler reported progress for the so-manieth time."""

    def happened(self, what: str) -> None:
        """Counts."""


class _Stages:
    current: Stage


def set_stage(stage: Stage) -> None:
    """From now on the handlers play for this one."""
    _Stages.current = stage


async def _play(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    stage = _Stages.current
    stage.began(ctx)
    assert isinstance(payload, dict)
    plans: Any = payload["plans"]
    stubborn = bool(payload.get("stubborn"))
    pieces = ctx.checkpoint if isinstance(ctx.checkpoint, int) else 0
    reports = 0
    for verb, *rest in plans[min(ctx.attempt, len(plans)) - 1]:
        match verb:
            case "wait":
                await _wait(stage, rest[0] / 1000, stubborn=stubborn)
            case "chunk":
                await ctx.chunk(pieces)
                pieces += 1
            case "bulk":
                try:
                    await ctx.chunk({"n": pieces, "text": "x" * rest[0]})
                    pieces += 1
                except LogLimitReached:
                    # The request ends with it, whatever the handler makes of it.
                    if not stubborn:
                        raise
            case "mark":
                await ctx.chunk(pieces, checkpoint=pieces + 1)
                pieces += 1
            case "save":
                await ctx.save_checkpoint(pieces)
            case "progress":
                reports += 1
                stage.reported(ctx, reports)
                await ctx.progress(min(100, reports * 10), details={"n": pieces})
            case "fail":
                stage.happened("handler fails" if not rest[0] else "handler fails, retryable")
                raise HandlerError("BROKEN", "as planned", retryable=rest[0])
            case "crash":
                stage.happened("handler raises")
                raise Planned
            case _:
                raise AssertionError(f"no step {verb}")
    return {"n": pieces}


async def _wait(stage: Stage, seconds: float, *, stubborn: bool) -> None:
    if not stubborn:
        await asyncio.sleep(seconds)
        return
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + seconds
    while (left := ends_at - loop.time()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            if stage.over:
                raise
            stage.happened("handler ignores a cancel")


_BACKOFF = Backoff(initial=timedelta(seconds=1), maximum=timedelta(seconds=4))
GRACE_MS = 4_000
SYNC_WINDOW_MS = 600
RETENTION_MS = 3_000
DEADLINE_MS = 12_000

HANDLERS = Handlers()
HANDLERS.register("job", backoff=_BACKOFF, cancel_grace=timedelta(milliseconds=GRACE_MS))(_play)
HANDLERS.register("once", attempts=1, cancel_grace=timedelta(milliseconds=GRACE_MS))(_play)
HANDLERS.register(
    "brief",
    attempts=2,
    backoff=_BACKOFF,
    retention=timedelta(milliseconds=RETENTION_MS),
    cancel_grace=timedelta(milliseconds=GRACE_MS),
)(_play)
HANDLERS.register(
    "tight",
    concurrency=1,
    backoff=_BACKOFF,
    deadline=timedelta(milliseconds=DEADLINE_MS),
    cancel_grace=timedelta(milliseconds=GRACE_MS),
)(_play)
HANDLERS.register(
    "quick", durable=False, backoff=_BACKOFF, cancel_grace=timedelta(milliseconds=GRACE_MS)
)(_play)
ACTIONS = HANDLERS.actions()
QUICK = ("quick",)
