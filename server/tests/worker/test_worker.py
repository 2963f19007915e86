# SPDX-License-Identifier: Apache-2.0
import asyncio
import contextlib
import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from worker_harness import SOON, Follower, files_below, node

from longcall_server import (
    AttemptFenced,
    HandlerError,
    Handlers,
    JsonValue,
    RequestContext,
    SyncRequestContext,
)
from longcall_server.bus.local import LocalBus
from longcall_server.handlers import Call
from longcall_server.stores.base import (
    Record,
    StoredProgress,
)
from longcall_server.stores.memory import MemoryStore


@pytest.mark.clause("10.35.1")
async def test_a_request_is_claimed_run_and_completed(handlers: Handlers, tmp_path: Path) -> None:
    @handlers.register("report")
    async def report(ctx: RequestContext, rows: int) -> dict[str, int]:
        for row in range(rows):
            await ctx.progress(100 * row / rows)
            await ctx.chunk([row])
        return {"rows": rows}

    async with node(handlers, tmp_path) as at:
        key = await at.submit("report", 2)
        record = await at.finished(key)
        assert record.result == '{"rows":2}'
        assert [event["type"] for event in await at.log(key)] == [
            "acknowledgment",
            "status",
            "chunk",
            "chunk",
            "complete",
        ]
        # PROTOCOL 10.35: the newest progress is stored with the end.
        assert record.progress is not None
        assert json.loads(record.progress.body)["percentage"] == 50.0


async def test_no_more_run_than_the_concurrency_and_all_are_run(
    handlers: Handlers, tmp_path: Path
) -> None:
    running, most = 0, 0

    @handlers.register("work")
    async def work(ctx: RequestContext) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    async with node(handlers, tmp_path, concurrency=3, poll_ms=60_000) as at:
        keys = [await at.submit("work") for _ in range(20)]
        for key in keys:
            await at.finished(key)
    assert most == 3


async def test_progress_goes_to_followers_at_once(handlers: Handlers, tmp_path: Path) -> None:
    follower, release = Follower(), asyncio.Event()

    @handlers.register("work")
    async def work(ctx: RequestContext) -> None:
        await ctx.progress(50, "half", {"a": 1})
        await release.wait()

    async with node(handlers, tmp_path) as at:
        new = at.new("work")
        at.bus.watch_request(new.key, follower)
        await at.store.submit(new, max_in_flight=1)
        at.bus.work_available()
        while not follower.progress:
            follower.changed.clear()
            await asyncio.wait_for(follower.changed.wait(), 10)
        assert json.loads(follower.progress[0].body)["details"] == {"a": 1}
        release.set()
        await at.finished(new.key)


@pytest.mark.clause("5.5.2", "10.19.1")
async def test_a_failed_attempt_is_retried_with_its_checkpoint(
    handlers: Handlers, tmp_path: Path
) -> None:
    seen: list[tuple[int, JsonValue, int]] = []

    @handlers.register("work", attempts=3, backoff=SOON)
    async def work(ctx: RequestContext) -> int:
        seen.append((ctx.attempt, ctx.checkpoint, ctx.chunks_kept_to))
        if ctx.attempt == 1:
            await ctx.chunk("kept", checkpoint={"page": 1})
            await ctx.chunk("void")
            raise RuntimeError("boom")
        return ctx.attempt

    async with node(handlers, tmp_path) as at:
        key = await at.submit("work")
        record = await at.finished(key)
        assert (record.result, record.failures) == ("2", 1)
        assert seen == [(1, None, 0), (2, {"page": 1}, 3)]
        statuses = [event for event in await at.log(key) if event["type"] == "status"]
        assert [(event["status"], event["chunks_kept_to"]) for event in statuses] == [
            ("processing", 0),
            ("retrying", 3),
            ("processing", 3),
        ]
        assert statuses[1]["error"]["code"] == "INTERNAL_ERROR"


@pytest.mark.clause("5.4.8")
async def test_attempts_come_to_an_end(handlers: Handlers, tmp_path: Path) -> None:
    @handlers.register("work", attempts=2, backoff=SOON)
    async def work(ctx: RequestContext) -> None:
        raise HandlerError("busy", "Busy.", retryable=True)

    @handlers.register("refuse", attempts=5, backoff=SOON)
    async def refuse(ctx: RequestContext) -> None:
        raise HandlerError("wrong", "Wrong.", details=[1])

    async with node(handlers, tmp_path) as at:
        twice = await at.finished(await at.submit("work"))
        assert (twice.status, twice.attempt) == ("failed", 2)
        once = await at.finished(await at.submit("refuse"))
        assert (once.status, once.attempt) == ("failed", 1)
        assert json.loads(once.error or "")["details"] == {"code": "wrong", "details": [1]}


@pytest.mark.clause("5.6.4", "10.14.6")
async def test_a_running_request_is_cancelled_with_the_first_reason(
    handlers: Handlers, tmp_path: Path
) -> None:
    @handlers.register("work")
    async def work(ctx: RequestContext) -> None:
        await ctx.chunk("begun")
        await asyncio.Event().wait()

    async with node(handlers, tmp_path) as at:
        key = await at.submit("work")
        await at.until(key, lambda record: record.last_seq == 3)
        await at.cancel(key, "enough")
        await at.cancel(key, "again")
        record = await at.finished(key)
        assert record.status == "cancelled"
        assert json.loads(record.error or "")["details"] == {"reason": "enough"}


@pytest.mark.clause("5.4.4", "5.6.5")
async def test_a_deaf_handler_is_fenced_after_the_grace_and_harms_nobody(
    handlers: Handlers, tmp_path: Path
) -> None:
    release = asyncio.Event()
    late: list[BaseException] = []

    @handlers.register("deaf", cancel_grace=timedelta(milliseconds=20))
    async def deaf(ctx: RequestContext) -> str:
        async with ctx.file("lost.txt") as file:
            await file.write(b"lost")
        await ctx.chunk("begun")
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        try:
            await ctx.chunk("late")
        except AttemptFenced as error:
            late.append(error)
            raise
        return "never"

    @handlers.register("next")
    async def following(ctx: RequestContext) -> str:
        return "ran"

    async with node(handlers, tmp_path, concurrency=1) as at:
        key = await at.submit("deaf")
        await at.until(key, lambda record: record.last_seq == 3)
        await at.cancel(key)
        assert (await at.finished(key)).status == "cancelled"
        # The slot is free although the handler still runs.
        other = await at.submit("next")
        assert (await at.finished(other)).result == '"ran"'
        assert at.executor.running == 1
        release.set()
    assert len(late) == 1
    assert files_below(tmp_path) == []


@pytest.mark.clause("5.7.1")
async def test_a_deadline_ends_a_running_request(handlers: Handlers, tmp_path: Path) -> None:
    ended = asyncio.Event()

    @handlers.register("work")
    async def work(ctx: RequestContext) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with node(handlers, tmp_path, poll_ms=60_000) as at:
        key = await at.submit("work", deadline_ms=30)
        record = await at.finished(key)
        assert json.loads(record.error or "")["code"] == "TIMEOUT"
        await asyncio.wait_for(ended.wait(), 10)


async def test_due_times_and_deadlines_of_waiting_requests_do_not_wait_for_the_poll(
    handlers: Handlers, tmp_path: Path
) -> None:
    @handlers.register("work")
    async def work(ctx: RequestContext) -> str:
        return "ran"

    async with node(handlers, tmp_path, poll_ms=3_600_000) as at:
        later = await at.submit("work", delay_ms=50)
        assert (await at.finished(later)).result == '"ran"'


@pytest.mark.clause("8.6.7")
async def test_the_sweep_removes_the_files_of_what_has_expired(
    handlers: Handlers, tmp_path: Path
) -> None:
    @handlers.register("work")
    def work(ctx: SyncRequestContext) -> None:
        with ctx.file("a.txt") as file:
            file.write(b"a")

    async with node(handlers, tmp_path, poll_ms=50) as at:
        key = await at.submit("work", retention_ms=1)
        follower = Follower()
        at.bus.watch_request(key, follower)
        while isinstance(await at.store.get(key), Record):
            await asyncio.wait_for(follower.changed.wait(), 20)
            follower.changed.clear()
    assert files_below(tmp_path) == []


@pytest.mark.clause("5.4.11", "5.4.12")
async def test_a_drain_lets_the_quick_finish_and_hands_the_rest_back(
    handlers: Handlers, tmp_path: Path
) -> None:
    store, bus = MemoryStore(), LocalBus()
    finish = asyncio.Event()
    given_way = threading.Event()

    @handlers.register("short", attempts=1)
    async def short(ctx: RequestContext) -> str:
        await ctx.chunk("begun")
        await finish.wait()
        return "done"

    @handlers.register("long", attempts=1)
    async def long(ctx: RequestContext) -> int:
        await ctx.chunk("begun")
        if ctx.attempt == 1:
            await asyncio.Event().wait()
        return ctx.attempt

    @handlers.register("thread", attempts=1)
    def thread(ctx: SyncRequestContext) -> int:
        ctx.chunk("begun")
        if ctx.attempt == 1:
            ctx.wait_cancelled(60)
            given_way.set()
            ctx.raise_if_cancelled()
        return ctx.attempt

    def begun(record: Record) -> bool:
        return record.last_seq >= 3

    async with node(handlers, tmp_path, store=store, bus=bus) as first:
        keys = [await first.submit(action) for action in ("short", "long", "thread")]
        for key in keys:
            await first.until(key, begun)
        drained = asyncio.create_task(first.worker.drain(0.2))
        finish.set()
        assert (await first.finished(keys[0])).result == '"done"'
        await drained
        waiting = await first.submit("short")
        for key in keys[1:]:
            await first.until(key, lambda record: record.status == "retrying")
        assert (await first.record(waiting)).status == "queued"
        assert given_way.is_set()
    async with node(handlers, tmp_path, store=store, bus=bus, name="worker-2") as second:
        for key in keys[1:]:
            record = await second.finished(key)
            # Handed back, not failed: one attempt was allowed.
            assert (record.status, record.result, record.failures) == ("completed", "2", 0)


async def test_a_promoted_execution_goes_on_in_the_log(handlers: Handlers, tmp_path: Path) -> None:
    go_on, begun = asyncio.Event(), asyncio.Event()

    @handlers.register("quick", durable=False)
    async def quick(ctx: RequestContext) -> int:
        await ctx.progress(10)
        begun.set()
        await go_on.wait()
        return await ctx.chunk("after the promotion")

    async with node(handlers, tmp_path) as at:
        registration = handlers.get("quick")
        assert registration is not None
        call = Call("r-1", "quick", "null", 1, at.new("quick").key.owner)
        execution = at.executor.start(registration, call, _Nowhere())
        await begun.wait()
        claimed = await at.promote("quick", progress=execution.progress)
        at.worker.adopt(claimed, execution)
        go_on.set()
        record = await at.finished(claimed.record.key)
        assert record.result == "3"


async def test_a_promotion_that_brings_a_cancel_cancels(handlers: Handlers, tmp_path: Path) -> None:
    begun = asyncio.Event()

    @handlers.register("quick", durable=False)
    async def quick(ctx: RequestContext) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with node(handlers, tmp_path) as at:
        registration = handlers.get("quick")
        assert registration is not None
        call = Call("r-1", "quick", "null", 1, at.new("quick").key.owner)
        execution = at.executor.start(registration, call, _Nowhere())
        await begun.wait()
        claimed = await at.promote("quick", cancel_requested=True, cancel_reason="never mind")
        at.worker.adopt(claimed, execution)
        record = await at.finished(claimed.record.key)
        assert json.loads(record.error or "")["details"] == {"reason": "never mind"}


class _Nowhere:
    """What a quick handler writes to before its promotion; these tests write nothing there."""

    def progress(self, progress: StoredProgress) -> None:
        pass

    async def chunk(self, data: str, checkpoint: str | None) -> int:
        raise NotImplementedError

    async def save_checkpoint(self, checkpoint: str) -> None:
        raise NotImplementedError

    async def open_file(self, name: str, media_type: str) -> Any:
        raise NotImplementedError
