# SPDX-License-Identifier: Apache-2.0
"""What `longcall-server restore` refuses, and what is left when it breaks off."""

from __future__ import annotations

import argparse
import io
import json
import os
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from backup_harness import Folders, contents, lived_in, saved
from operator_harness import DataFolder

from longcall_server.operating import archive, restore
from longcall_server.operating.failure import CommandFailed
from longcall_server.stores.base import StoreLimits
from longcall_server.stores.sqlite import copies
from longcall_server.stores.sqlite.schema import VERSION
from longcall_server.stores.suite import Scene
from longcall_server.stores.suite.support import key_of

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
