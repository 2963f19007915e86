# SPDX-License-Identifier: Apache-2.0
import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from worker_harness import Follower, files_below, node

from longcall_server import (
    AttemptFenced,
    Backoff,
    HandlerError,
    Handlers,
    JsonValue,
    LogLimitReached,
    RequestContext,
    SyncRequestContext,
)
from longcall_server.bus.local import LocalBus
from longcall_server.handlers import Call
from longcall_server.stores.base import (
    Lease,
    OutcomeUnknown,
    Record,
    Renewal,
    Renewed,
    StoredProgress,
    StoreLimits,
    StoreUnavailable,
)
from longcall_server.stores.memory import MemoryStore

SOON = Backoff(timedelta(milliseconds=1), timedelta(milliseconds=1))


@pytest.fixture
def handlers() -> Handlers:
    return Handlers()


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


@pytest.mark.clause("5.4.2", "10.17.3")
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


@pytest.mark.clause("5.4.1")
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
