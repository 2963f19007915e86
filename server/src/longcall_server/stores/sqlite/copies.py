# SPDX-License-Identifier: Apache-2.0
"""Copies of a database file: taken while servers write, checked, and made fit to be served.

Everything here blocks; a copy has no other user than the caller.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from longcall_server.core.scheduling import Turns
from longcall_server.stores.base import (
    Record,
    RequestKey,
    StoredFile,
    StoreLimits,
    StoreUnavailable,
    system_clock,
)
from longcall_server.stores.changes import Changes
from longcall_server.stores.sqlite import reads
from longcall_server.stores.sqlite.records import SELECT_RECORD, record_of
from longcall_server.stores.sqlite.schema import connect, prepare
from longcall_server.stores.sqlite.sweeps import Sweeps
from longcall_server.stores.sqlite.writes import Writes


class Counted(NamedTuple):
    """What a file holds."""

    requests: int
    unfinished: int


def copy(source: Path, target: Path) -> None:
    """Copies what is committed now, as one moment, while other processes go on writing.

    In one pass over one snapshot: copied in steps, a file that others write would be begun anew at
    each of their commits. Until it is over the write-ahead log keeps what is written meanwhile.
    Raises what `prepare` raises, and `sqlite3.Error`.
    """
    with closing(prepare(source, "FULL")) as live, closing(sqlite3.connect(target)) as made:
        # What is half made when the machine stops is no backup yet: the caller syncs it.
        made.execute("PRAGMA synchronous = OFF")
        live.backup(made, pages=-1)


def check(path: Path) -> None:
    """Raises `IncompatibleStore` for a file of another program or of a newer version, and
    `StoreUnavailable` for a damaged one; migrates one of an older version."""
    try:
        with closing(prepare(path, "FULL")) as connection:
            found = connection.execute("PRAGMA integrity_check(3)").fetchall()
            found += connection.execute("PRAGMA foreign_key_check").fetchmany(3)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the database is damaged: {error}") from error
    if found != [("ok",)]:
        problems = "; ".join(str(row[0]) for row in found)
        raise StoreUnavailable(f"the database is damaged: {problems}")


def count(path: Path) -> Counted:
    """How many requests a file holds."""
    with closing(connect(path)) as connection:
        (requests,) = connection.execute("SELECT count(*) FROM requests").fetchone()
        (unfinished,) = connection.execute("SELECT total(in_flight) FROM owners").fetchone()
    return Counted(requests, int(unfinished))


def attached_files(path: Path) -> Iterator[tuple[RequestKey, StoredFile]]:
    """Every file that a request of the database names, with the request."""
    with closing(connect(path)) as connection:
        for row in connection.execute(f"{SELECT_RECORD} WHERE r.files IS NOT NULL"):
            record = record_of(row)
            for file in record.files:
                yield record.key, file


def names_file(path: Path, key: RequestKey, file: StoredFile) -> bool:
    """Whether the request is there and has the file."""
    with closing(connect(path)) as connection:
        found = reads.get(connection, key)
    return isinstance(found, Record) and file in found.files


def remove(path: Path, keys: Iterable[RequestKey], limits: StoreLimits) -> None:
    """Removes finished requests, as `Store.delete` does; their ids stay known."""
    with _changed(path, limits) as sweeps:
        for key in keys:
            sweeps.delete(key)


def settle(path: Path, limits: StoreLimits) -> None:
    """Takes all leases back: no worker runs what a copy says is running."""
    with _changed(path, limits) as sweeps:
        sweeps.take_back(everyone=True)


@contextmanager
def _changed(path: Path, limits: StoreLimits) -> Iterator[Sweeps]:
    """Afterwards the file alone is the whole copy; else `StoreUnavailable` is raised."""
    with closing(connect(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        writes = Writes(connection, Changes(limits, random.random), Turns(), system_clock)
        yield Sweeps(writes)
        writes.flush()
        connection.execute("COMMIT")
    if path.with_name(f"{path.name}-wal").exists():
        # The last connection to close tells nobody that it could not, e.g. on a full disk.
        raise StoreUnavailable("what was changed in the copy could not be moved into its file")
