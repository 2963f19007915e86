# SPDX-License-Identifier: Apache-2.0
"""`longcall-server backup`, and `restore` of what it made."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from backup_harness import Folders, contents, lived_in, saved

from longcall_server.files import FileStore
from longcall_server.operating import archive
from longcall_server.stores.base import Record, Tombstone
from longcall_server.stores.sqlite import SqliteStore, copies
from longcall_server.stores.suite import Scene
from longcall_server.stores.suite.support import BOB, key_of
from longcall_server.stores.workers import worker_name

# --- There and back -------------------------------------------------------------------------------


def test_a_restored_folder_holds_what_the_saved_one_held(folders: Folders) -> None:
    old, new = lived_in(folders("old")), folders("new")
    before = contents(old)
    file = saved(old)
    assert contents(old) == before
    said = new.command("restore", str(file))
    assert said.code == 0, said.err
    assert "4 requests, 2 of them unfinished, and 1 files" in said.out
    after = contents(new)
    # The one that ran has lost its worker.
    running = next(row[0] for row in before["requests"] if "removed" in row)
    for table, rows in before.items():
        if table in ("files", "owners", "payloads", "tombstones", "checkpoints", "progress"):
            assert after[table] == rows
    assert [row for row in after["events"] if row[0] != running] == [
        row for row in before["events"] if row[0] != running
    ]
    assert set(before["events"]) < set(after["events"])
    assert sorted(os.listdir(new.path)) == ["files", "longcall.sqlite3"]


def test_what_is_queued_in_a_backup_runs_after_its_restore(folders: Folders) -> None:
    old, new = lived_in(folders("old")), folders("new")
    new.clock = old.clock
    new.command("restore", str(saved(old)))

    async def story(scene: Scene) -> None:
        (claimed,) = await scene.claim()
        assert (claimed.record.key.id, claimed.record.payload) == ("queued", '{"n":1}')
        await scene.store.complete(claimed.lease, "1")
        assert (await scene.submit("gone", BOB, submission="later")).outcome == "expired"
        assert (await scene.submit("done", submission="2", action="action-of-done")).outcome == (
            "duplicate"
        )

    new.play(story)


def test_what_ran_in_a_backup_is_due_at_once_though_its_worker_lives_elsewhere(
    folders: Folders,
) -> None:
    old, new = folders("old"), folders("new")

    async def story(scene: Scene) -> None:
        await scene.submit("a")
        await scene.claim(worker=worker_name())  # this process: no doubt it lives

    old.play(story)
    assert new.command("restore", str(saved(old))).code == 0
    new.clock.now = SqliteStore(new.settings.database).now()
    record = new.play(lambda scene: scene.store.get(key_of("a")))
    assert isinstance(record, Record)
    assert (record.status, record.failures) == ("retrying", 1)
    assert record.due_at <= new.clock.now
    # The folder that was saved is not touched by that.
    unchanged = old.play(lambda scene: scene.store.get(key_of("a")))
    assert isinstance(unchanged, Record)
    assert unchanged.status == "processing"


def test_what_was_there_before_a_restore_is_kept_whole(folders: Folders) -> None:
    old, new = lived_in(folders("old")), lived_in(folders("new"))
    before = contents(new)
    said = new.command("restore", str(saved(old)))
    kept = Path(said.out.splitlines()[-1].removeprefix("what was there before is in "))
    assert kept.parent == new.path
    replaced = folders("kept")
    kept.rename(replaced.path)
    assert contents(replaced) == before
    with_orphans = contents(new)["files"]
    assert set(contents(old)["files"]) < set(with_orphans)


def test_the_same_backup_is_restored_twice(folders: Folders) -> None:
    old, new = lived_in(folders("old")), folders("new")
    file = saved(old)
    for _ in range(2):
        assert new.command("restore", str(file)).code == 0
    assert contents(new)["files"] == contents(old)["files"]
    assert len([name for name in os.listdir(new.path) if name.startswith("replaced-")]) == 1


def test_a_backup_is_restored_in_the_place_of_a_damaged_database(folders: Folders) -> None:
    folder = lived_in(folders("data"))
    file, before = saved(folder), contents(folder)
    damaged = b"SQLite format 3\0" + os.urandom(60_000)
    folder.settings.database.write_bytes(damaged)
    said = folder.command("restore", str(file))
    assert said.code == 0, said.err
    assert contents(folder)["tombstones"] == before["tombstones"]
    (kept,) = folder.path.glob("replaced-*")
    assert (kept / "longcall.sqlite3").read_bytes() == damaged


def test_the_log_of_a_lost_database_does_not_meet_the_restored_one(folders: Folders) -> None:
    folder = lived_in(folders("data"))
    file, before = saved(folder), contents(folder)
    wal = folder.settings.database.with_name("longcall.sqlite3-wal")

    async def story(scene: Scene) -> bytes:
        await scene.submit("only in the log", payload=json.dumps("x" * 50_000))
        return wal.read_bytes()

    log = folder.play(story)
    folder.settings.database.unlink()
    wal.write_bytes(log)
    said = folder.command("restore", str(file))
    assert said.code == 0, said.err
    assert contents(folder)["payloads"] == before["payloads"]
    (kept,) = folder.path.glob("replaced-*")
    assert (kept / wal.name).read_bytes() == log


# --- Backups --------------------------------------------------------------------------------------


def test_a_backup_is_not_written_over_another_unless_forced(folders: Folders) -> None:
    folder = lived_in(folders("data"))
    file = saved(folder)
    before = file.read_bytes()
    said = folder.command("backup", str(file))
    assert said.code == 1
    assert "there already" in said.err
    assert file.read_bytes() == before
    folder.play(lambda scene: scene.submit("another"))
    assert folder.command("backup", str(file), "--force").code == 0
    assert "5 requests" in folders("new").command("restore", str(file)).out


def test_a_backup_is_for_its_owner_alone_and_leaves_nothing_beside_it(folders: Folders) -> None:
    file = saved(lived_in(folders("data")))
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(file.parent)) == ["backup.tar", "data"]


def test_an_interrupted_backup_leaves_the_former_one(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lived_in(folders("data"))
    file = saved(folder)
    before = file.read_bytes()

    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive.ArchiveWriter, "add", full)
    said = folder.command("backup", str(file), "--force")
    assert said.code == 1
    assert "no backup was made" in said.err
    assert "No space left" in said.err
    assert file.read_bytes() == before
    assert sorted(os.listdir(file.parent)) == ["backup.tar", "data"]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell starts what it runs in the background with SIGINT ignored: pytest, perhaps."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_backup_and_leaves_nothing_beside_it(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    folder = lived_in(folders("data"))
    before = signal.getsignal(signal.SIGTERM)

    def interrupted(*_: object, **__: object) -> str:
        os.kill(os.getpid(), number)
        raise AssertionError("the signal was not heard")

    monkeypatch.setattr(archive.ArchiveWriter, "add", interrupted)
    said = folder.command("backup", str(folder.path.parent / "b.tar"))
    assert (said.code, said.out, said.err) == (128 + number, "", "")
    assert os.listdir(folder.path.parent) == ["data"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_backup_needs_a_database_and_a_place(folders: Folders) -> None:
    folder = folders("data")
    said = folder.command("backup", str(folder.path.parent / "b.tar"))
    assert (said.code, "there is no database" in said.err) == (1, True)
    lived_in(folder)
    said = folder.command("backup", str(folder.path.parent / "nowhere" / "b.tar"))
    assert (said.code, "there is no folder" in said.err) == (1, True)


def test_a_request_that_is_removed_while_its_files_are_saved_is_removed_from_the_backup(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = lived_in(folders("old")), folders("new")
    real = copies.copy

    def copy_and_lose(source: Path, target: Path) -> None:
        real(source, target)

        async def purge(scene: Scene) -> None:
            files = await scene.store.delete(key_of("done"))
            assert files
            FileStore(old.settings.files_dir).remove([file.location for file in files])

        # The loop of the command runs no more than its own steps: another thread is the server.
        old.play(purge)

    monkeypatch.setattr(copies, "copy", copy_and_lose)
    file = saved(old)
    assert "3 requests" in new.command("restore", str(file)).out
    stone = new.play(lambda scene: scene.store.get(key_of("done")))
    assert isinstance(stone, Tombstone)
    assert contents(new)["files"] == {}


@pytest.mark.parametrize("damage", ["missing", "shorter", "other"])
def test_a_file_that_the_folder_itself_has_lost_is_told_and_the_rest_is_saved(
    folders: Folders, damage: str
) -> None:
    old, new = lived_in(folders("old")), folders("new")
    (path,) = old.settings.files_dir.rglob("*.txt")
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"row" if damage == "shorter" else b"ROWS")
    target = old.path.parent / "b.tar"
    said = old.command("backup", str(target))
    assert said.code == 1
    assert "the file r ü.txt of done of acme/alice" in said.err
    assert "1 files could not be saved; the rest is saved" in said.err
    said = new.command("restore", str(target))
    assert said.code == 0, said.err
    assert isinstance(new.play(lambda scene: scene.store.get(key_of("done"))), Record)
