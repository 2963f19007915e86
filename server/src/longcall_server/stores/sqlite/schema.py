# SPDX-License-Identifier: Apache-2.0
"""The file: its tables and indexes, its version, and how a connection to it is made."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from longcall_server.disk import sync_folder
from longcall_server.stores.base import IncompatibleStore, StoreUnavailable

APPLICATION_ID = 0x4C43_5331
"""Marks the file as ours: `LCS1`."""
OLDEST_SQLITE = (3, 37, 0)
BUSY_TIMEOUT_MS = 5_000
"""How long a write waits for another process's transaction."""
SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")

_VERSION_1 = """
-- Who has requests; `in_flight` counts the unfinished ones (PROTOCOL 10.45).
CREATE TABLE owners (
    owner_id INTEGER PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    sub TEXT NOT NULL,
    in_flight INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tenant_id, sub)
) STRICT;

-- Small columns only: each step of a request rewrites its row. AUTOINCREMENT: a record id is never
-- used again, it fences the writes of an older incarnation (PROTOCOL 10.16).
CREATE TABLE requests (
    record_id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner_id INTEGER NOT NULL REFERENCES owners,
    id TEXT NOT NULL,
    action TEXT NOT NULL,
    digest TEXT NOT NULL,
    submission TEXT NOT NULL,
    max_attempts INTEGER NOT NULL,
    backoff_initial_ms INTEGER NOT NULL,
    backoff_max_ms INTEGER NOT NULL,
    metadata TEXT,
    priority INTEGER NOT NULL,
    status TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    deadline_at INTEGER,
    last_seq INTEGER NOT NULL,
    log_bytes INTEGER NOT NULL,
    chunks_kept_to INTEGER NOT NULL,
    cancel_grace_ms INTEGER NOT NULL,
    retention_ms INTEGER NOT NULL,
    cancel_requested_at INTEGER,
    cancel_reason TEXT,
    files TEXT,
    requeued_from TEXT,
    callback_url TEXT,
    traceparent TEXT,
    lease_worker TEXT,
    lease_expires_at INTEGER,
    finished_at INTEGER,
    expires_at INTEGER,
    last_operation INTEGER NOT NULL,
    ended_attempt INTEGER NOT NULL,
    is_ready INTEGER,     -- 1: due, claims look at it; 0: waits for due_at; NULL: runs or has ended
    sweep_at INTEGER,     -- when a sweep must look at it next
    UNIQUE (owner_id, id)
) STRICT;

CREATE INDEX requests_listed ON requests (owner_id, created_at, id);
CREATE INDEX requests_ready ON requests (action, priority DESC, created_at, record_id)
    WHERE is_ready = 1;
CREATE INDEX requests_waiting ON requests (due_at) WHERE is_ready = 0;
CREATE INDEX requests_swept ON requests (sweep_at) WHERE sweep_at IS NOT NULL;
CREATE INDEX requests_leased ON requests (lease_worker) WHERE lease_worker IS NOT NULL;

CREATE TABLE payloads (
    record_id INTEGER PRIMARY KEY REFERENCES requests ON DELETE CASCADE,
    payload TEXT NOT NULL
) STRICT;

CREATE TABLE checkpoints (
    record_id INTEGER PRIMARY KEY REFERENCES requests ON DELETE CASCADE,
    checkpoint TEXT NOT NULL
) STRICT;

CREATE TABLE progress (
    record_id INTEGER PRIMARY KEY REFERENCES requests ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;

-- The logs. The result or error of a request is that of its last event.
CREATE TABLE events (
    record_id INTEGER NOT NULL REFERENCES requests ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    frame TEXT NOT NULL,
    PRIMARY KEY (record_id, seq)
) STRICT, WITHOUT ROWID;

-- Ids outlive logs (PROTOCOL 10.31).
CREATE TABLE tombstones (
    owner_id INTEGER NOT NULL REFERENCES owners,
    id TEXT NOT NULL,
    digest TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (owner_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX tombstones_forgotten ON tombstones (expires_at);
"""

_VERSION_2 = """
-- Claims go by turns of tenants, and within a tenant by rank (core/scheduling.py). A request that
-- was accepted by version 1 gets the rank that it would have got; its delay was not written down.
ALTER TABLE requests ADD COLUMN tenant_id TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;
UPDATE requests SET
    tenant_id = (SELECT o.tenant_id FROM owners o WHERE o.owner_id = requests.owner_id),
    rank = created_at - 60000 * priority;

DROP INDEX requests_ready;
CREATE INDEX requests_ready
    ON requests (action, tenant_id, rank, record_id, deadline_at, is_ready) WHERE is_ready = 1;
DROP INDEX requests_leased;
CREATE INDEX requests_leased ON requests (lease_worker, tenant_id, action)
    WHERE lease_worker IS NOT NULL;

-- The dead-letter list is read over all owners: the newest end first, or by id.
CREATE INDEX requests_dead ON requests (finished_at) WHERE status = 'failed';
CREATE INDEX requests_dead_ids ON requests (id, finished_at) WHERE status = 'failed';
"""

_VERSION_3 = """
-- The owners of a tenant take turns as well (core/scheduling.py): whose requests are due, and how
-- many of each run, is read off indexes.
ALTER TABLE requests ADD COLUMN sub TEXT NOT NULL DEFAULT '';
UPDATE requests SET sub = (SELECT o.sub FROM owners o WHERE o.owner_id = requests.owner_id);

DROP INDEX requests_ready;
CREATE INDEX requests_ready
    ON requests (action, tenant_id, sub, rank, record_id, deadline_at, is_ready)
    WHERE is_ready = 1;
DROP INDEX requests_leased;
CREATE INDEX requests_leased ON requests (lease_worker, tenant_id, sub, action)
    WHERE lease_worker IS NOT NULL;

-- Of whom requests wait, and whose turn it is; a row lasts while an owner of the tenant is known.
CREATE TABLE tenants (
    tenant_id TEXT PRIMARY KEY,
    waiting INTEGER NOT NULL,   -- requests queued or retrying, due or not (PROTOCOL 6.6.10)
    served TEXT NOT NULL        -- the owner who was served last; '' if nobody was
) STRICT, WITHOUT ROWID;
INSERT INTO tenants (tenant_id, waiting, served)
    SELECT o.tenant_id, count(r.record_id), ''
    FROM owners o LEFT JOIN requests r ON r.owner_id = o.owner_id AND r.is_ready IS NOT NULL
    GROUP BY o.tenant_id;
"""

MIGRATIONS = (_VERSION_1, _VERSION_2, _VERSION_3)
"""Entry N takes a file from version N to N + 1; the first one creates it."""
VERSION = len(MIGRATIONS)


class FileInUse(StoreUnavailable):
    """Somebody else has the file open."""


def prepare(path: Path, synchronous: str) -> sqlite3.Connection:
    """Opens the file for writing, creates or migrates it, and returns the write connection.

    Raises `IncompatibleStore` for a file of another program or of a newer version, untouched;
    `FileInUse` for one of an older version that another process has open; and `sqlite3.Error` when
    the file cannot be opened or written.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        needed = ".".join(map(str, OLDEST_SQLITE))
        raise IncompatibleStore(f"SQLite {needed} is needed, this is {sqlite3.sqlite_version}")
    make_folder(path.parent)
    if path.exists():
        _replace_older_version(path)
    else:
        # Payloads are nobody else's to read, whatever folder they lie in. SQLite makes the files
        # beside this one with the same mode.
        path.touch(mode=0o600)
    connection = connect(path)
    try:
        # One transaction, or a process that makes the file right now is seen half done.
        connection.execute("BEGIN")
        _check(connection, path)
        connection.execute("COMMIT")
        _use_wal(connection)
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("BEGIN IMMEDIATE")
        _migrate(connection, _check(connection, path))
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def connect(path: Path) -> sqlite3.Connection:
    """Opens a connection for the calling thread; transactions are begun and ended by hand."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1_000)
    connection.execute("PRAGMA foreign_keys = ON")
    # Checkpoints are made aside (see checkpoints.py), not by whichever commit fills the WAL.
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA cache_size = -32768")
    return connection


@contextmanager
def alone(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection beside which nobody else has one; raises `FileInUse` if somebody has.

    Every connection that has read holds a shared lock on a file in WAL mode until it is closed,
    whatever the version of the program.
    """
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchone()
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise FileInUse(f"{path} is in use") from None
            raise
        connection.execute("COMMIT")  # the lock stays
        yield connection
    finally:
        connection.close()


def _replace_older_version(path: Path) -> None:
    """Migrates a file of an older version, in one transaction and with nobody else at it: a server
    of the older version would go on with tables that it does not know."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1_000
    while 0 < (version := _version_of(path)) < VERSION:
        try:
            with alone(path) as connection:
                connection.execute("BEGIN IMMEDIATE")
                _migrate(connection, _check(connection, path))
                connection.execute("COMMIT")
        except FileInUse:
            # It may be another process that wants the same.
            if time.monotonic() > deadline:
                raise FileInUse(
                    f"{path} has version {version} and must become version {VERSION}, but another "
                    "process has it open: stop the servers of the older version first"
                ) from None
            time.sleep(random.uniform(0.01, 0.1))


def _version_of(path: Path) -> int:
    connection = connect(path)
    try:
        connection.execute("BEGIN")
        return _check(connection, path)
    finally:
        connection.close()


def _check(connection: sqlite3.Connection, path: Path) -> int:
    """Returns the file's version, 0 for a new file; raises `IncompatibleStore`."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application_id == 0 and version == 0 and tables == 0:
        return 0
    if application_id != APPLICATION_ID:
        raise IncompatibleStore(f"{path} is a database of another program")
    if version > VERSION:
        raise IncompatibleStore(
            f"{path} has version {version}; this program knows versions up to {VERSION}: "
            "start a newer longcall-server, or choose another data folder"
        )
    return int(version)


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    if version == VERSION:
        return
    for script in MIGRATIONS[version:]:
        # Not executescript: it would commit the transaction that makes the migration atomic.
        statement = ""
        for line in script.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                connection.execute(statement)
                statement = ""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Turns the write-ahead log on; SQLite does not wait by itself when two processes do it."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1_000
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise IncompatibleStore(f"the file system cannot hold a write-ahead log (mode {mode})")
        return


def make_folder(folder: Path) -> None:
    """Makes a missing folder such that a crash does not take it away with what is in it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)
