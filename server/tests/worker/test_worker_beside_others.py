# SPDX-License-Identifier: Apache-2.0
"""A worker that is not alone: other processes claim what it leaves, and hear what it rings."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from worker_harness import node

from longcall_server import Handlers, RequestContext
from longcall_server.bus.local import LocalBus
from longcall_server.bus.suite import Heard
from longcall_server.files import FileStore
from longcall_server.handlers import Call
from longcall_server.stores.base import RequestKey, StoredProgress
from longcall_server.stores.memory import MemoryStore
from longcall_server.stores.suite.support import ManualClock, new_request
from longcall_server.worker import Sweeper

HOUR = 3_600_000


class Unwritten:
    """Where nothing is ever written."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was called")


async def test_one_that_does_not_claim_runs_what_it_adopts_and_leaves_the_rest(
    tmp_path: Path,
) -> None:
    handlers, store, bus = Handlers(), MemoryStore(), LocalBus()

    @handlers.register("where")
    async def where(ctx: RequestContext) -> str:
        return "run"

    shared: Any = {"store": store, "bus": bus, "poll_ms": HOUR, "alone": False}
    async with node(handlers, tmp_path / "host", claims=False, name="host", **shared) as host:
        waiting = await host.submit("where")
        claimed = await host.promote("where")
        registration = handlers.get("where")
        assert registration is not None
        execution = host.executor.start(
            registration, Call.of(claimed.record._replace(payload="null")), Unwritten()
        )
        host.worker.adopt(claimed, execution)
        ended = await host.finished(claimed.record.key)
        assert (ended.result, ended.error) == ('"run"', None)
        assert (await host.record(waiting)).status == "queued"
        async with node(handlers, tmp_path / "other", name="other", **shared) as other:
            record = await other.finished(waiting)
            assert (record.result, record.attempt) == ('"run"', 1)


class ShortBus(LocalBus):
    """A bus for which every report of progress is too long."""

    def progress_reported(self, key: RequestKey, progress: StoredProgress) -> bool:
        return False


async def test_progress_that_the_bus_does_not_carry_is_found_in_the_store(tmp_path: Path) -> None:
    handlers, bus = Handlers(), ShortBus()
    go_on = asyncio.Event()

    @handlers.register("report")
    async def report(ctx: RequestContext) -> None:
        for percentage in range(1, 100):
            await ctx.progress(percentage)
        await go_on.wait()
        await ctx.progress(100)
        go_on.clear()
        await go_on.wait()

    async with node(handlers, tmp_path, bus=bus, lease_ms=HOUR, poll_ms=HOUR) as at:
        key = await at.submit("report")
        for percentage in (99, 100):
            found = await at.until(
                key,
                lambda record, percentage=percentage: (  # type: ignore[misc]
                    record.progress is not None
                    and f'"percentage":{percentage}' in record.progress.body
                ),
            )
            assert found.status == "processing"
            go_on.set()
        assert (await at.finished(key)).status == "completed"


async def test_a_sweep_that_takes_back_rings_once_for_the_workers_of_all_processes(
    tmp_path: Path,
) -> None:
    clock, bus = ManualClock(), LocalBus()
    store = MemoryStore(clock=clock, random=lambda: 0.0)
    await store.submit(new_request("a"), max_in_flight=1)
    await store.claim("a-worker-that-is-lost", ["report"], limit=1, lease_ms=1_000)
    clock.advance(10_000)
    rung, found = Heard[str](), Heard[str]()
    bus.watch_work(lambda: rung.add("work"))
    sweeper = Sweeper(
        store,
        bus,
        FileStore(tmp_path),
        poll_ms=HOUR,
        on_work=lambda: found.add("work"),
        on_changed=lambda keys: None,
    )
    running = asyncio.create_task(sweeper.run(), name="longcall sweep")
    try:
        await rung.until("work")
        sweeper.poke()
        await found.until("work")
        # Two processes that rang for what they only find would wake each other for ever.
        assert rung.all == ["work"]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_a_host_that_does_not_claim_finds_to_be_due_is_rung_for(tmp_path: Path) -> None:
    store, bus, rung = MemoryStore(), LocalBus(), Heard[str]()
    await store.submit(new_request("a"), max_in_flight=1)
    bus.watch_work(lambda: rung.add("work"))
    async with node(Handlers(), tmp_path, store=store, bus=bus, claims=False, poll_ms=HOUR):
        await rung.until("work")
