# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests over sockets; helpers beside this file are imported by their names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gateway_harness import Harness, gateway
from gateway_stage import Stage

from longcall_server import Handlers, JsonValue, RequestContext

# Its assertions tell what they compared, as those of a test module do; before anybody imports it.
pytest.register_assert_rewrite("longcall_server.stores.suite")


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def handlers(stage: Stage) -> Handlers:
    made = Handlers()

    @made.register("echo", durable=False)
    async def echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
        return payload

    @made.register("quick_wait", durable=False)
    async def quick_wait(ctx: RequestContext) -> str:
        await stage.enter(ctx)
        await stage.go_on.wait()
        return "done"

    @made.register("wait")
    async def wait(ctx: RequestContext, payload: JsonValue) -> JsonValue:
        await stage.enter(ctx)
        await stage.go_on.wait()
        return payload

    @made.register("count")
    async def count(ctx: RequestContext, payload: int) -> int:
        for number in range(payload):
            await ctx.chunk(number)
        return payload

    @made.register("pour")
    async def pour(ctx: RequestContext, payload: int) -> None:
        for _ in range(payload):
            await ctx.chunk("x" * 60_000)

    return made


@pytest.fixture
async def at(handlers: Handlers, tmp_path: Path) -> AsyncIterator[Harness]:
    async with gateway(handlers, tmp_path) as harness:
        yield harness
