# SPDX-License-Identifier: Apache-2.0
"""The clock jumps, the dead do nothing, and the stalled do everything later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from simulation.loop import Life, VirtualLoop

Log = list[tuple[str, float]]
Work = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop()
    yield made
    made.close()


def begin(loop: VirtualLoop, life: Life, work: Work) -> asyncio.Task[None]:
    return loop.create_task(work(), context=life.context())


def run_until(loop: VirtualLoop, at: float) -> None:
    """Lets time pass, seen from no process."""
    loop.call_at(at, loop.stop)
    loop.run_forever()


def ticker(loop: VirtualLoop, log: Log, name: str) -> Work:
    async def tick() -> None:
        try:
            for _ in range(3):
                await asyncio.sleep(10)
                log.append((name, loop.time()))
        finally:
            log.append((f"{name} ends", loop.time()))

    return tick


def test_an_hour_passes_at_once(loop: VirtualLoop) -> None:
    async def hour() -> float:
        await asyncio.sleep(3600)
        return loop.time()

    assert loop.run_until_complete(hour()) == 3600
    assert loop.steps < 10


def test_timers_of_one_moment_run_in_the_order_of_their_making(loop: VirtualLoop) -> None:
    seen: list[int] = []
    for number in range(50):
        loop.call_at(5.0, seen.append, number)
    run_until(loop, 5.0)
    assert seen == list(range(50))


def test_a_cancelled_timer_does_not_run(loop: VirtualLoop) -> None:
    seen: list[str] = []
    loop.call_at(1.0, seen.append, "cancelled").cancel()
    loop.call_at(2.0, seen.append, "kept")
    run_until(loop, 3.0)
    assert seen == ["kept"]


def test_a_killed_process_does_nothing_more_not_even_what_cleans_up(loop: VirtualLoop) -> None:
    log: Log = []
    killed, other = Life("killed"), Life("other")
    task = begin(loop, killed, ticker(loop, log, "killed"))
    begin(loop, other, ticker(loop, log, "other"))
    run_until(loop, 15)
    killed.dead = True
    task.cancel()
    run_until(loop, 100)
    assert log == [("killed", 10), ("other", 10), ("other", 20), ("other", 30), ("other ends", 30)]
    assert not task.done()
    loop.bury([killed])
    run_until(loop, 101)
    assert task.cancelled()


def test_a_stalled_process_does_everything_later(loop: VirtualLoop) -> None:
    log: Log = []
    life = Life("stalled")
    begin(loop, life, ticker(loop, log, "stalled"))
    run_until(loop, 5)
    life.stalled = True
    loop.call_at(17, loop.resume, life)
    run_until(loop, 100)
    assert log == [("stalled", 17), ("stalled", 27), ("stalled", 37), ("stalled ends", 37)]


def test_what_a_process_begins_belongs_to_it(loop: VirtualLoop) -> None:
    log: Log = []
    life = Life("parent")
    children: list[asyncio.Task[None]] = []

    async def parent() -> None:
        children.append(asyncio.create_task(ticker(loop, log, "child")()))
        loop.call_later(3, log.append, ("callback", 3.0))

    begin(loop, life, parent)
    run_until(loop, 1)
    life.dead = True
    run_until(loop, 100)
    assert log == []
    loop.bury([life])
    run_until(loop, 101)


def test_a_loop_with_nothing_left_to_do_says_that_it_is_stuck(loop: VirtualLoop) -> None:
    async def wait_for_ever() -> None:
        await loop.create_future()

    with pytest.raises(RuntimeError, match="stuck"):
        loop.run_until_complete(wait_for_ever())
    loop.bury([])
    loop.call_soon(loop.stop)
    loop.run_forever()
