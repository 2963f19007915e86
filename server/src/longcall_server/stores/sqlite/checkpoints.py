# SPDX-License-Identifier: Apache-2.0
"""Moves the write-ahead log into the database file, off the way of the commits.

A thread with a connection of its own makes PASSIVE checkpoints: they hold up nobody. Under a load
that never pauses they cannot catch up with the newest frames, and the log would grow for ever; when
it has grown large the writer does the small rest itself, between two transactions, right after the
thread did the bulk. The next transaction then starts the log anew.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)

CHANGES = 4_000
"""Changed rows after which a checkpoint is made at once."""
IDLE_S = 1.0
"""How long fewer changes wait for more."""
LARGE_LOG = 8_192
"""Frames of 4 KiB from which on the writer helps."""


class Checkpointer:
    """The thread and its schedule."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._changes = 0
        self._some = threading.Event()
        self._many = threading.Event()
        self._stopping = threading.Event()
        self._writer_helps = False
        self._thread = threading.Thread(target=self._main, name="longcall-checkpoint", daemon=True)

    def start(self) -> None:
        """Begins to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and waits for it; the last connection to close empties the log."""
        self._stopping.set()
        self._some.set()
        self._many.set()
        if self._thread.ident is not None:
            self._thread.join()

    def after_commit(self, connection: sqlite3.Connection, changes: int) -> None:
        """Called by the writer, on its thread, between two transactions."""
        if self._writer_helps:
            self._writer_helps = False
            _checkpoint(connection)
        self._changes += changes
        if not self._some.is_set():
            self._some.set()
        if self._changes >= CHANGES and not self._many.is_set():
            self._many.set()

    def _main(self) -> None:
        connection = self._connect()
        try:
            while True:
                self._some.wait()
                self._many.wait(IDLE_S)
                if self._stopping.is_set():
                    return
                self._some.clear()
                self._many.clear()
                self._changes = 0
                self._writer_helps = _checkpoint(connection) > LARGE_LOG
        finally:
            connection.close()


def _checkpoint(connection: sqlite3.Connection) -> int:
    """Returns how many frames the log had when the checkpoint began."""
    try:
        _, frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error as error:
        # Nothing is lost: what is committed stays in the log, and the next checkpoint tries again.
        _log.warning("a checkpoint failed: %s", error)
        return 0
    return int(frames)
