# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable

import pytest

from longcall_server.gateway.lanes import Lanes


def step(log: list[str], name: str, gate: asyncio.Event) -> Callable[[], Awaitable[None]]:
    async def work() -> None:
        log.append(f"{name} begins")
        await gate.wait()
        log.append(f"{name} ends")

    return work


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.clause("10.1.1", "10.1.3")
async def test_work_of_a_lane_is_in_order_and_lanes_do_not_wait_for_each_other() -> None:
    lanes, log = Lanes(100), list[str]()
    slow, fast = asyncio.Event(), asyncio.Event()
    fast.set()
    lanes.run("a", step(log, "a1", slow))
    lanes.run("a", step(log, "a2", fast))
    lanes.run("b", step(log, "b1", fast))
    await turn()
    assert log == ["a1 begins", "b1 begins", "b1 ends"]
    slow.set()
    await turn()
    assert log[3:] == ["a1 ends", "a2 begins", "a2 ends"]
    lanes.run("a", step(log, "a3", fast))
    await turn()
    assert log[-1] == "a3 ends"
    await lanes.close()


async def test_there_is_room_again_when_work_ends() -> None:
    lanes, gate = Lanes(2), asyncio.Event()
    lanes.run("a", step([], "a1", gate))
    fullness = [lanes.is_full]
    lanes.run("a", step([], "a2", gate))
    fullness.append(lanes.is_full)
    waiting = asyncio.create_task(lanes.room())
    await turn()
    assert not waiting.done()
    gate.set()
    await waiting
    fullness.append(lanes.is_full)
    assert fullness == [False, True, False]
    await lanes.close()


async def test_a_close_ends_all_work() -> None:
    lanes, log = Lanes(10), list[str]()
    for name in ("a", "b"):
        lanes.run(name, step(log, name, asyncio.Event()))
        lanes.run(name, step(log, "never", asyncio.Event()))
    task = lanes.spawn(lambda: asyncio.sleep(3600))
    await turn()
    await lanes.close()
    assert task.cancelled()
    assert log == ["a begins", "b begins"]
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_that_never_began_leaves_nothing_behind() -> None:
    lanes, log = Lanes(10), list[str]()
    lanes.run("a", step(log, "a", asyncio.Event()))
    await lanes.close()
    gc.collect()  # would warn of a coroutine that was never awaited
    assert log == []
