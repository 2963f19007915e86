# SPDX-License-Identifier: Apache-2.0
"""The files that handlers attach (PROTOCOL 8).

A file is written aside, in a folder of its own with an unguessable name, and is made durable before
the transaction that records it. Beside it a note says whose it is, so that one that was never
recorded, because its attempt or its process died, is found and removed:

    files/3f/3f8c…e1/report.csv     the file; `3f/3f8c…e1/report.csv` is its location
    files/3f/3f8c…e1.json           the note
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from longcall_server.core.codes import RequestStatus
from longcall_server.disk import sync_folder
from longcall_server.handlers.errors import AttemptFenced
from longcall_server.stores.base import (
    Owner,
    Record,
    RequestKey,
    StoredFile,
    StoreError,
    Tombstone,
)

_log = logging.getLogger(__name__)

MAX_NAME_BYTES = 255
_BLOCK = 1 << 20
_UNFINISHED = ".new"
"""What a note is called while it is written."""
_OLD = 86_400
"""Seconds after which nobody is writing it any more."""
Lookup = Callable[[RequestKey], Awaitable[Record | Tombstone | None]]


def check_name(name: str) -> str:
    """Returns the name if a file may have it; raises `ValueError` that says why not."""
    if not name:
        raise ValueError("a file needs a name")
    if name in (".", ".."):
        raise ValueError(f"{name!r} is not the name of a file")
    if any(character in "/\\" or not character.isprintable() for character in name):
        raise ValueError(f"the file name {name!r} holds a separator or a control character")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise ValueError(f"the file name is longer than {MAX_NAME_BYTES} bytes")
    return name


@dataclass(frozen=True, slots=True)
class _Note:
    """Whose a file is: which attempt of which request wrote it."""

    key: RequestKey
    attempt: int

    def text(self) -> str:
        owner = self.key.owner
        return json.dumps([owner.tenant_id, owner.sub, self.key.id, self.attempt])

    @classmethod
    def parse(cls, text: str) -> _Note:
        tenant_id, sub, request_id, attempt = json.loads(text)
        return cls(RequestKey(Owner(tenant_id, sub), request_id), int(attempt))


class StoredFileDraft:
    """A file being written. Its methods block and may be called from any thread."""

    def __init__(self, store: FileStore, name: str, media_type: str, location: str) -> None:
        self._store = store
        self._name = name
        self._media_type = media_type
        self.location = location
        self.path = store.path(location)
        self._lock = threading.Lock()
        self._stream: BinaryIO | None = None
        self._gone = False
        self._sealed = False

    def write(self, data: bytes) -> None:
        """Appends bytes; raises `AttemptFenced` once the file was discarded."""
        with self._lock:
            self._check()
            if self._stream is None:
                self._stream = self.path.open("ab")
            self._stream.write(data)

    def seal(self) -> StoredFile:
        """Syncs the file and its folders, and measures it."""
        with self._lock:
            self._check()
            self._close()
            digest = hashlib.sha256()
            # Opened anew: a library may have replaced the file under this path.
            with self.path.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    digest.update(block)
                size = stream.tell()
                os.fsync(stream.fileno())
            _sync_folders(self.path.parent, self._store.root)
            self._sealed = True
            return StoredFile(self._name, self._media_type, size, digest.hexdigest(), self.location)

    def discard(self) -> None:
        """Removes the file; later writes raise `AttemptFenced`."""
        with self._lock:
            self._gone = True
            self._close()
            self._store.remove([self.location])

    def _check(self) -> None:
        if self._gone:
            raise AttemptFenced("the file was discarded with its attempt")
        if self._sealed:
            raise ValueError(f"the file {self._name!r} is finished")

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class FileStore:
    """The folder of all attached files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._live: set[str] = set()
        """Locations that running attempts of this process write."""

    def prepare(self) -> None:
        """Makes the folder, which nobody else on the machine can read. Blocks."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def open(
        self, key: RequestKey, attempt: int, name: str, media_type: str
    ) -> StoredFileDraft:
        """Begins a file of an attempt; raises `ValueError` for a bad name or media type."""
        check_name(name)
        if not media_type.isprintable() or not media_type.isascii() or "/" not in media_type:
            raise ValueError(f"{media_type!r} is not a media type")
        return await asyncio.to_thread(self._begin, _Note(key, attempt), name, media_type)

    def path(self, location: str) -> Path:
        """Where a location is; raises `ValueError` for one that was never given out."""
        parts = location.split("/")
        if len(parts) != 3 or any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"{location!r} is not a location")
        return self.root.joinpath(*parts)

    def recorded(self, files: Iterable[StoredFile]) -> None:
        """The finishing transaction has taken these: they live as long as their request."""
        self._live.difference_update(file.location for file in files)

    def remove(self, locations: Iterable[str]) -> None:
        """Removes files with their folders and notes. Blocks; what is gone already is no error."""
        for location in locations:
            folder = self.path(location).parent
            shutil.rmtree(folder, ignore_errors=True)
            folder.with_suffix(".json").unlink(missing_ok=True)
            self._live.discard(location)

    async def remove_orphans(self, lookup: Lookup) -> int:
        """Removes files that no request records and no running attempt writes; how many.

        Looks at what was there when it was called. A store that does not answer ends the search,
        without harm: the next start takes it up again.
        """
        removed = 0
        for location, note in await asyncio.to_thread(lambda: list(self._notes())):
            if location in self._live:
                continue
            try:
                orphan = note is None or _is_orphan(location, note, await lookup(note.key))
            except StoreError as error:
                _log.warning("the search for orphaned files stopped: %s", error)
                break
            if orphan and location not in self._live:
                await asyncio.to_thread(self.remove, [location])
                removed += 1
        return removed

    def _begin(self, note: _Note, name: str, media_type: str) -> StoredFileDraft:
        token = secrets.token_hex(16)
        location = f"{token[:2]}/{token}/{name}"
        self._live.add(location)
        draft = StoredFileDraft(self, name, media_type, location)
        folder = draft.path.parent
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Another process, which looks for orphans right now, finds the note whole or not at all.
        unfinished = folder.with_suffix(_UNFINISHED)
        unfinished.write_text(note.text(), encoding="utf-8")
        unfinished.replace(folder.with_suffix(".json"))
        folder.mkdir(mode=0o700)
        draft.path.touch(mode=0o600)
        return draft

    def _notes(self) -> Iterator[tuple[str, _Note | None]]:
        """Every file with its note; None for a note that was damaged."""
        for path in self.root.glob(f"??/*{_UNFINISHED}"):
            _remove_old(path)
        for path in self.root.glob("??/*.json"):
            folder = path.with_suffix("")
            try:
                names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
                note = _Note.parse(path.read_text(encoding="utf-8"))
            except OSError:
                continue  # removed meanwhile, or not readable now: that makes it nobody's orphan
            except (ValueError, TypeError):
                note = None
            # A folder without its file was left by a crash: any name finds it.
            name = names[0] if names else "gone"
            yield f"{path.parent.name}/{folder.name}/{name}", note


def _is_orphan(location: str, note: _Note, found: Record | Tombstone | None) -> bool:
    if not isinstance(found, Record):
        return True
    if any(file.location.rpartition("/")[0] == location.rpartition("/")[0] for file in found.files):
        return False
    # Another process on the same folder may be writing it.
    return not (found.status is RequestStatus.PROCESSING and found.attempt == note.attempt)


def _remove_old(path: Path) -> None:
    """Removes what a process that died was about to make."""
    with contextlib.suppress(FileNotFoundError):
        if time.time() - path.stat().st_mtime > _OLD:
            path.unlink()


def _sync_folders(folder: Path, root: Path) -> None:
    while True:
        sync_folder(folder)
        if folder == root:
            return
        folder = folder.parent
