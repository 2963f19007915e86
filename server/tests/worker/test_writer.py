# SPDX-License-Identifier: Apache-2.0
import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from worker_harness import SOON, files_below, node

from longcall_server import (
    Handlers,
    LogLimitReached,
    RequestContext,
)
from longcall_server.stores.base import (
    Lease,
    OutcomeUnknown,
    Record,
    StoreLimits,
)
from longcall_server.stores.memory import MemoryStore


class Doubtful(MemoryStore):
    """Commits every write, and says at first that it does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.doubted: set[object] = set()

    def _doubt(self, what: object) -> None:
        if what not in self.doubted:
            self.doubted.add(what)
            raise OutcomeUnknown

    async def append(self, lease: Lease, draft: Any, **options: Any) -> int:
        seq = await super().append(lease, draft, **options)
        self._doubt(("append", options["operation"]))
        return seq

    async def complete(self, lease: Lease, result: str, **options: Any) -> Record:
        record = await super().complete(lease, result, **options)
        self._doubt("complete")
        return record

    async def fail(self, lease: Lease, error: str, **options: Any) -> Record:
        record = await super().fail(lease, error, **options)
        self._doubt("fail")
        return record


@pytest.mark.clause("10.18.2", "10.18.3")
async def test_unknown_outcomes_are_repeated_without_a_second_effect(
    handlers: Handlers, tmp_path: Path
) -> None:
    @handlers.register("work", backoff=SOON)
    async def work(ctx: RequestContext) -> list[int]:
        first = await ctx.chunk(1)
        await ctx.save_checkpoint("here")
        second = await ctx.chunk(2)
        if ctx.attempt == 1:
            raise RuntimeError("once")
        return [first, second]

    store = Doubtful()
    async with node(handlers, tmp_path, store=store) as at:
        key = await at.submit("work")
        record = await at.finished(key)
        assert (record.attempt, record.failures) == (2, 1)
        assert record.result == "[7,8]"
        assert len(await at.log(key)) == 9
    assert {"complete", "fail", ("append", 3)} <= store.doubted


@pytest.mark.clause("5.5.3")
async def test_a_handler_is_told_of_a_write_once_it_is_stored(
    handlers: Handlers, tmp_path: Path
) -> None:
    go_on, entered, told = asyncio.Semaphore(0), asyncio.Queue[int](), list[str]()

    class Slow(MemoryStore):
        async def append(self, lease: Lease, draft: Any, **options: Any) -> int:
            entered.put_nowait(options["operation"])
            await go_on.acquire()
            return await super().append(lease, draft, **options)

    @handlers.register("work")
    async def work(ctx: RequestContext) -> None:
        await ctx.chunk("x")
        told.append("chunk")
        await ctx.save_checkpoint("here")
        told.append("checkpoint")

    async with node(handlers, tmp_path, store=Slow()) as at:
        key = await at.submit("work")
        for stored in ([], ["chunk"]):
            await entered.get()
            for _ in range(10):
                await asyncio.sleep(0)
            assert told == stored
            go_on.release()
        await at.finished(key)
    assert told == ["chunk", "checkpoint"]


async def test_a_cancel_in_the_midst_of_a_write_does_not_break_the_numbering(
    handlers: Handlers, tmp_path: Path
) -> None:
    gate, entered = asyncio.Event(), asyncio.Event()

    class Slow(MemoryStore):
        async def append(self, lease: Lease, draft: Any, **options: Any) -> int:
            entered.set()
            await gate.wait()
            return await super().append(lease, draft, **options)

    @handlers.register("work")
    async def work(ctx: RequestContext) -> int:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await ctx.chunk("interrupted, and written all the same")
        return await ctx.chunk("after it")

    async with node(handlers, tmp_path, store=Slow()) as at:
        key = await at.submit("work")
        await entered.wait()
        gate.set()
        assert (await at.finished(key)).result == "4"


@pytest.mark.clause("1.1.1")
async def test_chunks_of_many_tasks_get_a_number_each(handlers: Handlers, tmp_path: Path) -> None:
    @handlers.register("work")
    async def work(ctx: RequestContext) -> list[int]:
        return sorted(await asyncio.gather(*(ctx.chunk(n) for n in range(10))))

    async with node(handlers, tmp_path) as at:
        record = await at.finished(await at.submit("work"))
        assert record.result == json.dumps([*range(3, 13)], separators=(",", ":"))


@pytest.mark.clause("10.44.3")
async def test_a_full_log_ends_the_request_even_if_the_handler_goes_on(
    handlers: Handlers, tmp_path: Path
) -> None:
    @handlers.register("work", attempts=3)
    async def work(ctx: RequestContext) -> str:
        with contextlib.suppress(LogLimitReached):
            while True:
                await ctx.chunk("x" * 1000)
        return "as if nothing were wrong"

    @handlers.register("big", attempts=3)
    async def big(ctx: RequestContext) -> str:
        return "x" * 20_000

    store = MemoryStore(limits=StoreLimits(max_log_bytes=16_384))
    async with node(handlers, tmp_path, store=store) as at:
        for action in ("work", "big"):
            record = await at.finished(await at.submit(action))
            assert (record.status, record.attempt) == ("failed", 1)
            assert json.loads(record.error or "")["code"] == "RESOURCE_EXHAUSTED"


@pytest.mark.clause("8.6.3")
async def test_files_are_recorded_by_the_completion_only(
    handlers: Handlers, tmp_path: Path
) -> None:
    unfinished: list[Path] = []

    @handlers.register("work", backoff=SOON)
    async def work(ctx: RequestContext) -> None:
        async with ctx.file("report.csv", "text/csv") as file:
            await file.write(f"attempt {ctx.attempt}".encode())
        open_still = ctx.file("forgotten.txt")
        unfinished.append((await open_still.__aenter__()).path)
        if ctx.attempt == 1:
            raise RuntimeError("boom")

    async with node(handlers, tmp_path) as at:
        record = await at.finished(await at.submit("work"))
        (stored,) = record.files
        assert (stored.name, stored.media_type, stored.size) == ("report.csv", "text/csv", 9)
        assert at.files.path(stored.location).read_bytes() == b"attempt 2"
    left = [path for path in files_below(tmp_path) if path.suffix != ".json"]
    assert left == [at.files.path(stored.location)]
