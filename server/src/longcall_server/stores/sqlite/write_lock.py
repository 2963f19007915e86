# SPDX-License-Identifier: Apache-2.0
"""Waiting for the write lock, which one process of those that use the file has at a time."""

from __future__ import annotations

import sqlite3
import time

from longcall_server.stores.sqlite.schema import BUSY_TIMEOUT_MS

_FIRST_WAIT = 0.0002
_LONGEST_WAIT = 0.002


def without_waiting(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Makes SQLite itself wait for no lock on this connection: `begin_write` does."""
    connection.execute("PRAGMA busy_timeout = 0")
    return connection


def begin_write(connection: sqlite3.Connection) -> None:
    """Begins a transaction that holds the write lock; raises `sqlite3.Error`, busy after 5 s.

    SQLite's own wait grows to 100 ms between two looks, and finds the moment between two
    transactions of a busy process by luck: of three that wrote without a pause each waited 200 to
    870 ms for one write in a hundred, and waits 70 to 180 ms like this.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1_000
    wait = _FIRST_WAIT
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
        time.sleep(wait)
        wait = min(1.5 * wait, _LONGEST_WAIT)
