# SPDX-License-Identifier: Apache-2.0
"""Processes that die: what they acknowledged is there, and what they leased comes back."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlite_helpers import opened, raw, scene_of, submit

from longcall_server.core.lifecycle import RetryPolicy
from longcall_server.stores.base import Record
from longcall_server.stores.suite.support import key_of
from longcall_server.stores.workers import worker_name

WRITER = """
import asyncio, sys
from longcall_server.stores.sqlite import SqliteStore
from longcall_server.stores.suite.support import new_request

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()

    async def write(lane):
        n = 0
        while True:
            id = f"{lane}-{n}"
            await store.submit(new_request(id), max_in_flight=10**9)
            print(id, flush=True)
            n += 1

    await asyncio.gather(*(write(lane) for lane in range(8)))

asyncio.run(main())
"""
CLAIMER = """
import asyncio, sys
from longcall_server.stores.sqlite import SqliteStore
from longcall_server.stores.workers import worker_name

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    claimed = await store.claim(worker_name(), ["report"], limit=10, lease_ms=3_600_000)
    print(len(claimed), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def run(program: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
    )


def kill(process: subprocess.Popen[str]) -> str:
    """Kills the process as an operator would not; returns the rest of what it had said."""
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    return rest


@pytest.mark.clause("1.1.3", "5.2.1")
@pytest.mark.slow
async def test_what_a_killed_process_acknowledged_is_there(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    process = run(WRITER, path)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(300)]
    acknowledged += kill(process).split()
    async with opened(path) as store:
        for id in acknowledged:
            assert isinstance(await store.get(key_of(id)), Record), id
        with raw(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
            (stored,) = connection.execute("SELECT count(*) FROM requests").fetchone()
            (in_flight,) = connection.execute("SELECT in_flight FROM owners").fetchone()
            (events,) = connection.execute("SELECT count(*) FROM events").fetchone()
        assert len(acknowledged) <= stored
        assert stored == in_flight == events


@pytest.mark.clause("5.4.10")
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
async def test_leases_of_a_killed_process_are_taken_back_when_the_store_opens(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.db"
    async with opened(path) as store:
        await submit(store, "first")
        await submit(store, "last-chance", policy=RetryPolicy(max_attempts=1))
    process = run(CLAIMER, path)
    assert process.stdout is not None
    assert process.stdout.readline() == "2\n"
    async with opened(path) as store:
        record = await store.get(key_of("first"))
        assert isinstance(record, Record)
        assert record.status == "processing", "its worker is alive"
    kill(process)
    async with opened(path) as store:
        record = await store.get(key_of("first"))
        assert isinstance(record, Record)
        assert (record.status, record.failures) == ("retrying", 1)
        (claimed,) = await store.claim(worker_name(), ["report"], limit=5, lease_ms=1_000)
        assert (claimed.record.key.id, claimed.lease.attempt) == ("first", 2)
        ended = await store.get(key_of("last-chance"))
        assert isinstance(ended, Record)
        assert ended.status == "failed"
        assert ended.error is not None
        assert "INTERNAL_ERROR" in ended.error


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
async def test_a_sweep_notices_a_killed_process_before_its_leases_end(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with opened(path) as store:
        for number in range(4):
            await submit(store, str(number))
        process = run(CLAIMER, path)
        assert process.stdout is not None
        assert process.stdout.readline() == "4\n"
        assert (await store.sweep()).changed == (), "its worker is alive"
        kill(process)
        first = await store.sweep(limit=3)
        assert len(first.changed) == 3
        rest = await store.sweep()
        assert {key.id for key in (*first.changed, *rest.changed)} == {"0", "1", "2", "3"}
        assert rest.work_available
        assert (await store.sweep()).changed == ()
        claimed = await store.claim(worker_name(), ["report"], limit=5, lease_ms=1_000)
        assert [one.lease.attempt for one in claimed] == [2, 2, 2, 2]


async def test_leases_of_the_living_are_not_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with scene_of(path) as scene:
        await scene.submit("a")
        (claimed,) = await scene.claim(worker=worker_name())
        clock = scene.clock
    async with scene_of(path, clock) as scene:
        await scene.chunk(claimed.lease, "still mine", 1)


async def test_many_processes_may_make_the_same_new_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.db"

    async def open_and_submit(n: int) -> None:
        async with opened(path) as store:
            await submit(store, f"r{n}")

    await asyncio.gather(*(open_and_submit(n) for n in range(8)))
    with raw(path) as connection:
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (8,)
        with pytest.raises(sqlite3.OperationalError, match="already exists"):
            connection.execute("CREATE TABLE requests (x)")
