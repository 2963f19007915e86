# SPDX-License-Identifier: Apache-2.0
"""The application of the test with a flood: its store takes no new requests."""

from __future__ import annotations

import asyncio
from typing import Any

from longcall_server import Handlers, JsonValue, RequestContext
from longcall_server.stores.memory import MemoryStore

handlers = Handlers()


async def _never(self: MemoryStore, *args: Any, **kwargs: Any) -> None:
    await asyncio.get_running_loop().create_future()


MemoryStore.submit = _never  # type: ignore[method-assign,assignment]  # a store that hangs


@handlers.register("store")
async def store(ctx: RequestContext, payload: JsonValue) -> None:
    """Durable, so it is never accepted."""


@handlers.register("echo", durable=False)
async def echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    """Quick, so it needs no store."""
    return payload
