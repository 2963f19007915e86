# SPDX-License-Identifier: Apache-2.0
"""From one version of the file to the next: whole or not at all, and with nobody else at it."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlite_helpers import opened, raw, scene_of

from longcall_server.stores.base import IncompatibleStore, StoreUnavailable
from longcall_server.stores.sqlite import SqliteStore, schema
from longcall_server.stores.sqlite.schema import MIGRATIONS, VERSION, FileInUse

OLD = Path(__file__).with_name("version_1.sql")
DIES = """
import os, signal, sqlite3, sys
from pathlib import Path
from longcall_server.stores.sqlite import schema

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Connection(sqlite3.Connection):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.create_function("die", 0, die)
        self.execute("PRAGMA cache_size = 2")  # pages are written before the commit

real = sqlite3.connect
schema.sqlite3.connect = lambda *args, **kwargs: real(*args, factory=Connection, **kwargs)
schema.MIGRATIONS = (*schema.MIGRATIONS[:-1], schema.MIGRATIONS[-1] + "SELECT die();")
schema.prepare(Path(sys.argv[1]), "FULL")
"""


def old_file(path: Path, *, logs: int = 0) -> Path:
    """A file of version 1 as its program left it, with more logs if asked."""
    with raw(path) as connection:
        connection.executescript(OLD.read_text())
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO requests SELECT 1000 + ?1, owner_id, id || ?1, action, digest, submission,"
            " max_attempts, backoff_initial_ms, backoff_max_ms, metadata, priority, status,"
            " attempt, failures, created_at, updated_at, due_at, deadline_at, last_seq, log_bytes,"
            " chunks_kept_to, cancel_grace_ms, retention_ms, cancel_requested_at, cancel_reason,"
            " files, requeued_from, callback_url, traceparent, lease_worker, lease_expires_at,"
            " finished_at, expires_at, last_operation, ended_attempt, is_ready, sweep_at"
            " FROM requests WHERE id = 'done'",
            [(n,) for n in range(logs)],
        )
        connection.execute("COMMIT")
    return path


def contents(path: Path) -> dict[str, Any]:
    """All that a program of the file's version sees."""
    with raw(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
            )
        ]
        found: dict[str, Any] = {
            name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables
        }
        found["schema"] = connection.execute("SELECT * FROM sqlite_schema ORDER BY name").fetchall()
        found["version"] = connection.execute("PRAGMA user_version").fetchone()
    return found


async def is_migrated(path: Path) -> None:
    async with scene_of(path) as scene:
        assert (await scene.record("done")).result == '{"rows":1}'
    assert contents(path)["version"] == (VERSION,)


async def test_a_migration_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = old_file(tmp_path / "x.db")
    before = contents(path)
    broken = (*MIGRATIONS[:-1], MIGRATIONS[-1] + "INSERT INTO nowhere VALUES (1);")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", broken)
        with pytest.raises(StoreUnavailable, match="no such table: nowhere"):
            await SqliteStore(path).open()
    assert contents(path) == before
    await is_migrated(path)


@pytest.mark.slow
async def test_a_migration_that_is_killed_leaves_the_old_file(tmp_path: Path) -> None:
    path = old_file(tmp_path / "x.db", logs=2_000)
    before = contents(path)
    process = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", DIES, str(path)], check=False
    )
    assert process.returncode == -signal.SIGKILL
    assert path.with_name("x.db-wal").stat().st_size > 100_000, "nothing was under way"
    assert contents(path) == before
    await is_migrated(path)


async def test_a_file_that_an_older_server_has_open_is_not_migrated_under_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = old_file(tmp_path / "x.db")
    before = contents(path)
    monkeypatch.setattr(schema, "BUSY_TIMEOUT_MS", 100)
    with raw(path) as older:
        older.execute("SELECT count(*) FROM requests").fetchone()
        with pytest.raises(FileInUse, match="stop the servers of the older version first"):
            await SqliteStore(path).open()
        older.execute("UPDATE requests SET priority = priority")
    assert contents(path) == before
    await is_migrated(path)


async def test_several_newer_servers_may_meet_at_an_old_file(tmp_path: Path) -> None:
    path = old_file(tmp_path / "x.db")

    async def serve() -> None:
        async with opened(path):
            pass

    await asyncio.gather(*(serve() for _ in range(6)))
    await is_migrated(path)


async def test_a_newer_file_is_refused_while_a_newer_server_uses_it(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with scene_of(path) as scene:
        await scene.submit("a")
        with raw(path) as newer:
            newer.execute(f"PRAGMA user_version = {VERSION + 1}")
            with pytest.raises(IncompatibleStore, match="newer longcall-server"):
                await SqliteStore(path).open()
            newer.execute(f"PRAGMA user_version = {VERSION}")
        assert (await scene.record("a")).status == "queued"


async def test_alone_is_refused_beside_others_and_refuses_others(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with opened(path):
        with pytest.raises(FileInUse), schema.alone(path):
            pass
    with schema.alone(path), raw(path) as other:
        other.execute("PRAGMA busy_timeout = 0")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("SELECT count(*) FROM requests")
