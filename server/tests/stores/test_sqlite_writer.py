# SPDX-License-Identifier: Apache-2.0
"""Group commit: what shares a transaction, what fails alone, what is known of a failure."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import threading
from collections.abc import Coroutine
from pathlib import Path

import pytest
from sqlite_helpers import opened, raw, scene_of, submit

from longcall_server.stores.base import (
    Fenced,
    ListFilter,
    OutcomeUnknown,
    Owner,
    Page,
    Renewal,
    StoreUnavailable,
)
from longcall_server.stores.sqlite import SqliteStore, checkpoints, reads, sweeps
from longcall_server.stores.sqlite.lanes import MAX_SHARE, _commit_failure
from longcall_server.stores.sqlite.sweeps import Sweeps
from longcall_server.stores.sqlite.writes import Writes
from longcall_server.stores.suite import ManualClock
from longcall_server.stores.suite.support import ALICE, BOB, LEASE_MS, key_of


class HeldWriter:
    """Keeps the writer busy, so that what is submitted meanwhile becomes one batch."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._release = threading.Event()

    async def __aenter__(self) -> None:
        begun = threading.Event()

        def hold(writes: Writes) -> None:
            begun.set()
            assert self._release.wait(60)

        self._task = asyncio.create_task(self._store._writer.run(hold))
        await asyncio.to_thread(begun.wait, 60)

    async def __aexit__(self, *_: object) -> None:
        self._release.set()
        await self._task


def start(verb: Coroutine[None, None, object]) -> asyncio.Task[object]:
    return asyncio.create_task(verb)


async def test_what_waits_is_committed_in_one_transaction(tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as store:
        before = store.commits
        async with HeldWriter(store):
            verbs = [
                start(submit(store, f"r{n}", owner=owner))
                for n in range(MAX_SHARE)
                for owner in (ALICE, BOB)
            ]
            await asyncio.sleep(0)
            assert not any(verb.done() for verb in verbs)
        await asyncio.gather(*verbs)
        assert store.commits - before == 1


async def test_owners_take_turns_at_the_writer_and_have_a_bounded_part_of_a_commit(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "x.db") as store:
        done: list[str] = []

        async def of(owner: Owner, id: str) -> None:
            await submit(store, id, owner=owner)
            done.append(id)

        before = store.commits
        async with HeldWriter(store):
            verbs = [start(of(ALICE, f"flood-{n}")) for n in range(4 * MAX_SHARE)]
            await asyncio.sleep(0)
            verbs += [start(of(BOB, f"{n}")) for n in range(2)]
            await asyncio.sleep(0)
        await asyncio.gather(*verbs)
        # Bob came last, and was in the first commit; of the flood it had no more than its part.
        assert max(done.index("0"), done.index("1")) <= MAX_SHARE + 1
        assert store.commits - before == 4
        assert [id for id in done if "flood" in id] == [f"flood-{n}" for n in range(4 * MAX_SHARE)]


async def test_owners_take_turns_at_the_reader(tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as store:
        begun, release = threading.Event(), threading.Event()
        done: list[Owner] = []

        def hold(_: sqlite3.Connection) -> None:
            begun.set()
            assert release.wait(60)

        async def read(owner: Owner) -> None:
            await store.get(key_of("a", owner))
            done.append(owner)

        held = start(store._reader.run(hold))
        await asyncio.to_thread(begun.wait, 60)
        verbs = [start(read(ALICE)) for _ in range(5 * MAX_SHARE)]
        await asyncio.sleep(0)
        verbs.append(start(read(BOB)))
        await asyncio.sleep(0)
        release.set()
        await asyncio.gather(held, *verbs)
        assert done.index(BOB) <= MAX_SHARE


async def test_a_listing_that_finds_little_in_much_lets_others_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "LISTING_STEP", 10)
    steps: list[str] = []
    step = reads.Listing.step

    def watched(self: reads.Listing, connection: sqlite3.Connection) -> None:
        steps.append(self._where.owner.sub)
        step(self, connection)

    monkeypatch.setattr(reads.Listing, "step", watched)
    async with scene_of(tmp_path / "x.db") as scene:
        for n in range(95):
            await scene.submit(f"r{n:02}", action="rare" if n in (3, 4, 50) else "report")
            scene.clock.advance(n % 2)
        await scene.submit("bobs", BOB, action="rare")
        listings = (
            start(scene.store.list(ListFilter(ALICE, action="rare"), limit=9)),
            start(scene.store.list(ListFilter(BOB, action="rare"), limit=9)),
        )
        found, bobs = await asyncio.gather(*listings)
        assert isinstance(found, Page)
        assert [record.key.id for record in found.records] == ["r50", "r04", "r03"]
        assert found.next_cursor is None
        assert isinstance(bobs, Page)
        assert [record.key.id for record in bobs.records] == ["bobs"]
        assert steps.count("alice") == 10
        assert steps.index("bob") <= 1, "a stranger's listing was walked to its end first"
        # Pages that end within a step, at its end, and behind a step without a match.
        for limit in (1, 2, 3, 7):
            ids: list[str] = []
            cursor: str | None = None
            while True:
                where = ListFilter(ALICE, ("queued",), "report")
                page = await scene.store.list(where, limit=limit, cursor=cursor)
                ids += [record.key.id for record in page.records]
                cursor = page.next_cursor
                if cursor is None:
                    break
                assert len(page.records) == limit
            assert ids == [f"r{n:02}" for n in reversed(range(95)) if n not in (3, 4, 50)]


@pytest.mark.clause("1.1.2")
async def test_nothing_is_visible_or_answered_before_the_commit(tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as store:
        inserted, release = threading.Event(), threading.Event()

        def linger(writes: Writes) -> None:
            inserted.set()
            assert release.wait(60)

        async with HeldWriter(store):
            first = start(submit(store, "a"))
            await asyncio.sleep(0)
            second = start(store._writer.run(linger))
            await asyncio.sleep(0)
        await asyncio.to_thread(inserted.wait, 60)
        assert not first.done()
        assert await store.get(key_of("a")) is None
        release.set()
        await asyncio.gather(first, second)
        assert await store.get(key_of("a")) is not None


async def test_a_refusal_does_not_undo_the_others_of_its_batch(tmp_path: Path) -> None:
    async with scene_of(tmp_path / "x.db") as scene:
        store = scene.store
        assert isinstance(store, SqliteStore)
        lease = await scene.running("done")
        await store.complete(lease, "1")
        before = store.commits
        async with HeldWriter(store):
            verbs = [
                start(scene.submit("a")),
                start(scene.chunk(lease, "x", 1)),
                start(scene.submit("b")),
            ]
            await asyncio.sleep(0)
        first, refused, last = await asyncio.gather(*verbs, return_exceptions=True)
        assert isinstance(refused, Fenced)
        assert not isinstance(first, Exception)
        assert not isinstance(last, Exception)
        assert store.commits - before == 1
        assert (await scene.record("a")).status == (await scene.record("b")).status == "queued"


async def test_half_an_operation_is_undone_and_the_others_are_not(tmp_path: Path) -> None:
    def break_off(writes: Writes) -> None:
        writes.connection.execute("UPDATE requests SET priority = 9")
        raise RuntimeError("a defect")

    async with opened(tmp_path / "x.db") as store:
        async with HeldWriter(store):
            verbs = [
                start(submit(store, "a")),
                start(store._writer.run(break_off)),
                start(submit(store, "b", owner=BOB)),
            ]
            await asyncio.sleep(0)
        _, broken, _ = await asyncio.gather(*verbs, return_exceptions=True)
        assert isinstance(broken, RuntimeError)
        with raw(tmp_path / "x.db") as connection:
            rows = connection.execute("SELECT id, priority FROM requests ORDER BY id").fetchall()
            assert rows == [("a", 5), ("b", 5)]
            counts = connection.execute("SELECT in_flight FROM owners ORDER BY sub").fetchall()
            assert counts == [(1,), (1,)]


async def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as store:
        await submit(store, "before")

        def shrink(writes: Writes) -> None:
            (pages,) = writes.connection.execute("PRAGMA page_count").fetchone()
            writes.connection.execute(f"PRAGMA max_page_count = {pages}")

        await store._writer.run(shrink)
        with pytest.raises(StoreUnavailable, match="full"):
            await submit(store, "big", payload=f'"{"x" * 100_000}"')
        assert await store.get(key_of("big")) is None
        await submit(store, "small")
        await store._writer.run(
            lambda writes: writes.connection.execute("PRAGMA max_page_count = 1000000").fetchone()
        )
        await submit(store, "big", payload=f'"{"x" * 100_000}"')
        for id in ("before", "small", "big"):
            assert await store.get(key_of(id)) is not None


async def test_a_read_only_disk_refuses_writes_and_still_answers_reads(tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as store:
        await submit(store, "before")

        protected = sqlite3.connect(
            f"file:{tmp_path / 'x.db'}?mode=ro", uri=True, isolation_level=None,
            check_same_thread=False,
        )  # fmt: skip
        writer = store._writer
        writable, writer._connection = writer._connection, protected
        with pytest.raises(StoreUnavailable, match="readonly"):
            await submit(store, "a")
        assert await store.get(key_of("before")) is not None
        writer._connection = writable
        protected.close()
        assert (await submit(store, "a")).outcome == "created"


async def test_whether_the_disk_takes_writes_is_found_out_by_writing(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    log = path.with_name("x.db-wal")
    async with opened(path) as store:
        for _ in range(2):
            before, written_at = store.commits, log.stat().st_mtime_ns
            await store._writer.run(lambda writes: Sweeps(writes).touch())
            assert store.commits == before + 1
            assert log.stat().st_mtime_ns > written_at
        with raw(path) as connection:
            assert connection.execute("SELECT count(*) FROM owners").fetchone() == (0,)


async def test_leases_that_ran_out_while_the_disk_took_nothing_are_renewed_before_a_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touched, go_on = asyncio.Event(), asyncio.Event()

    async def wait(seconds: float) -> None:
        if seconds > 0:
            touched.set()
            await go_on.wait()

    path, clock = tmp_path / "x.db", ManualClock()
    async with scene_of(path, clock) as worker, scene_of(path, clock) as beside:
        lease = await worker.running("a")
        sweeper = beside.store
        assert isinstance(sweeper, SqliteStore)
        clock.advance(LEASE_MS)
        with raw(path) as other:
            await sweeper._writer.run(
                lambda writes: writes.connection.execute("PRAGMA busy_timeout = 0").fetchone()
            )
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable):
                await sweeper.sweep()
            with pytest.raises(StoreUnavailable):
                await sweeper.sweep()
            other.execute("COMMIT")
        monkeypatch.setattr("longcall_server.stores.sqlite.engine.asyncio.sleep", wait)
        # Whatever is written first: the time begins with it.
        await beside.submit("b")
        sweep = asyncio.create_task(sweeper.sweep())
        await asyncio.wait_for(touched.wait(), 20)
        await worker.store.renew([Renewal(lease)], lease_ms=LEASE_MS)
        go_on.set()
        assert (await sweep).changed == ()
        # Once that time is over a lease that runs out is lost at once.
        sweeper._writer.recovered_at = -math.inf
        clock.advance(LEASE_MS)
        go_on.clear()
        assert (await asyncio.wait_for(sweeper.sweep(), 20)).changed == (key_of("a"),)


async def test_one_sweep_removes_all_large_logs_that_are_due_in_several_transactions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "STEP_BYTES", 1)
    async with scene_of(tmp_path / "x.db") as scene:
        store = scene.store
        assert isinstance(store, SqliteStore)
        for id in ("a", "b", "c"):
            await store.complete(await scene.running(id, retention_ms=1_000), "1")
        scene.clock.advance(1_000)
        before = store.commits
        assert (await store.sweep()).removed == (key_of("a"), key_of("b"), key_of("c"))
        assert store.commits - before == 3


async def test_a_failed_commit_fails_all_of_its_batch(tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as store:

        def defer_a_broken_rule(writes: Writes) -> None:
            # Found out by COMMIT alone: a payload of no request.
            writes.connection.execute("PRAGMA defer_foreign_keys = ON")
            writes.connection.execute("INSERT INTO payloads VALUES (4711, '')")

        async with HeldWriter(store):
            verbs = [start(submit(store, "a")), start(store._writer.run(defer_a_broken_rule))]
            await asyncio.sleep(0)
        answers = await asyncio.gather(*verbs, return_exceptions=True)
        assert all(isinstance(answer, OutcomeUnknown) for answer in answers)
        assert await store.get(key_of("a")) is None
        assert (await submit(store, "a")).outcome == "created"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, StoreUnavailable),
        (sqlite3.SQLITE_READONLY, StoreUnavailable),
        (sqlite3.SQLITE_BUSY, StoreUnavailable),
        (sqlite3.SQLITE_IOERR_WRITE, StoreUnavailable),
        (sqlite3.SQLITE_IOERR, OutcomeUnknown),
        (sqlite3.SQLITE_IOERR_FSYNC, OutcomeUnknown),
    ],
)
def test_a_commit_is_unknown_unless_it_certainly_did_not_happen(code: int, kind: type) -> None:
    error = sqlite3.OperationalError("no")
    error.sqlite_errorcode = code
    assert type(_commit_failure(error)) is kind


async def test_another_process_that_holds_the_lock_only_delays_a_write(tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as store:
        with raw(tmp_path / "x.db") as other:
            other.execute("BEGIN IMMEDIATE")
            write = start(submit(store, "a"))
            assert await store.get(key_of("a")) is None
            assert not write.done()
            other.execute("COMMIT")
            await write
        assert await store.get(key_of("a")) is not None


@pytest.mark.clause("10.28.1", "10.45.2")
async def test_two_stores_over_one_file_see_each_others_writes(tmp_path: Path) -> None:
    async with scene_of(tmp_path / "x.db") as one, scene_of(tmp_path / "x.db") as two:

        async def submit_all(owner_of_ids: str) -> None:
            scene = one if owner_of_ids == "one" else two
            for n in range(50):
                await scene.submit(f"{owner_of_ids}-{n}", max_in_flight=100)

        await asyncio.gather(submit_all("one"), submit_all("two"))
        over = await one.submit("too-much", max_in_flight=100)
        assert over.outcome == "over_limit"
        hauls = await asyncio.gather(
            *(scene.claim(limit=5, worker=f"w{n}") for n in range(12) for scene in (one, two))
        )
        ids = [claimed.record.key.id for haul in hauls for claimed in haul]
        assert len(ids) == len(set(ids)) == 100
        for claimed in hauls[0]:
            await two.store.complete(claimed.lease, "1")
            assert (await one.record(claimed.record.key.id)).status == "completed"


async def test_a_cancelled_caller_takes_nothing_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as store:
        async with HeldWriter(store):
            verb = start(submit(store, "a"))
            await asyncio.sleep(0)
            verb.cancel()
            with pytest.raises(asyncio.CancelledError):
                await verb
        assert (await submit(store, "b")).outcome == "created"
        assert await store.get(key_of("a")) is not None


async def test_closing_commits_what_waits(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "x.db")
    await store.open()
    async with HeldWriter(store):
        verbs = [start(submit(store, f"r{n}")) for n in range(20)]
        await asyncio.sleep(0)
        closing = start(store.close())
        await asyncio.sleep(0)
    await asyncio.gather(closing, *verbs)
    async with opened(tmp_path / "x.db") as again:
        for n in range(20):
            assert await again.get(key_of(f"r{n}")) is not None


async def test_the_write_ahead_log_stays_bounded_under_a_load_that_never_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "CHANGES", 50)
    monkeypatch.setattr(checkpoints, "LARGE_LOG", 64)
    payload = f'"{"x" * 4_000}"'
    async with opened(tmp_path / "x.db") as store:
        for n in range(150):
            await asyncio.gather(*(submit(store, f"r{n}-{m}", payload=payload) for m in range(8)))
        log_size = (tmp_path / "x.db-wal").stat().st_size
        written = 150 * 8 * 4_000
        assert log_size < written / 2
