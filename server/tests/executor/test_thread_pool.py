# SPDX-License-Identifier: Apache-2.0
import asyncio
import contextvars
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from longcall_server.core.turns import KEPT_PART
from longcall_server.executor.thread_pool import ThreadPool


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    pool = ThreadPool(2)
    yield pool
    pool.close()


async def test_values_and_exceptions_come_back(pool: ThreadPool) -> None:
    assert await pool.submit(lambda: 7).outcome == (7, None)
    error = ValueError("no")

    def fail() -> None:
        raise error

    assert await pool.submit(fail).outcome == (None, error)


async def test_no_more_threads_run_than_the_size(pool: ThreadPool) -> None:
    gate, lock = threading.Event(), threading.Lock()
    running, most = 0, 0

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        gate.wait(10)
        with lock:
            running -= 1

    calls = [pool.submit(work) for _ in range(6)]
    gate.set()
    await asyncio.gather(*(call.outcome for call in calls))
    assert most <= 2


async def test_idle_threads_are_used_again(pool: ThreadPool) -> None:
    names = set()
    for _ in range(20):
        name, _ = await pool.submit(lambda: threading.current_thread().name).outcome
        names.add(name)
    assert len(names) <= 2


async def test_a_waiting_call_can_be_withdrawn_and_a_running_one_not(pool: ThreadPool) -> None:
    gate, started = threading.Event(), threading.Barrier(3)

    def work() -> None:
        started.wait(10)
        gate.wait(10)

    running = [pool.submit(work) for _ in range(2)]
    await asyncio.to_thread(started.wait, 10)
    waiting = pool.submit(lambda: "never")
    assert pool.withdraw(waiting)
    assert not pool.withdraw(waiting)
    assert not pool.withdraw(running[0])
    gate.set()
    await asyncio.gather(*(call.outcome for call in running))
    assert not waiting.outcome.done()


async def test_an_abandoned_call_makes_room_and_its_thread_goes(pool: ThreadPool) -> None:
    gate, started = threading.Event(), threading.Barrier(3)

    def stuck() -> threading.Thread:
        started.wait(10)
        gate.wait(10)
        return threading.current_thread()

    calls = [pool.submit(stuck) for _ in range(2)]
    await asyncio.to_thread(started.wait, 10)
    waiting = pool.submit(lambda: "ran")
    pool.abandon(calls[0])
    pool.abandon(calls[0])
    assert await waiting.outcome == ("ran", None)
    gate.set()
    thread, _ = await calls[0].outcome
    assert thread is not None
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()


async def test_the_callers_context_variables_are_seen(pool: ThreadPool) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("here")
    assert await pool.submit(variable.get).outcome == ("here", None)


async def test_a_closed_pool_takes_nothing(pool: ThreadPool) -> None:
    pool.close()
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(lambda: None)


async def test_owners_take_turns() -> None:
    pool = ThreadPool(1)  # with more, who writes down first that it began is up to the system
    gate, began = threading.Event(), []
    held = pool.submit(lambda: gate.wait(20), "held")

    def work(name: str) -> None:
        began.append(name)

    calls = [pool.submit(lambda: work("flood"), "flood") for _ in range(50)]
    calls += [pool.submit(lambda: work("other"), "other") for _ in range(2)]
    gate.set()
    await asyncio.gather(held.outcome, *(call.outcome for call in calls))
    assert began[:5] == ["flood", "other", "flood", "other", "flood"]
    pool.close()


async def test_a_kept_place_is_given_to_the_owner_whose_last_call_has_ended() -> None:
    pool = ThreadPool(KEPT_PART)
    gate, begun = threading.Event(), threading.Semaphore(0)

    def work(ends: threading.Event) -> None:
        begun.release()
        ends.wait(20)

    # Every thread has been started, and all are idle.
    first = threading.Event()
    warm = [pool.submit(lambda: work(first), name) for name in "abcdefgh"]
    for _ in range(KEPT_PART):
        assert await asyncio.to_thread(begun.acquire, timeout=20)
    first.set()
    await asyncio.gather(*(call.outcome for call in warm))
    # One owner runs a call, another fills all other places but the kept one; both want more.
    mine = threading.Event()
    one = pool.submit(lambda: work(mine), "one")
    many = [pool.submit(lambda: work(gate), "many") for _ in range(KEPT_PART)]
    for _ in range(KEPT_PART - 1):
        assert await asyncio.to_thread(begun.acquire, timeout=20)
    next_one = pool.submit(lambda: 7, "one")
    # The place that is free now goes to the many, whose turn it is, and the kept one to this.
    mine.set()
    assert await asyncio.wait_for(next_one.outcome, 10) == (7, None)
    gate.set()
    await asyncio.gather(one.outcome, *(call.outcome for call in many))
    pool.close()


async def test_an_owner_whose_calls_do_not_end_leaves_places_for_others() -> None:
    size = 2 * KEPT_PART
    pool = ThreadPool(size)
    gate = threading.Event()
    running: Counter[str] = Counter()
    full, lock = threading.Event(), threading.Lock()

    def work(name: str) -> None:
        with lock:
            running[name] += 1
            if running["flood"] == size - 2:
                full.set()
        gate.wait(20)

    flood = [pool.submit(lambda: work("flood"), "flood") for _ in range(3 * size)]
    assert await asyncio.to_thread(full.wait, 20)
    quick = [pool.submit(lambda: 7, name) for name in ("a", "b", "a", "c")]
    assert [await call.outcome for call in quick] == [(7, None)] * 4
    assert running == {"flood": size - 2}
    # An abandoned call gives its place to another one of the flood, not a kept one.
    pool.abandon(flood[0])
    late = pool.submit(lambda: 8, "late")
    assert await late.outcome == (8, None)
    gate.set()
    await asyncio.gather(*(call.outcome for call in flood))
    pool.close()
