# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from service_harness import ANN, LAPTOP, PHONE, desk, limits, principal

from longcall_server import Handlers, JsonValue, RequestContext
from longcall_server.answers import Acknowledged, Answered, Refused
from longcall_server.config import load_settings
from longcall_server.core.ratelimit import TokenBucket
from longcall_server.limits import (
    SMALL,
    OwnerPace,
    OwnerRate,
    PendingMemory,
    QuickRoom,
    Share,
    memory_of,
)
from longcall_server.quick import QuickRun
from longcall_server.requests import ServiceSettings
from longcall_server.server import service_settings
from longcall_server.stores.memory import MemoryStore

BOB = principal("bob")
T0 = 1_795_460_000_000


# --- The rate of an owner -------------------------------------------------------------------------


def test_an_owner_gets_a_burst_and_then_its_rate() -> None:
    rate = OwnerRate(per_minute=60, burst=3)
    assert [rate.take("ann", T0) for _ in range(4)] == [0, 0, 0, 1000]
    assert rate.take("ann", T0 + 999) == 1
    assert rate.take("ann", T0 + 1000) == 0
    assert rate.take("ann", T0 + 1000) == 1000


def test_owners_do_not_share() -> None:
    rate = OwnerRate(per_minute=60, burst=1)
    assert (rate.take("ann", T0), rate.take("bob", T0)) == (0, 0)
    assert rate.take("ann", T0) > 0


def test_what_has_filled_up_again_is_forgotten() -> None:
    rate = OwnerRate(per_minute=60, burst=2)
    for number in range(1000):
        assert rate.take(number, T0 + 1000 * number) == 0
    assert len(rate) == 1
    for number in range(1000):
        rate.take(f"at once {number}", T0 + 10**6)
    assert len(rate) == 1000
    for number in range(1000):
        rate.take("later", T0 + 2 * 10**6 + number)
    rate.take("much later", T0 + 3 * 10**6)
    rate.take("and later still", T0 + 4 * 10**6)
    assert len(rate) < 1000


def test_there_are_never_more_than_the_bound_and_nobody_is_refused_for_another() -> None:
    rate = OwnerRate(per_minute=1, burst=1, max_buckets=10)
    assert all(rate.take(number, T0) == 0 for number in range(1000))
    assert len(rate) == 10
    assert rate.take(999, T0) > 0
    assert rate.take(0, T0) == 0


# --- The pace of an owner -------------------------------------------------------------------------


def test_an_owner_is_read_at_once_and_then_at_its_pace() -> None:
    pace = OwnerPace(per_minute=600, burst=2)
    # Each that comes at the same time is told a time of its own.
    assert [pace.pause_ms("ann", T0) for _ in range(4)] == [0, 0, 100, 200]
    assert pace.pause_ms("bob", T0) == 0
    # Who waits as long goes on at that rate, and who waits longer has something at once again.
    assert pace.pause_ms("ann", T0 + 300) == 0
    assert [pace.pause_ms("ann", T0 + 10_000) for _ in range(3)] == [0, 0, 100]


# --- Quick requests -------------------------------------------------------------------------------


def test_quick_requests_have_room_by_number_and_by_size() -> None:
    room = QuickRoom(max_runs=2, max_bytes=10, total_bytes=15)
    assert room.take("ann", 5)
    assert not room.take("ann", 6)
    assert room.take("ann", 5)
    assert not room.take("ann", 0)
    assert not room.take("bob", 6)
    assert room.take("bob", 5)
    room.give_back("ann", 5)
    assert room.take("ann", 5)
    for owner in ("ann", "ann", "bob"):
        room.give_back(owner, 5)
    assert len(room) == 0


# --- Memory of what is being decided --------------------------------------------------------------


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_the_memory_of_a_message_grows_with_its_text_and_its_values() -> None:
    assert memory_of('["' + "x" * 1000 + '"]') > 3000
    assert memory_of("[" + "[]," * 999 + "[]]") > 192_000
    assert memory_of('"' + "x" * 999 + "\U0001f600" + '"') > 12_000


async def test_memory_is_taken_up_to_the_total_and_given_to_who_waits() -> None:
    memory = PendingMemory(400_000)
    owners = [f"owner {number}" for number in range(4)]
    assert all(memory.take(owner, 100_000) for owner in owners)
    assert memory.held == 400_000
    assert not memory.take("late", 100_000)
    waiting = asyncio.create_task(memory.wait("late", 100_000))
    await settle()
    assert not waiting.done()
    memory.give_back(owners[0], 50_000)
    await settle()
    assert not waiting.done()
    memory.give_back(owners[0], 50_000)
    await settle()
    assert waiting.done()
    assert memory.held == 400_000


async def test_an_owner_gets_a_quarter_and_what_is_small_has_room_of_its_own() -> None:
    memory = PendingMemory(400_000)
    assert memory.take("greedy", 100_000)
    assert not memory.take("greedy", 1)
    for owner in ("a", "b", "c"):
        assert memory.take(owner, 100_000)
    assert not memory.take("honest", SMALL + 1)
    assert memory.take("honest", SMALL)
    assert memory.take("another", SMALL)
    assert memory.take("a third", SMALL)
    assert not memory.take("one more", SMALL)  # more than an eighth above the total


async def test_who_waits_gets_its_turn_owner_by_owner_and_before_who_comes_later() -> None:
    memory = PendingMemory(400_000)
    for owner in ("a", "b", "c", "d"):
        assert memory.take(owner, 100_000)
    served: list[str] = []

    async def wait(owner: str, name: str) -> None:
        await memory.wait(owner, 40_000)
        served.append(name)

    names = [("e", "e1"), ("e", "e2"), ("e", "e3"), ("f", "f1"), ("g", "g1")]
    tasks = [asyncio.create_task(wait(owner, name)) for owner, name in names]
    await settle()
    memory.give_back("a", 40_000)
    assert not memory.take("h", SMALL + 1)
    for owner in ("b", "c", "d"):
        memory.give_back(owner, 40_000)
    memory.give_back("a", 60_000)
    await settle()
    assert served == ["e1", "f1", "g1", "e2"]
    memory.give_back("e", 40_000)
    await settle()
    assert served[-1] == "e3"
    await asyncio.gather(*tasks)


async def test_a_message_larger_than_everything_passes_alone() -> None:
    memory = PendingMemory(1000)
    share = Share(memory, 100)
    share.owner = "ann"
    assert share.take(5000)
    assert not share.take(1)
    next_one = asyncio.create_task(share.wait(5000))
    await settle()
    assert not next_one.done()
    share.give_back(5000)
    await settle()
    assert next_one.done()
    assert (share.held, memory.held) == (5000, 5000)


async def test_a_connection_has_a_limit_of_its_own_and_gives_all_back_at_its_end() -> None:
    memory = PendingMemory(1_000_000)
    share, other = Share(memory, 100), Share(memory, 100)
    share.owner = other.owner = "ann"
    assert share.take(60)
    assert not share.take(41)
    assert other.take(60)
    assert share.take(40)
    share.keep(40)
    waiting = asyncio.create_task(share.wait(10))
    await settle()
    share.give_back(40)
    await settle()
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    share.close()
    share.give_back(40)
    share.keep(40)
    assert memory.held == 60
    other.close()
    assert memory.held == 0


async def test_nothing_can_be_given_back_by_who_holds_nothing() -> None:
    memory = PendingMemory(100)
    share = Share(memory, 100)
    share.owner = "ann"
    share.give_back(0)
    assert share.take(60)
    share.give_back(0)
    share.give_back(60)
    share.close()
    assert memory.held == 0


@pytest.mark.parametrize("turns", range(4))
async def test_who_gives_up_waiting_leaves_nothing_behind(turns: int) -> None:
    memory = PendingMemory(100_000)
    assert memory.take("a", 100_000)
    leaving = asyncio.create_task(memory.wait("b", 20_000))
    staying = asyncio.create_task(memory.wait("c", 90_000))
    await settle()
    # At every moment between the cancel and what it leads to, the memory may become free.
    if turns % 2:
        leaving.cancel()
        memory.give_back("a", 100_000)
    else:
        memory.give_back("a", 100_000)
        leaving.cancel()
    for _ in range(turns // 2):
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await staying
    memory.give_back("c", 90_000)
    assert memory.held == 0


# --- Submissions ----------------------------------------------------------------------------------


@pytest.fixture
def handlers() -> Handlers:
    made = Handlers()

    @made.register("echo")
    async def echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
        return payload

    @made.register("quick_echo", durable=False)
    async def quick_echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
        return payload

    return made


def code(answer: object) -> str | None:
    return str(answer.error.code) if isinstance(answer, Refused) else None


@pytest.mark.clause("4.4.2", "6.6.8")
@pytest.mark.parametrize("action", ["echo", "quick_echo"])
async def test_new_requests_of_an_owner_over_its_rate_are_refused_on_all_its_connections(
    handlers: Handlers, tmp_path: Path, action: str
) -> None:
    clock = [T0]
    store = MemoryStore(clock=lambda: clock[0])
    settings = ServiceSettings(submissions_per_minute=60, submission_burst=2)
    async with desk(handlers, tmp_path, store=store, settings=settings, idle=True) as at:
        for number, origin in enumerate((PHONE, LAPTOP)):
            answer = await at.call(action, id=f"r{number}", origin=origin)
            assert isinstance(answer, Acknowledged | Answered)
        for origin in (PHONE, LAPTOP):
            refused = await at.call(action, id="r3", origin=origin)
            assert isinstance(refused, Refused)
            assert (refused.error.code, refused.error.retryable) == ("RATE_LIMITED", True)
            assert refused.error.retry_after_ms == 1000
        assert code(await at.call("nothing", id="r4")) == "UNKNOWN_ACTION"
        assert code(await at.call(action, id="r3", who=BOB)) is None
        clock[0] += 1000
        assert code(await at.call(action, id="r3")) is None


@pytest.mark.clause("6.6.9")
@pytest.mark.parametrize(("per_minute", "burst"), [(6000, 1000), (1, 1), (600_000, 1), (60, 5000)])
def test_a_client_that_keeps_to_its_welcome_and_reconnects_each_second_never_meets_the_rate(
    per_minute: int, burst: int
) -> None:
    settings = service_settings(load_settings(messages_per_minute=per_minute, message_burst=burst))
    rate = OwnerRate(settings.submissions_per_minute, settings.submission_burst)
    allowed = 0
    for second in range(60):
        bucket = TokenBucket(per_minute, burst, T0 + 1000 * second)
        for now in range(T0 + 1000 * second, T0 + 1000 * second + 1000, 250):
            while bucket.take(now):
                assert rate.take("ann", now) == 0
                allowed += 1
    assert allowed >= 60 * burst


@pytest.mark.clause("10.5.1")
async def test_an_owner_over_its_rate_is_still_told_of_what_is_stored(
    handlers: Handlers, tmp_path: Path
) -> None:
    settings = ServiceSettings(submissions_per_minute=1, submission_burst=1)
    async with desk(handlers, tmp_path, settings=settings, idle=True) as at:
        assert isinstance(await at.call("echo", 1), Acknowledged)
        for _ in range(3):
            again = await at.call("echo", 1)
            assert isinstance(again, Acknowledged)
            assert again.duplicate
        assert code(await at.call("echo", 2)) == "CONFLICT"
        assert code(await at.call("echo", 2, id="r2")) == "RATE_LIMITED"
        assert await at.service.find(at.key("r2", ANN)) is None


# --- Quick requests that run ----------------------------------------------------------------------


@pytest.mark.clause("5.3.11")
async def test_quick_requests_of_an_owner_that_run_are_bounded_and_more_are_stored_first(
    tmp_path: Path,
) -> None:
    made, gates = Handlers(), asyncio.Event()

    @made.register("quick_wait", durable=False)
    async def quick_wait(ctx: RequestContext, payload: JsonValue) -> None:
        await gates.wait()

    async with desk(made, tmp_path, bounds=limits(max_in_flight=3)) as at:
        runs = [await at.submit("quick_wait", id=f"q{number}") for number in range(3)]
        assert all(isinstance(run, QuickRun) for run in runs)
        # One that was promoted goes on running, and counts.
        await runs[0].promote()
        stored = await at.submit("quick_wait", id="q3")
        assert isinstance(stored, Acknowledged)
        assert isinstance(await at.submit("quick_wait", id="q4", who=BOB), QuickRun)
        # What is stored counts as everything that is: with the one that was promoted, they are two.
        assert isinstance(await at.submit("quick_wait", id="q5"), Acknowledged)
        assert code(await at.submit("quick_wait", id="q6")) == "RESOURCE_EXHAUSTED"
        gates.set()
        for run in runs:
            await run.execution.ended()
        await at.node.finished(at.key("q3"))
        again = await at.submit("quick_wait", id="q7")
        assert isinstance(again, QuickRun)
        await again.outcome()


async def test_large_quick_requests_are_stored_first_where_they_would_take_too_much(
    tmp_path: Path,
) -> None:
    made, gate = Handlers(), asyncio.Event()

    @made.register("quick_wait", durable=False)
    async def quick_wait(ctx: RequestContext, payload: str) -> None:
        await gate.wait()

    settings = ServiceSettings(quick_bytes=1000)
    async with desk(made, tmp_path, settings=settings) as at:
        assert isinstance(await at.submit("quick_wait", "x" * 500, id="q1"), QuickRun)
        # Bytes are counted, not characters.
        assert isinstance(await at.submit("quick_wait", "\u20ac" * 200, id="q2"), Acknowledged)
        assert isinstance(await at.submit("quick_wait", "", id="q3"), QuickRun)
        gate.set()
