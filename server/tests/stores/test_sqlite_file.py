# SPDX-License-Identifier: Apache-2.0
"""The file: made, opened again, refused, and read through its indexes."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest
from sqlite_helpers import opened, raw, scene_of, submit

from longcall_server.stores.base import (
    DeadLetterFilter,
    IncompatibleStore,
    ListFilter,
    Renewal,
    StoreUnavailable,
)
from longcall_server.stores.sqlite import SqliteStore, queues, reads, records, sweeps, writes
from longcall_server.stores.sqlite.schema import APPLICATION_ID, VERSION
from longcall_server.stores.suite import ManualClock
from longcall_server.stores.suite.support import ALICE, BOB, LEASE_MS, START, key_of, progress


async def test_a_new_file_and_its_folders_are_made_and_marked(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "longcall.db"
    async with opened(path):
        pass
    with raw(path) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def modes(folder: Path) -> dict[str, int]:
    return {name: stat.S_IMODE((folder / name).stat().st_mode) for name in os.listdir(folder)}


async def test_a_new_file_and_those_beside_it_are_their_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with opened(tmp_path / "x.db") as store:
            await submit(store, "a")
            assert modes(tmp_path) == {"x.db": 0o600, "x.db-wal": 0o600, "x.db-shm": 0o600}
    finally:
        os.umask(before)


async def test_the_mode_of_a_file_that_is_there_is_its_owners_business(tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db"):
        pass
    os.chmod(tmp_path / "x.db", 0o640)
    async with opened(tmp_path / "x.db"):
        assert modes(tmp_path)["x.db"] == 0o640


@pytest.mark.clause("1.1.3")
async def test_everything_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with scene_of(path) as scene:
        clock = scene.clock
        await scene.submit("queued", metadata={"k": "v"})
        done = await scene.running("done")
        await scene.chunk(done, "x", 1, checkpoint='"state"')
        await scene.store.complete(done, '{"rows":1}')
        lease = await scene.running("running")
        before = [await scene.record(id) for id in ("queued", "done", "running")]
        logs = [await scene.log(id) for id in ("queued", "done", "running")]
    async with scene_of(path, clock) as scene:
        assert [await scene.record(id) for id in ("queued", "done", "running")] == before
        assert [await scene.log(id) for id in ("queued", "done", "running")] == logs
        await scene.chunk(lease, "the worker lives on", 1)
        again = await scene.submit("queued", submission="later", metadata={})
        assert again.outcome == "duplicate"


async def test_a_closed_store_leaves_one_file(tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as store:
        await submit(store, "a")
    assert os.listdir(tmp_path) == ["x.db"]


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as store:
        pass
    with pytest.raises(StoreUnavailable, match="closed"):
        await submit(store, "a")
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.get(key_of("a"))
    await store.close()


async def test_a_file_of_version_1_is_migrated_with_all_that_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with raw(path) as connection:
        connection.executescript(Path(__file__).with_name("version_1.sql").read_text())
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        old_logs = connection.execute("SELECT * FROM events ORDER BY record_id, seq").fetchall()
    clock = ManualClock(START + 3_000)
    async with scene_of(path, clock) as scene:
        claimed = await scene.claim()
        assert [one.record.key.id for one in claimed] == ["other", "high", "low"]
        clock.advance(60_000)
        assert [one.record.key.id for one in await scene.claim()] == ["delayed"]
        low = await scene.record("low")
        assert (low.metadata, low.payload) == ({"k": "v"}, '{"n":1}')
        done = await scene.record("done")
        assert (done.status, done.result) == ("completed", '{"rows":1}')
        assert [file.location for file in done.files] == ["loc/a.txt"]
        running = await scene.record("running")
        assert (running.checkpoint, running.progress) == ('{"at":1}', progress(1, 3))
        assert (await scene.end_of("failed"))["code"] == "HANDLER_ERROR"
        assert (await scene.record("cancelled")).cancel_reason == "enough"
        assert (await scene.submit("gone")).outcome == "expired"
        assert (await scene.claim_again("retrying")).attempt == 2
        with raw(path) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
            logs = connection.execute("SELECT * FROM events ORDER BY record_id, seq").fetchall()
            assert set(old_logs) <= set(logs)
    with raw(path) as connection:
        migrated = schema_of(connection)
    async with opened(tmp_path / "new.db"):
        pass
    with raw(tmp_path / "new.db") as connection:
        assert migrated == schema_of(connection)


async def test_a_file_of_version_2_is_migrated_with_its_turns_and_counts(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with raw(path) as connection:
        connection.executescript(Path(__file__).with_name("version_2.sql").read_text())
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        old_logs = connection.execute("SELECT * FROM events ORDER BY record_id, seq").fetchall()
    clock = ManualClock(START + 3_000)
    async with scene_of(path, clock, max_waiting_per_tenant=8) as scene:
        # Of acme wait: low, high, delayed, b0 to b2, c0 and one that is retried.
        assert (await scene.submit("more")).outcome == "tenant_full"
        assert (await scene.submit("low", submission="again", payload='{"n":1}')).outcome == (
            "duplicate"
        )
        claimed = await scene.claim()
        # Owners take turns, whatever their ranks; within one the higher priority is first.
        by_owner = [one.record.key.id for one in claimed if one.record.key.id != "other"]
        assert by_owner == ["b0", "c0", "high", "b1", "low", "b2"]
        assert (await scene.submit("more")).outcome == "created"
        assert (await scene.claim_again("retrying")).attempt == 2
        assert (await scene.record("done")).result == '{"rows":1}'
        assert (await scene.submit("gone")).outcome == "expired"
        with raw(path) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
            logs = connection.execute("SELECT * FROM events ORDER BY record_id, seq").fetchall()
            assert set(old_logs) <= set(logs)
    with raw(path) as connection:
        assert connection.execute("SELECT * FROM tenants ORDER BY tenant_id").fetchall() == [
            ("acme", 2, "alice"),
            ("bolt", 0, "alice"),
        ]
        migrated = schema_of(connection)
    async with opened(tmp_path / "new.db"):
        pass
    with raw(tmp_path / "new.db") as connection:
        assert migrated == schema_of(connection)


async def test_whose_turn_it_is_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    served = []
    for n in range(4):
        async with scene_of(path) as scene:
            if n == 0:
                for owner in (ALICE, BOB):
                    for number in range(4):
                        await scene.submit(f"r{number}", owner)
            (one,) = await scene.claim(limit=1)
            await scene.store.complete(one.lease, "1")
            served.append(one.record.key.owner)
    assert served == [ALICE, BOB, ALICE, BOB]


def schema_of(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return {(name, sql) for name, sql in rows if name != "sqlite_sequence"}


async def test_a_file_of_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with opened(path):
        pass
    with raw(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(IncompatibleStore) as refusal:
        await SqliteStore(path).open()
    assert f"version {VERSION + 1}" in str(refusal.value)
    assert f"up to {VERSION}" in str(refusal.value)
    assert path.read_bytes() == before


async def test_a_database_of_another_program_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with raw(path) as connection:
        connection.execute("CREATE TABLE treasure (gold INTEGER)")
    before = path.read_bytes()
    with pytest.raises(IncompatibleStore, match="another program"):
        await SqliteStore(path).open()
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_text("dear diary, " * 1_000)
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match=r"x\.db cannot be opened"):
        await SqliteStore(path).open()
    assert path.read_bytes() == before


async def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        await SqliteStore(tmp_path / "file" / "x.db").open()


def test_an_unknown_synchronous_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="synchronous must be one of"):
        SqliteStore(tmp_path / "x.db", synchronous="SOMETIMES")


@pytest.mark.parametrize(("synchronous", "number"), [("FULL", 2), ("OFF", 0)])
async def test_the_writer_syncs_as_it_is_told(
    tmp_path: Path, synchronous: str, number: int
) -> None:
    async with opened(tmp_path / "x.db", synchronous=synchronous) as store:
        setting = await store._writer.run(
            lambda writes: writes.connection.execute("PRAGMA synchronous").fetchone()
        )
        assert setting == (number,)


LISTING, _ = reads.listing_query(1, ListFilter(ALICE), None)
DEAD_AFTER, _ = reads.dead_letters_query(DeadLetterFilter(sub="alice"), (1, 1))
DEAD, _ = reads.dead_letters_query(
    DeadLetterFilter(tenant_id="acme", sub="alice", action="a", ended_before=1), None
)
DEAD_BY_ID, _ = reads.dead_letters_query(DeadLetterFilter(tenant_id="acme", sub="b", id="a"), None)
PART, _ = reads.listing_query(1, ListFilter(ALICE, ("queued",), "a"), (1, "a"), (0, "a"))
FLOOR, _ = reads.listing_floor_query(1, None)
NEXT_FLOOR, _ = reads.listing_floor_query(1, (1, "a"))
NEXT_PAGE, _ = reads.listing_query(1, ListFilter(ALICE, ("queued",), "a"), (1, "a"))


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (queues.TENANT_AFTER, "COVERING INDEX requests_ready (action=? AND tenant_id>?)"),
        (
            queues.OWNER_AFTER,
            "COVERING INDEX requests_ready (action=? AND tenant_id=? AND sub>?)",
        ),
        (queues.DUE, "COVERING INDEX requests_ready (action=? AND tenant_id=? AND sub=?)"),
        (records.RECORD_BY_KEY, "INDEX sqlite_autoindex_requests_1 (owner_id=? AND id=?)"),
        (records.WHOLE_RECORD_BY_KEY, "INDEX sqlite_autoindex_requests_1 (owner_id=? AND id=?)"),
        (queues.RUNNING, "COVERING INDEX requests_leased"),
        (writes.RIPEN, "INDEX requests_waiting (due_at<?)"),
        (sweeps.OVERDUE, "INDEX requests_swept (sweep_at<?)"),
        (sweeps.LEASED, "INDEX requests_leased"),
        (sweeps.LEASED_BY, "INDEX requests_leased (lease_worker=?)"),
        (sweeps.FORGOTTEN, "INDEX tombstones_forgotten (expires_at<?)"),
        (sweeps.NEXT_DUE, "INDEX requests_swept"),
        (LISTING, "INDEX requests_listed (owner_id=?)"),
        (PART, "INDEX requests_listed (owner_id=? AND (created_at,id)>(?,?) AND (created"),
        (FLOOR, "COVERING INDEX requests_listed (owner_id=?)"),
        (NEXT_FLOOR, "COVERING INDEX requests_listed (owner_id=? AND (created_at,id)<(?,?))"),
        (NEXT_PAGE, "INDEX requests_listed (owner_id=? AND (created_at,id)<(?,?))"),
        (DEAD, "INDEX requests_dead (finished_at<?)"),
        (DEAD_AFTER, "INDEX requests_dead (finished_at<?)"),
        (DEAD_BY_ID, "INDEX requests_dead_ids (id=?)"),
        (reads.EVENTS, "PRIMARY KEY (record_id=? AND seq>?)"),
    ],
)
async def test_no_question_reads_a_whole_table_or_sorts_it(
    tmp_path: Path, query: str, index: str
) -> None:
    async with opened(tmp_path / "x.db"):
        with raw(tmp_path / "x.db") as connection:
            marks = [None] * query.count("?")
            rows = connection.execute(f"EXPLAIN QUERY PLAN {query}", marks).fetchall()
    plan = [row[3] for row in rows]
    assert any(index in step for step in plan), plan
    full_scans = [step for step in plan if step.startswith("SCAN") and "INDEX" not in step]
    assert not [step for step in full_scans if "requests" in step or "events" in step], plan
    assert not [step for step in plan if "TEMP B-TREE FOR ORDER BY" in step], plan


@pytest.mark.clause("10.44.6", "10.47.4", "10.47.5")
async def test_a_page_of_large_progress_ends_early_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(progress(1, 1).body)
    monkeypatch.setattr(reads, "LISTING_BYTES", 3 * size)
    async with scene_of(tmp_path / "x.db") as scene:
        for number in range(8):
            lease = await scene.running(f"r{number}")
            await scene.store.renew([Renewal(lease, progress(1, 1))], lease_ms=LEASE_MS)
            scene.clock.advance(1)
        pages, cursor = list[list[str]](), None
        while not pages or cursor is not None:
            page = await scene.store.list(ListFilter(ALICE), limit=5, cursor=cursor)
            pages.append([record.key.id for record in page.records])
            cursor = page.next_cursor
        assert pages == [["r7", "r6", "r5"], ["r4", "r3", "r2"], ["r1", "r0"]]
        monkeypatch.setattr(reads, "LISTING_BYTES", 1)
        alone = await scene.store.list(ListFilter(ALICE), limit=5)
        assert [record.key.id for record in alone.records] == ["r7"]
        assert alone.next_cursor is not None
