# SPDX-License-Identifier: Apache-2.0
import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from worker_harness import SOON, node

from longcall_server import (
    Handlers,
    RequestContext,
)
from longcall_server.stores.base import (
    OutcomeUnknown,
    Record,
    Renewal,
    Renewed,
    StoredProgress,
    StoreUnavailable,
)
from longcall_server.stores.memory import MemoryStore


@pytest.mark.clause("5.4.2", "10.17.3")
@pytest.mark.complaint(8)
async def test_a_lost_lease_fences_the_attempt_and_another_one_follows(
    handlers: Handlers, tmp_path: Path
) -> None:
    stopped = asyncio.Event()

    @handlers.register("work", backoff=SOON)
    async def work(ctx: RequestContext) -> int:
        await ctx.chunk(ctx.attempt)
        if ctx.attempt == 1:
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()
        return ctx.attempt

    class Deaf(MemoryStore):
        """Answers no renewal while a first attempt runs: the worker cannot keep its lease."""

        async def renew(self, renewals: Sequence[Renewal], *, lease_ms: int) -> Sequence[Renewed]:
            found = await self.get(renewals[0].lease.key)
            if isinstance(found, Record) and (found.attempt, found.status) == (1, "processing"):
                raise StoreUnavailable
            return await super().renew(renewals, lease_ms=lease_ms)

    async with node(handlers, tmp_path, store=Deaf(), lease_ms=30, poll_ms=10) as at:
        record = await at.finished(await at.submit("work"))
        assert (record.attempt, record.result, record.failures) == (2, "2", 1)
        await asyncio.wait_for(stopped.wait(), 10)


@pytest.mark.clause("5.4.1")
@pytest.mark.complaint(8)
async def test_leases_are_renewed_and_carry_progress(handlers: Handlers, tmp_path: Path) -> None:
    release = asyncio.Event()

    @handlers.register("work")
    async def work(ctx: RequestContext) -> str:
        await ctx.progress(42)
        await release.wait()
        return "done"

    seen: list[StoredProgress | None] = []
    renewed = asyncio.Event()

    class Watched(MemoryStore):
        async def renew(self, renewals: Sequence[Renewal], *, lease_ms: int) -> Sequence[Renewed]:
            seen.extend(renewal.progress for renewal in renewals)
            if len(seen) > 2:
                renewed.set()
            return await super().renew(renewals, lease_ms=lease_ms)

    async with node(handlers, tmp_path, store=Watched(), lease_ms=90) as at:
        key = await at.submit("work")
        await asyncio.wait_for(renewed.wait(), 20)
        assert seen[-1] is not None
        assert json.loads(seen[-1].body)["percentage"] == 42
        assert (await at.record(key)).attempt == 1
        release.set()
        assert (await at.finished(key)).result == '"done"'


@pytest.mark.parametrize("verb", ["claim", "sweep", "renew"])
async def test_a_store_that_fails_for_a_while_is_asked_again(
    handlers: Handlers, tmp_path: Path, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @handlers.register("work")
    async def work(ctx: RequestContext) -> str:
        return "done"

    store = MemoryStore()
    whole: Callable[..., Any] = getattr(store, verb)
    failures = iter([StoreUnavailable(), OutcomeUnknown(), RuntimeError("a defect")])

    async def flaky(*args: Any, **options: Any) -> Any:
        for failure in failures:
            raise failure
        return await whole(*args, **options)

    monkeypatch.setattr(store, verb, flaky)
    async with node(handlers, tmp_path, store=store, poll_ms=20, lease_ms=60) as at:
        key = await at.submit("work")
        assert (await at.finished(key)).result == '"done"'
        while next(failures, None) is not None:
            await at.finished(await at.submit("work"))


async def test_a_cancel_that_the_store_could_not_tell_of_is_asked_for_again(
    handlers: Handlers, tmp_path: Path
) -> None:
    started = asyncio.Event()

    @handlers.register("work")
    async def work(ctx: RequestContext) -> None:
        started.set()
        await asyncio.Event().wait()

    class Flaky(MemoryStore):
        """Fails the first renewal."""

        failed = False

        async def renew(self, renewals: Sequence[Renewal], *, lease_ms: int) -> Sequence[Renewed]:
            if not self.failed:
                self.failed = True
                raise StoreUnavailable
            return await super().renew(renewals, lease_ms=lease_ms)

    # Leases and the grace of the cancel are far longer than a test waits.
    async with node(handlers, tmp_path, store=Flaky(), lease_ms=600_000) as at:
        key = await at.submit("work", cancel_grace_ms=600_000)
        await asyncio.wait_for(started.wait(), 20)
        await at.cancel(key, "enough")
        assert (await at.finished(key)).status == "cancelled"
