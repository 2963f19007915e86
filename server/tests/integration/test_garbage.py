# SPDX-License-Identifier: Apache-2.0
"""A request that is over leaves nothing for the garbage collector: its pauses stop everybody."""

from __future__ import annotations

import gc
from collections import Counter

import pytest
from flood_app import handlers
from wire import Wire, connected, settings

from longcall_server.server import Server

REQUESTS = 20


@pytest.mark.parametrize(("action", "end"), [("work", "complete"), ("echo", "response")])
async def test_what_is_over_is_freed_without_the_collector(action: str, end: str) -> None:
    async with Server(settings(), handlers) as server, connected(server.url) as wire:
        await ask(wire, action, end, "before")  # what is made once is made
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for number in range(REQUESTS):
                await ask(wire, action, end, f"r{number}")
            await ask(wire, action, end, "after")  # the end of the one before is written down
            gc.collect()
            left = Counter(type(one).__name__ for one in gc.garbage if is_ours(one))
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert left == {}


async def ask(wire: Wire, action: str, end: str, id: str) -> None:
    await wire.send("request", id=id, action=action, payload=1)
    await wire.until_type(end)


def is_ours(one: object) -> bool:
    return type(one).__module__.startswith("longcall_server.")
