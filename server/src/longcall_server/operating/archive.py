# SPDX-License-Identifier: Apache-2.0
"""The form of a backup: a tar file with the files of requests, the database, and a manifest.

    files/3f/3f8c…e1/report.csv     as in the data folder, each with its note
    files/3f/3f8c…e1.json
    longcall.sqlite3
    manifest.json                   the last entry: a backup that was cut off has none

It is read entry by entry: nothing is unpacked but what a backup of ours can hold.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any, BinaryIO

from longcall_server.operating.failure import CommandFailed

DATABASE = "longcall.sqlite3"
FILES = "files"
MANIFEST = "manifest.json"
FORM = "longcall-backup"
VERSION = 1

_BLOCK = 1 << 20
_FILE_OR_NOTE = re.compile(rf"{FILES}/[0-9a-f]{{2}}/[0-9a-f]{{32}}(?:\.json|/[^/\\\0]{{1,255}})")
_MOST_MANIFEST_BYTES = 1 << 26


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself."""

    software: str
    created_at: str
    requests: int
    unfinished: int
    files: int
    database_version: int
    database_size: int
    database_sha256: str
    unsound: tuple[str, ...] = ()
    """Locations of files that were missing or damaged when the backup was made."""
    form: str = FORM
    version: int = VERSION


class Unsound(Exception):
    """A file is not what it should be; the text says how."""


class ArchiveWriter:
    """Writes a backup to a stream, entry by entry."""

    def __init__(self, stream: BinaryIO) -> None:
        self._tar = tarfile.TarFile(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name: str, path: Path, *, size: int, sha256: str | None = None) -> str:
        """Adds a file of a known size; its digest. Raises `Unsound` and `FileNotFoundError`.

        A file that is found damaged only by its digest has been added nevertheless.
        """
        with path.open("rb") as source:
            if os.fstat(source.fileno()).st_size != size:
                raise Unsound(f"is not of {size} bytes")
            reader = _Digesting(source)
            self._tar.addfile(_entry(name, size), reader)
        if sha256 not in (None, reader.hexdigest()):
            raise Unsound("is not what was stored")
        return reader.hexdigest()

    def add_text(self, name: str, text: str) -> None:
        """Adds a small text."""
        data = text.encode()
        self._tar.addfile(_entry(name, len(data)), io.BytesIO(data))

    def finish(self, manifest: Manifest) -> None:
        """Adds the manifest, and the end of the archive."""
        self.add_text(MANIFEST, json.dumps(asdict(manifest), indent=2) + "\n")
        self._tar.close()


def unpack(path: Path, folder: Path) -> Manifest:
    """Unpacks a backup into an empty folder; raises `CommandFailed` if it is none, or not whole."""
    manifest = None
    try:
        with tarfile.open(path, mode="r:") as archive:
            for entry in archive:
                source = _checked(path, entry, archive)
                if entry.name == MANIFEST:
                    manifest = _manifest(path, source.read(_MOST_MANIFEST_BYTES))
                    break
                _write(source, folder / entry.name)
    except tarfile.TarError as error:
        raise CommandFailed(f"{path} is not a whole backup of longcall-server: {error}") from error
    if manifest is None:
        raise CommandFailed(f"{path} is not a whole backup of longcall-server: it has no manifest")
    database = folder / DATABASE
    if not database.is_file():
        raise CommandFailed(f"{path} is not a whole backup of longcall-server: no database")
    if database.stat().st_size != manifest.database_size or (
        digest_of(database) != manifest.database_sha256
    ):
        raise CommandFailed(f"{path} is damaged: its database is not what was saved")
    return manifest


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mode = 0o600
    return entry


def _checked(path: Path, entry: tarfile.TarInfo, archive: tarfile.TarFile) -> IO[bytes]:
    name = entry.name
    known = name in (DATABASE, MANIFEST) or (
        _FILE_OR_NOTE.fullmatch(name) is not None and not name.endswith(("/.", "/.."))
    )
    source = archive.extractfile(entry) if known and entry.isreg() else None
    if source is None:
        raise CommandFailed(f"{path} is not a backup of longcall-server: it holds {name!r}")
    return source


def _manifest(path: Path, data: bytes) -> Manifest:
    try:
        found: Any = json.loads(data)
        form, version = found["form"], found["version"]
    except (ValueError, TypeError, KeyError):
        raise CommandFailed(f"{path} is not a backup of longcall-server: its manifest") from None
    if form != FORM:
        raise CommandFailed(f"{path} is not a backup of longcall-server but {form!r}")
    if version > VERSION:
        raise CommandFailed(
            f"{path} is a backup of form {version}; this program knows forms up to {VERSION}: use "
            "a newer longcall-server"
        )
    known = {field.name for field in fields(Manifest)}
    given = {name: value for name, value in found.items() if name in known}
    return Manifest(**given | {"unsound": tuple(found["unsound"])})


def _write(source: IO[bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with target.open("xb") as stream:
        os.fchmod(stream.fileno(), 0o600)
        for block in _blocks(source):
            stream.write(block)
        stream.flush()
        os.fsync(stream.fileno())


def _blocks(source: IO[bytes]) -> Iterator[bytes]:
    while block := source.read(_BLOCK):
        yield block


class _Digesting:
    """What is read from a stream, digested on the way."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._digest.update(data)
        return data

    def hexdigest(self) -> str:
        return self._digest.hexdigest()
