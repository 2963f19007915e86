# SPDX-License-Identifier: Apache-2.0
"""`longcall-server backup` and `restore` on data folders."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from operator_harness import DataFolder, fail, without_environment

from longcall_server.files import FileStore
from longcall_server.operating import archive, restore
from longcall_server.operating.failure import CommandFailed
from longcall_server.stores.base import Record, StoreLimits, Tombstone
from longcall_server.stores.sqlite import SqliteStore, copies
from longcall_server.stores.sqlite.schema import VERSION
from longcall_server.stores.suite import Scene
from longcall_server.stores.suite.support import BOB, key_of
from longcall_server.stores.workers import worker_name

Folders = Callable[[str], DataFolder]


@pytest.fixture
def folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Folders:
    without_environment(monkeypatch)
    return lambda name: DataFolder(tmp_path / name, capsys)


def contents(folder: DataFolder) -> dict[str, Any]:
    """All rows of the database, and all files beside it."""
    with closing(sqlite3.connect(folder.settings.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        found: dict[str, Any] = {
            name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in tables
        }
    files = folder.settings.files_dir
    found["files"] = {
        str(path.relative_to(files)): path.read_bytes()
        for path in files.rglob("*")
        if path.is_file()
    }
    return found


def lived_in(folder: DataFolder) -> DataFolder:
    """A data folder with something of everything."""

    async def story(scene: Scene) -> None:
        await fail(scene, "failed")
        await scene.submit("queued", payload='{"n":1}')
        done = await scene.running("done")
        await scene.chunk(done, {"ä": 1}, 1)
        await scene.store.complete(
            done, '{"rows":1}', files=[await folder.file(done, "r ü.txt", b"rows")]
        )
        await scene.running("removed")
        await scene.submit("gone", BOB)
        await scene.store.request_cancel(key_of("gone", BOB), None)
        await scene.store.delete(key_of("gone", BOB))

    folder.play(story)
    return folder


def saved(folder: DataFolder) -> Path:
    target = folder.path.parent / "backup.tar"
    said = folder.command("backup", str(target))
    assert said.code == 0, said.err
    return target


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


# --- Refused restores -----------------------------------------------------------------------------


def refused(folder: DataFolder, file: Path) -> str:
    """Why a restore is refused; the folder is as it was."""
    before = contents(folder)
    names = sorted(os.listdir(folder.path))
    said = folder.command("restore", str(file))
    assert (said.code, said.out) == (1, "")
    assert contents(folder) == before
    assert sorted(os.listdir(folder.path)) == names
    return said.err


def rewritten(file: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """The same archive with other contents; None leaves an entry out."""
    made = file.with_name("changed.tar")
    with tarfile.open(file) as source, tarfile.open(made, "w") as target:
        for entry in source:
            stream = source.extractfile(entry)
            assert stream is not None
            data = change(entry.name, stream.read())
            if data is not None:
                entry.size = len(data)
                target.addfile(entry, io.BytesIO(data))
    return made


def with_database(file: Path, change: Callable[[sqlite3.Connection], object]) -> Path:
    """The same backup with a changed database and a manifest that says so."""
    database = file.with_name("changed.sqlite3")

    def changed(name: str, data: bytes) -> bytes:
        if name == archive.DATABASE:
            database.write_bytes(data)
            with closing(sqlite3.connect(database, isolation_level=None)) as connection:
                change(connection)
            return database.read_bytes()
        if name == archive.MANIFEST:
            manifest = json.loads(data) | {
                "database_size": database.stat().st_size,
                "database_sha256": archive.digest_of(database),
            }
            return json.dumps(manifest).encode()
        return data

    return rewritten(file, changed)


def test_what_is_no_backup_is_refused(folders: Folders) -> None:
    folder = lived_in(folders("data"))
    file = folder.path.parent / "x"
    assert "there is no file" in refused(folder, file)
    file.write_bytes(os.urandom(5_000))
    assert "not a whole backup" in refused(folder, file)
    file.write_bytes(b"")
    assert "not a whole backup" in refused(folder, file)


@pytest.mark.parametrize(
    "name",
    ["../outside", "/tmp/outside", "files/ab/../../../x", "files/0a/" + "0" * 32 + "/..", "x"],
)
def test_an_archive_with_other_entries_is_refused_and_not_unpacked(
    folders: Folders, name: str
) -> None:
    folder = lived_in(folders("data"))
    file = folder.path.parent / "foreign.tar"
    with tarfile.open(file, "w") as target:
        target.addfile(tarfile.TarInfo(name))
    assert "is not a backup of longcall-server: it holds" in refused(folder, file)


def test_an_archive_with_a_link_is_refused(folders: Folders) -> None:
    folder = lived_in(folders("data"))
    file = folder.path.parent / "foreign.tar"
    entry = tarfile.TarInfo(archive.DATABASE)
    entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/hostname"
    with tarfile.open(file, "w") as target:
        target.addfile(entry)
    assert "is not a backup" in refused(folder, file)


@pytest.mark.parametrize("at", [".txt", archive.DATABASE, archive.MANIFEST])
def test_a_backup_that_was_cut_off_is_refused(folders: Folders, at: str) -> None:
    folder = lived_in(folders("data"))
    file = saved(folder)
    with tarfile.open(file) as whole:
        (entry,) = (entry for entry in whole if entry.name.endswith(at))
    for end in (entry.offset_data + 1, entry.offset):
        os.truncate(file, end)
        assert "not a whole backup" in refused(folder, file)


def test_a_changed_byte_of_the_database_is_found(folders: Folders) -> None:
    folder = lived_in(folders("data"))

    def flip(name: str, data: bytes) -> bytes:
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        return flipped if name == archive.DATABASE else data

    assert "its database is not what was saved" in refused(folder, rewritten(saved(folder), flip))


def test_a_missing_or_changed_file_is_found(folders: Folders) -> None:
    folder = lived_in(folders("data"))
    file = saved(folder)
    for data in (None, b"ROWS"):

        def change(name: str, old: bytes, data: bytes | None = data) -> bytes | None:
            return data if name.endswith(".txt") else old

        changed = rewritten(file, change)
        assert "the file r ü.txt of done of acme/alice is missing or not what was saved" in refused(
            folder, changed
        )


def test_a_damaged_database_is_found_though_it_is_what_was_saved(folders: Folders) -> None:
    folder = lived_in(folders("data"))

    def lose_an_index_entry(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, 'status = ''failed''', 'status = ''x''')"
            " WHERE name = 'requests_dead'"
        )

    said = refused(folder, with_database(saved(folder), lose_an_index_entry))
    assert "the database is damaged" in said


@pytest.mark.parametrize(
    ("pragma", "problem"),
    [
        (f"user_version = {VERSION + 1}", f"its database has version {VERSION + 1}"),
        ("application_id = 1", "its database is a database of another program"),
    ],
)
def test_a_database_of_a_newer_version_or_another_program_is_refused(
    folders: Folders, pragma: str, problem: str
) -> None:
    folder = lived_in(folders("data"))
    file = with_database(saved(folder), lambda connection: connection.execute(f"PRAGMA {pragma}"))
    assert problem in refused(folder, file)


@pytest.mark.parametrize(
    ("manifest", "problem"),
    [
        ({"form": "longcall-backup", "version": 2}, "knows forms up to 1"),
        ({"form": "tarball", "version": 1}, "but 'tarball'"),
        (["no", "object"], "its manifest"),
    ],
)
def test_a_manifest_of_another_form_is_refused(
    folders: Folders, manifest: object, problem: str
) -> None:
    folder = lived_in(folders("data"))
    text = json.dumps(manifest).encode()
    changed = rewritten(saved(folder), lambda name, data: text if "manifest" in name else data)
    assert problem in refused(folder, changed)


def test_a_backup_of_an_older_version_is_migrated_when_it_is_restored(folders: Folders) -> None:
    folder = lived_in(folders("data"))

    def become_old(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA foreign_keys = OFF")
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall():
            connection.execute(f"DROP TABLE {name}")
        connection.execute("DELETE FROM sqlite_sequence")
        old = Path(__file__).parent.parent / "stores" / "version_1.sql"
        connection.executescript(old.read_text())
        # These name files that no backup has.
        connection.execute("UPDATE requests SET files = NULL")

    file = with_database(saved(folder), become_old)
    new = folders("new")
    said = new.command("restore", str(file))
    assert said.code == 0, said.err
    assert new.play(lambda scene: scene.store.get(key_of("low"))) is not None


def test_a_folder_in_use_is_not_replaced(folders: Folders) -> None:
    folder = lived_in(folders("data"))
    file = saved(folder)

    async def story(scene: Scene) -> None:
        with pytest.raises(CommandFailed, match="stop the servers that use it first"):
            restore.run(folder.settings, _options(file))
        assert (await scene.submit("goes on")).outcome == "created"

    folder.play(story)
    # A server of the first version locks its file alone.
    with closing(sqlite3.connect(folder.settings.database)) as older:
        older.execute("SELECT count(*) FROM requests").fetchone()
        assert "stop the servers that use it first" in refused(folder, file)


def test_a_folder_that_is_being_saved_is_not_replaced(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lived_in(folders("data"))
    file = saved(folder)
    refusals: list[str] = []

    def replace(*_: object) -> None:
        refusals.append(folder.command("restore", str(file)).err)
        raise OSError("enough")

    monkeypatch.setattr(copies, "copy", replace)
    folder.command("backup", str(file), "--force")
    assert ["stop the servers that use it" in refusal for refusal in refusals] == [True]


def test_nobody_opens_a_folder_that_is_being_restored(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lived_in(folders("data"))
    file = saved(folder)
    monkeypatch.setattr("longcall_server.stores.sqlite.occupancy.BUSY_TIMEOUT_MS", 50)
    refusals: list[str] = []

    def look(*_: object) -> None:
        said = folder.command("deadletter", "list")
        refusals.append(said.err)

    monkeypatch.setattr(copies, "settle", look)
    restore.run(folder.settings, _options(file))
    assert ["is being restored" in refusal for refusal in refusals] == [True]


def test_a_restore_whose_last_changes_do_not_reach_the_file_replaces_nothing(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = lived_in(folders("old")), lived_in(folders("new"))
    file, before = saved(old), contents(new)
    real = copies.settle

    def settle_where_the_log_stays(path: Path, limits: StoreLimits) -> None:
        # As on a full disk: the log is not moved into the file when the last change is over.
        with closing(sqlite3.connect(path)) as reader:
            reader.execute("SELECT count(*) FROM requests").fetchone()
            real(path, limits)

    monkeypatch.setattr(copies, "settle", settle_where_the_log_stays)
    said = new.command("restore", str(file))
    assert (said.code, "could not be moved into its file" in said.err) == (1, True)
    assert contents(new) == before


@pytest.mark.parametrize("crash", ["database", "r ü.txt", "replaced"])
def test_a_restore_that_breaks_off_leaves_what_was_there(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, crash: str
) -> None:
    old, folder = lived_in(folders("old")), lived_in(folders("data"))
    file, before = saved(old), contents(folder)
    replace, mkdir = Path.replace, Path.mkdir
    broken = {"database": folder.settings.database.name}.get(crash, crash)

    def fail_at(path: Path) -> None:
        if path.name.startswith(broken) and path.is_relative_to(folder.path):
            raise OSError(5, "Input/output error")

    def failing_replace(path: Path, target: Path) -> Path:
        fail_at(Path(target))
        return replace(path, target)

    def failing_mkdir(path: Path, *arguments: Any, **options: Any) -> None:
        fail_at(path)
        mkdir(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing_replace)
        patch.setattr(Path, "mkdir", failing_mkdir)
        said = folder.command("restore", str(file))
        assert said.code == 1
        assert "was not restored: [Errno 5]" in said.err
    after = contents(folder)
    files, there = before.pop("files"), after.pop("files")
    assert after == before
    assert files.items() <= there.items()
    assert folder.command("restore", str(file)).code == 0


def _options(file: Path) -> argparse.Namespace:
    return argparse.Namespace(file=str(file))
