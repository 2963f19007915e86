# SPDX-License-Identifier: Apache-2.0
"""An application as its author writes it: mypy and pyright find nothing in it, and it runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_type

from pydantic import BaseModel

from longcall_server import (
    Backoff,
    HandlerError,
    Handlers,
    JsonValue,
    RequestContext,
    SyncRequestContext,
)

handlers = Handlers()


class Params(BaseModel):
    """Takes a model."""

    pages: int = 2


class Report(BaseModel):
    """Returns a model."""

    rows: int


@dataclass
class Point:
    """Takes a dataclass."""

    x: float = 1
    y: float = 2


@handlers.register(
    "report",
    attempts=5,
    backoff=Backoff(initial=timedelta(seconds=2)),
    deadline=timedelta(minutes=30),
    retention=timedelta(days=7),
    cancel_grace=timedelta(seconds=1),
    concurrency=4,
    description="Makes a report",
)
async def report(ctx: RequestContext, params: Params) -> Report:
    """Uses everything that a context has."""
    state = ctx.checkpoint
    first = state if isinstance(state, int) else 0
    for page in range(first, params.pages):
        await ctx.progress(100 * page / params.pages, f"page {page}", {"page": page})
        assert_type(await ctx.chunk({"page": page}, checkpoint=page + 1), int)
        await ctx.chunk(Report(rows=page))
    await ctx.save_checkpoint({"pages": [1, 2.5, None, "x"]})
    async with ctx.file("report.csv", "text/csv") as file:
        await file.write(b"page\n")
    assert_type(file.size, int)
    assert_type(ctx.deadline is None or ctx.deadline > ctx.created_at, bool)
    return Report(rows=params.pages)


@handlers.register("sum", executor="process", durable=True)
def total(ctx: SyncRequestContext, numbers: list[float]) -> dict[str, float]:
    """Computes in a process."""
    for number in numbers:
        ctx.raise_if_cancelled()
        if number < 0:
            raise HandlerError("negative", "No debts, please.", details={"number": number})
    ctx.progress(100)
    assert_type(ctx.chunk(sum(numbers)), int)
    assert_type(ctx.wait_cancelled(0), bool)
    with ctx.file("numbers.bin") as file:
        file.write(bytes(file.path))
    return {"total": sum(numbers)}


@handlers.register("distance", executor="thread")
def distance(ctx: SyncRequestContext, point: Point) -> float:
    """Waits in a thread."""
    return math.hypot(point.x, point.y)


@handlers.register("echo", durable=False, sync_window=timedelta(seconds=1))
async def echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    """Takes any JSON."""
    return payload


@handlers.register("ping", durable=False)
def ping(ctx: SyncRequestContext) -> None:
    """Takes nothing, returns nothing."""


@handlers.register("anything")
async def anything(ctx: RequestContext, payload: Any) -> Any:
    """Is typed by nobody."""
    return payload


class Service:
    """Holds what its handlers need."""

    def __init__(self, greeting: str) -> None:
        self._greeting = greeting

    async def greet(self, ctx: RequestContext, name: str) -> str:
        """Is a method."""
        return f"{self._greeting}, {name}"

    async def __call__(self, ctx: RequestContext, payload: int) -> int:
        """Is called as it is."""
        return payload + len(self._greeting)


service = Service("Hello")
handlers.register("greet")(service.greet)
handlers.register("service")(service)

# A decorated function is still what it was.
still_a_coroutine: Callable[[RequestContext, Params], Coroutine[Any, Any, Report]] = report
still_a_function: Callable[[SyncRequestContext, list[float]], dict[str, float]] = total
