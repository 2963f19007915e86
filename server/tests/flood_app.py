# SPDX-License-Identifier: Apache-2.0
"""The application of the tests with an owner who floods: it notes in which order it ran things."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

from longcall_server import Handlers, JsonValue, RequestContext

handlers = Handlers()
LONG = timedelta(hours=1)


GATE = asyncio.Event()
ORDER = os.environ.get("LONGCALL_TEST_ORDER")
"""A file to which each process adds whose request it begins, one a line."""


@handlers.register("work")
async def work(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    """A small durable action."""
    if ORDER is not None:
        with open(ORDER, "a") as file:  # noqa: ASYNC230  (a line: it does not wait)
            file.write(f"{ctx.sub}\n")
    return payload


@handlers.register("hold")
async def hold(ctx: RequestContext) -> None:
    """Occupies a place until the gate opens."""
    await GATE.wait()


@handlers.register("open", durable=False, sync_window=LONG)
async def open_gate(ctx: RequestContext) -> None:
    """Opens the gate."""
    GATE.set()


@handlers.register("echo", durable=False)
async def echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    """Answered at once."""
    return payload
