# SPDX-License-Identifier: Apache-2.0
"""Who uses a data folder: every open store holds a shared lock on it, who replaces it the whole.

It is `flock` on the folder itself: it ends with the process, leaves no file behind, and stands for
whatever file has the database's name. Nobody may open the database without it: the last connection
to a database that was replaced would remove the write-ahead log of its successor.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from longcall_server.stores.sqlite.schema import BUSY_TIMEOUT_MS, FileInUse, make_folder


class FolderLock:
    """One user's lock on a folder, which is made if it is missing. Its methods block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    def share(self) -> None:
        """Joins the other users; raises `FileInUse` while somebody has the folder alone."""
        deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1_000
        while not self._lock(alone=False):
            if time.monotonic() > deadline:
                raise FileInUse(f"{self._folder} is being restored")
            time.sleep(0.02)

    def take_alone(self) -> None:
        """Raises `FileInUse` if there is any other user."""
        if not self._lock(alone=True):
            raise FileInUse(f"{self._folder} is in use by another process")

    def release(self) -> None:
        """Leaves; without a lock there is nothing to leave."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _lock(self, *, alone: bool) -> bool:
        make_folder(self._folder)
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True


@contextmanager
def among_others_in(folder: Path) -> Iterator[None]:
    """Nobody replaces the folder's data meanwhile; raises `FileInUse` if somebody does now."""
    lock = FolderLock(folder)
    lock.share()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Nobody else uses the folder meanwhile; raises `FileInUse` if somebody does."""
    lock = FolderLock(folder)
    lock.take_alone()
    try:
        yield
    finally:
        lock.release()
