# SPDX-License-Identifier: Apache-2.0
"""`longcall-server backup FILE`: the database of one moment and the files that it names.

Servers go on working. The database is copied first: every file that it names was there before it.
A request may be removed with its files before they are copied; then the copy forgets it as the
server has, so that what the backup holds is true.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from longcall_server import __version__
from longcall_server.config import Settings
from longcall_server.core.events import timestamp
from longcall_server.disk import sync_folder
from longcall_server.engines import store_limits
from longcall_server.operating import archive
from longcall_server.operating.archive import ArchiveWriter, Manifest, Unsound
from longcall_server.operating.data import existing_database
from longcall_server.operating.failure import CommandFailed
from longcall_server.operating.letters import said
from longcall_server.operating.output import printable
from longcall_server.stores.base import RequestKey, StoredFile, StoreError, system_clock
from longcall_server.stores.sqlite import copies
from longcall_server.stores.sqlite.occupancy import among_others_in
from longcall_server.stores.sqlite.schema import VERSION


def run(settings: Settings, options: argparse.Namespace) -> None:
    """Makes a backup; raises `CommandFailed`."""
    target = Path(options.file)
    source = existing_database(settings)
    _check_target(target, force=options.force)
    try:
        with among_others_in(settings.data_dir), _aside(target) as (database, tar):
            created_at = system_clock()
            copies.copy(source, database)
            manifest = _write(settings, source, database, tar, created_at)
            _check_target(target, force=options.force)
            tar.replace(target)
            sync_folder(target.parent)
    except (OSError, sqlite3.Error, StoreError) as error:
        raise CommandFailed(f"no backup was made: {error}") from error
    print(
        f"{target} holds {manifest.requests} requests, {manifest.unfinished} of them unfinished, "
        f"and {manifest.files} files"
    )
    if manifest.unsound:
        raise CommandFailed(f"{len(manifest.unsound)} files could not be saved; the rest is saved")


def _write(
    settings: Settings, source: Path, database: Path, tar: Path, created_at: int
) -> Manifest:
    files = 0
    gone: list[RequestKey] = []
    unsound: list[str] = []
    with tar.open("wb") as stream:
        os.fchmod(stream.fileno(), 0o600)
        writer = ArchiveWriter(stream)
        for key, file in copies.attached_files(database):
            try:
                _add_file(writer, settings.files_dir, file)
                files += 1
            except (FileNotFoundError, Unsound) as error:
                if not copies.names_file(source, key, file):
                    gone.append(key)
                    continue
                problem = "is missing" if isinstance(error, FileNotFoundError) else str(error)
                print(
                    f"longcall-server: the file {printable(file.name)} of {said(key)} {problem}",
                    file=sys.stderr,
                )
                unsound.append(file.location)
        if gone:
            copies.remove(database, gone, store_limits(settings))
        counted = copies.count(database)
        size = database.stat().st_size
        manifest = Manifest(
            software=f"longcall-server {__version__}",
            created_at=timestamp(created_at),
            requests=counted.requests,
            unfinished=counted.unfinished,
            files=files,
            database_version=VERSION,
            database_size=size,
            database_sha256=writer.add(archive.DATABASE, database, size=size),
            unsound=tuple(unsound),
        )
        writer.finish(manifest)
        stream.flush()
        os.fsync(stream.fileno())
    return manifest


def _add_file(writer: ArchiveWriter, files_dir: Path, file: StoredFile) -> None:
    path = files_dir / file.location
    note = path.parent.with_suffix(".json")
    whose = note.read_text(encoding="utf-8")
    writer.add(f"{archive.FILES}/{file.location}", path, size=file.size, sha256=file.sha256)
    writer.add_text(f"{archive.FILES}/{note.relative_to(files_dir)}", whose)


def _check_target(target: Path, *, force: bool) -> None:
    if target.exists() and not (force and target.is_file()):
        hint = ": choose another name, or give --force" if target.is_file() else ""
        raise CommandFailed(f"{target} is there already{hint}")
    if not target.parent.is_dir():
        raise CommandFailed(f"there is no folder {target.parent}")


@contextmanager
def _aside(target: Path) -> Iterator[tuple[Path, Path]]:
    """Where the database and the archive are made; nothing stays there."""
    name = f".{target.name}.{os.getpid()}"
    database, tar = target.with_name(f"{name}.sqlite3"), target.with_name(f"{name}.tar")
    database.touch(mode=0o600, exist_ok=False)
    try:
        yield database, tar
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            database.with_name(database.name + suffix).unlink(missing_ok=True)
        tar.unlink(missing_ok=True)
