# SPDX-License-Identifier: Apache-2.0
"""Time in tests."""

from __future__ import annotations

import asyncio

from longcall.testing import TestClock


async def test_timers_run_in_their_order_each_at_its_moment() -> None:
    clock = TestClock()
    seen: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        seen.append((name, clock.now()))
        await clock.sleep(1)
        seen.append((name, clock.now()))

    tasks = [asyncio.create_task(sleeper(name, at)) for name, at in (("b", 2), ("a", 1.5))]
    await clock.advance(0)
    assert (clock.pending, clock.now()) == (2, 0)
    await clock.advance(10)
    assert seen == [("a", 1.5), ("b", 2), ("a", 2.5), ("b", 3)]
    assert (clock.pending, clock.now()) == (0, 10)
    await asyncio.gather(*tasks)


async def test_cancelled_timer_is_not_called_even_if_it_is_due_already() -> None:
    clock = TestClock()
    called: list[int] = []
    second = clock._call_later(1, lambda: called.append(2))
    clock._call_later(0.5, second.cancel)
    clock._call_later(0.5, lambda: called.append(1))
    await clock.advance(5)
    assert called == [1]


async def test_advancing_waits_for_everything_that_it_set_going() -> None:
    clock = TestClock()
    steps: list[int] = []

    async def worker(queue: asyncio.Queue[int], to: asyncio.Queue[int]) -> None:
        while True:
            number = await queue.get()
            await asyncio.sleep(0)
            steps.append(number)
            to.put_nowait(number + 1)
            if number > 50:
                return

    one: asyncio.Queue[int] = asyncio.Queue()
    other: asyncio.Queue[int] = asyncio.Queue()
    tasks = [asyncio.create_task(worker(one, other)), asyncio.create_task(worker(other, one))]
    clock._call_later(1, lambda: one.put_nowait(0))
    await clock.advance(1)
    assert steps[-1] == 52
    await asyncio.gather(*tasks)


async def test_task_that_never_rests_does_not_hold_time_up() -> None:
    clock = TestClock()

    async def spin() -> None:
        while True:  # noqa: ASYNC110 - that is what it is for
            await asyncio.sleep(0)

    task = asyncio.create_task(spin())
    await clock.advance(1)
    assert clock.now() == 1
    task.cancel()


def test_advancing_without_an_event_loop_runs_timers_here() -> None:
    clock = TestClock()
    seen: list[float] = []
    clock._call_later(1, lambda: seen.append(clock.now()))
    clock.advance_sync(2)
    assert seen == [1]
