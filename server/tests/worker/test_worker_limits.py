# SPDX-License-Identifier: Apache-2.0
"""Limits of concurrency as several workers keep to them: woken by the bell, never by the poll."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from worker_harness import Node, node

from longcall_server import HandlerError, Handlers, RequestContext
from longcall_server.bus.local import LocalBus
from longcall_server.core.turns import KEPT_PART
from longcall_server.stores import base
from longcall_server.stores.base import Owner, RequestKey
from longcall_server.stores.memory import MemoryStore

POLL_MS = 3_600_000
"""Longer than any test: nothing here begins because of it."""


class Watch:
    """How many handlers run at once, by action."""

    def __init__(self) -> None:
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def work(self, ctx: RequestContext) -> None:
        """Runs over a few turns of the loop; the first attempt of a `flaky` one fails."""
        self.running[ctx.action] += 1
        self.most[ctx.action] = max(self.most[ctx.action], self.running[ctx.action])
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            if ctx.action == "flaky" and ctx.attempt == 1:
                raise HandlerError("again", "", retryable=True)
        finally:
            self.running[ctx.action] -= 1


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.mark.parametrize("action", ["scarce", "flaky"])
async def test_the_limit_of_an_action_holds_over_all_workers_and_nothing_is_forgotten(
    watch: Watch, tmp_path: Path, action: str
) -> None:
    handlers = Handlers()
    handlers.register(action, concurrency=2)(watch.work)
    handlers.register("plenty")(watch.work)
    store, bus = MemoryStore(random=lambda: 0.0), LocalBus()
    async with (
        node(handlers, tmp_path, store=store, bus=bus, name="one", poll_ms=POLL_MS) as one,
        node(
            handlers, tmp_path, store=store, bus=bus, name="two", poll_ms=POLL_MS, alone=False
        ) as two,
    ):
        keys = [await at.submit(action) for _ in range(12) for at in _numbered(one, two)]
        keys += [await at.submit("plenty") for _ in range(12) for at in _numbered(one, two)]
        for key in keys:
            assert (await one.finished(key)).status == "completed"
    assert watch.most[action] == 2
    assert watch.most["plenty"] > 2


async def test_the_limit_of_a_tenant_holds_and_another_tenant_does_not_wait(
    watch: Watch, tmp_path: Path
) -> None:
    handlers = Handlers()
    gate = asyncio.Event()

    @handlers.register("long")
    async def long(ctx: RequestContext) -> None:
        watch.running[ctx.tenant_id] += 1
        watch.most[ctx.tenant_id] = max(watch.most[ctx.tenant_id], watch.running[ctx.tenant_id])
        await gate.wait()
        watch.running[ctx.tenant_id] -= 1

    async with node(handlers, tmp_path, poll_ms=POLL_MS, tenant_concurrency=2) as at:
        keys = [await at.submit("long") for _ in range(5)]
        other = replace(at.new("long"), key=RequestKey(Owner("another", "user"), "first"))
        await at.store.submit(other, max_in_flight=10)
        at.bus.work_available()
        await at.until(other.key, lambda record: record.status == "processing")
        waiting = [key for key in keys if (await at.record(key)).status == "queued"]
        assert len(waiting) == 3
        gate.set()
        for key in (*keys, other.key):
            await at.finished(key)
    assert watch.most == Counter({"tenant": 2, "another": 1})


async def test_an_owner_whose_requests_run_long_does_not_fill_a_worker(
    watch: Watch, tmp_path: Path
) -> None:
    handlers = Handlers()
    gate = asyncio.Event()

    @handlers.register("long")
    async def long(ctx: RequestContext) -> None:
        watch.running[ctx.sub] += 1
        watch.most[ctx.sub] = max(watch.most[ctx.sub], watch.running[ctx.sub])
        await gate.wait()
        watch.running[ctx.sub] -= 1

    async with node(handlers, tmp_path, poll_ms=POLL_MS, concurrency=2 * KEPT_PART) as at:
        keys = [await at.submit("long") for _ in range(4 * KEPT_PART)]
        for key in keys[: 2 * KEPT_PART - 2]:
            await at.until(key, lambda record: record.status == "processing")
        # The places that are left are not the flooder's, and a late comer's request begins at once.
        late = [
            replace(at.new("long"), key=RequestKey(Owner("tenant", name), "first"))
            for name in ("late", "later")
        ]
        for one in late:
            await at.store.submit(one, max_in_flight=10)
            at.bus.work_available()
            await at.until(one.key, lambda record: record.status == "processing")
        running = [key for key in keys if (await at.record(key)).status == "processing"]
        assert len(running) == 2 * KEPT_PART - 2
        gate.set()
        # The kept places stop nobody for good: what had to wait runs as others end.
        for key in (*keys, *(one.key for one in late)):
            await at.finished(key)
    assert watch.most == Counter({keys[0].owner.sub: 2 * KEPT_PART - 2, "late": 1, "later": 1})


async def test_the_limit_of_an_owner_holds_over_all_workers_and_nothing_is_forgotten(
    watch: Watch, tmp_path: Path
) -> None:
    handlers = Handlers()
    handlers.register("work")(watch.work)
    store, bus = MemoryStore(random=lambda: 0.0), LocalBus()
    limit: dict[str, Any] = {"poll_ms": POLL_MS, "owner_concurrency": 2}
    async with (
        node(handlers, tmp_path, store=store, bus=bus, name="one", **limit) as one,
        node(handlers, tmp_path, store=store, bus=bus, name="two", alone=False, **limit) as two,
    ):
        keys = [await at.submit("work") for _ in range(12) for at in _numbered(one, two)]
        for key in keys:
            assert (await one.finished(key)).status == "completed"
    assert watch.most["work"] == 2


class Swept(MemoryStore):
    """Tells when somebody has swept it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.was_swept = asyncio.Event()

    async def sweep(self, *, limit: int = 1_000) -> base.Swept:
        try:
            return await super().sweep(limit=limit)
        finally:
            self.was_swept.set()


async def test_a_retry_whose_worker_is_full_when_it_is_due_goes_to_another(tmp_path: Path) -> None:
    ran: list[tuple[str, int]] = []
    fails, ends = asyncio.Event(), asyncio.Event()

    async def flaky(ctx: RequestContext) -> None:
        ran.append((ctx.request_id, ctx.attempt))
        if ctx.attempt == 1:
            await fails.wait()
            raise HandlerError("again", "", retryable=True)

    async def long(ctx: RequestContext) -> None:
        await ends.wait()

    both, one_action = Handlers(), Handlers()
    both.register("flaky")(flaky)
    both.register("long")(long)
    one_action.register("flaky")(flaky)
    store, bus = Swept(random=lambda: 0.3), LocalBus()
    async with node(
        both, tmp_path, store=store, bus=bus, name="one", poll_ms=POLL_MS, concurrency=1
    ) as one:
        retried = await one.submit("flaky")
        await one.until(retried, lambda record: record.status == "processing")
        waits = await one.submit("long")
        store.was_swept.clear()
        async with node(
            one_action, tmp_path, store=store, bus=bus, name="two", poll_ms=POLL_MS, alone=False
        ):
            # Whatever `two` learns by itself it has learnt; from here on nothing is submitted.
            await asyncio.wait_for(store.was_swept.wait(), 20)
            fails.set()
            assert (await one.finished(retried)).status == "completed"
            assert (await one.record(waits)).status == "processing"
        ends.set()
        await one.finished(waits)
    assert ran == [(retried.id, 1), (retried.id, 2)]


def _numbered(*nodes: Node) -> tuple[Node, ...]:
    """The nodes, with ids that do not meet."""
    for n, one in enumerate(nodes):
        one.prefix = f"{n}-"
    return nodes
