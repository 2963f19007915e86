# SPDX-License-Identifier: Apache-2.0
"""`longcall-server restore FILE`: a backup takes the place of the data folder's database.

It is unpacked aside and checked before anything is touched. Then, in this order, so that a crash at
any moment leaves either the old data or the new, whole:

1. the old database and files are kept, as links, in `replaced-<time>/`;
2. the files of the backup are put beside the old ones: their names are unguessable, none meets;
3. the database is replaced, by one rename.

Files that only the old database knew have no request then; the next start of a server removes them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from longcall_server.config import Settings
from longcall_server.disk import sync_folder
from longcall_server.engines import store_limits
from longcall_server.operating import archive
from longcall_server.operating.archive import Manifest
from longcall_server.operating.failure import CommandFailed
from longcall_server.operating.letters import said
from longcall_server.operating.output import printable
from longcall_server.stores.base import StoreError
from longcall_server.stores.sqlite import copies
from longcall_server.stores.sqlite.occupancy import alone_in
from longcall_server.stores.sqlite.schema import FileInUse, alone


def run(settings: Settings, options: argparse.Namespace) -> None:
    """Restores a backup; raises `CommandFailed`, and then the old data still holds."""
    backup = Path(options.file)
    if not backup.is_file():
        raise CommandFailed(f"there is no file {backup}")
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with alone_in(settings.data_dir), _staging(settings.data_dir) as staged:
            _check_unused(settings.database)
            manifest = archive.unpack(backup, staged)
            _check(backup, staged, manifest)
            copies.settle(staged / archive.DATABASE, store_limits(settings))
            kept = _replace(settings, staged)
    except FileInUse as error:
        raise CommandFailed(f"{error}: stop the servers that use it first") from error
    except (OSError, sqlite3.Error, StoreError) as error:
        raise CommandFailed(f"{backup} was not restored: {error}") from error
    print(
        f"{settings.data_dir} is as it was at {manifest.created_at}: {manifest.requests} requests, "
        f"{manifest.unfinished} of them unfinished, and {manifest.files} files"
    )
    if kept is not None:
        print(f"what was there before is in {kept}")


def _check_unused(database: Path) -> None:
    """Servers of the first version hold no lock on the folder, but one on the file."""
    if not database.exists():
        return
    try:
        with alone(database):
            pass  # the end of the last connection also moves the write-ahead log into the file
    except sqlite3.Error:
        # It is damaged, which may be why it is replaced.
        return


def _check(backup: Path, staged: Path, manifest: Manifest) -> None:
    database = staged / archive.DATABASE
    try:
        copies.check(database)
    except StoreError as error:
        problem = str(error).replace(str(database), "its database")
        raise CommandFailed(f"{backup} cannot be restored: {problem}") from error
    for key, file in copies.attached_files(database):
        if file.location in manifest.unsound:
            continue
        path = staged / archive.FILES / file.location
        if not path.is_file() or archive.digest_of(path) != file.sha256:
            raise CommandFailed(
                f"{backup} is damaged: the file {printable(file.name)} of {said(key)} is missing "
                "or not what was saved"
            )


def _replace(settings: Settings, staged: Path) -> Path | None:
    kept = _keep(settings)
    files = staged / archive.FILES
    settings.files_dir.mkdir(exist_ok=True, mode=0o700)
    for path in sorted(files.rglob("*")) if files.is_dir() else ():
        target = settings.files_dir / path.relative_to(files)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True, mode=0o700)
        else:
            path.replace(target)
    _sync_tree(settings.files_dir)
    database = staged / archive.DATABASE
    with database.open("rb") as stream:
        os.fsync(stream.fileno())
    database.replace(settings.database)
    sync_folder(settings.data_dir)
    return kept


def _keep(settings: Settings) -> Path | None:
    """Keeps what will be replaced; None if there is nothing."""
    database, files = settings.database, settings.files_dir
    if not any(path.exists() for path in (database, files, *_beside(database))):
        return None
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    kept = settings.data_dir / f"replaced-{now}"
    kept.mkdir(mode=0o700)
    if database.exists():
        _link(database, kept / database.name)
    for path in _beside(database):
        # SQLite would take them for parts of the new database.
        if path.exists():
            path.replace(kept / path.name)
    if files.is_dir():
        shutil.copytree(files, kept / files.name, copy_function=_link)
    _sync_tree(kept)
    sync_folder(settings.data_dir)
    return kept


def _beside(database: Path) -> Sequence[Path]:
    """Where a database that nobody has open has nothing, unless it is damaged or gone."""
    return [database.with_name(database.name + suffix) for suffix in ("-wal", "-shm")]


def _link(source: str | Path, target: str | Path) -> None:
    """A second name, or a copy where the file system has only one name for a file."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
        with Path(target).open("rb") as stream:
            os.fsync(stream.fileno())


def _sync_tree(root: Path) -> None:
    if root.is_dir():
        for folder, _, _ in os.walk(root):
            sync_folder(Path(folder))


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """An empty folder on the same file system; nothing of it stays."""
    staged = folder / ".restoring"
    shutil.rmtree(staged, ignore_errors=True)  # a restore that was killed; nobody else is here
    staged.mkdir(mode=0o700)
    try:
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)
