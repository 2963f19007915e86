# SPDX-License-Identifier: Apache-2.0
"""Reading a CSV file piece by piece, and saying where it is bad."""

import csv
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from longcall_server import HandlerError

DELIMITERS = ",;\t|"
BATCH_RECORDS = 512  # larger ones are slower: the garbage collector goes through all that live
MAX_LINE_BYTES = 1_048_576
MAX_COLUMNS = 256
MAX_NAME_LENGTH = 100
_HASH_BLOCK = 1_048_576


def bad_source(message: str, *, line: int, column: str | None = None) -> HandlerError:
    """The error for content that cannot be read; `line` counts from 1, with the header."""
    where = f"line {line}" if column is None else f"line {line}, column {column!r}"
    return HandlerError(
        "BAD_SOURCE", f"{where}: {message}", details={"line": line, "column": column}
    )


def sha256_of(file: BinaryIO, between: Callable[[], None]) -> str:
    """The digest, in hex, from where the file stands to its end; `between` is called after each
    MiB, and may raise."""
    digest = hashlib.sha256()
    while block := file.read(_HASH_BLOCK):
        digest.update(block)
        between()
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two records: bytes from the start of the file, lines before it."""

    offset: int
    line: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Some consecutive records, and the places before and after them."""

    records: list[list[str]]
    start: Position
    end: Position


class Source:
    """An open CSV file. One handle for the whole work, so that a file put in its place
    meanwhile is not noticed; `raise_if_changed` notices a write into the open one."""

    def __init__(self, path: Path) -> None:
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            reason = f"{path.name!r} cannot be read: {error.strerror}"
            raise HandlerError("SOURCE_NOT_FOUND", reason) from error
        self.name = path.name
        self._stamp = self._stat()
        self.size = self._stamp[0]
        try:
            self.header, self._delimiter, self.first = self._read_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def _stat(self) -> tuple[int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns

    def raise_if_changed(self) -> None:
        """HandlerError SOURCE_CHANGED if somebody wrote into the file since it was opened."""
        if self._stat() != self._stamp:
            raise HandlerError("SOURCE_CHANGED", f"{self.name!r} changed while it was read")

    def sha256(self, between: Callable[[], None]) -> str:
        """The digest of the whole file in hex; `between` is called after each MiB."""
        self._file.seek(0)
        return sha256_of(self._file, between)

    def batches(self, start: Position | None = None) -> Iterator[Batch]:
        """All records from `start` (one that a batch gave), up to 512 at a time.

        Raises HandlerError BAD_SOURCE, naming the line, for what is not UTF-8, not CSV, or does
        not have as many cells as the header.
        """
        here = start or self.first
        self._file.seek(here.offset)
        reader = csv.reader(self._lines(), delimiter=self._delimiter, strict=True)
        width, skipped = len(self.header), here.line
        while True:
            try:
                records = list(islice(reader, BATCH_RECORDS))
            except (csv.Error, UnicodeDecodeError) as error:
                raise self._bad_text(here, error) from error
            if not records:
                return
            end = Position(self._file.tell(), skipped + reader.line_num)
            batch = Batch([record for record in records if record], here, end)
            if any(len(record) != width for record in batch.records):
                odd = next(i for i, record in enumerate(batch.records) if len(record) != width)
                reason = f"{len(batch.records[odd])} cells where the header has {width}"
                raise bad_source(reason, line=self.line_of(batch, odd))
            if batch.records:
                yield batch
            here = end

    def line_of(self, batch: Batch, index: int) -> int:
        """The line on which a batch's record ends; read again, since only errors ask for it."""
        self._file.seek(batch.start.offset)
        reader = csv.reader(self._lines(), delimiter=self._delimiter, strict=True)
        next(islice(filter(None, reader), index, None))
        return batch.start.line + reader.line_num

    def _bad_text(self, start: Position, error: csv.Error | UnicodeDecodeError) -> HandlerError:
        """Reads again from `start` to the line that cannot be read."""
        self._file.seek(start.offset)
        reader = csv.reader(self._lines(), delimiter=self._delimiter, strict=True)
        with suppress(csv.Error, UnicodeDecodeError):
            deque(reader, maxlen=0)
        line = start.line + reader.line_num
        if isinstance(error, UnicodeDecodeError):
            return bad_source(f"byte {error.start + 1} is not UTF-8", line=line + 1)
        return bad_source(f"not CSV: {error}", line=line)

    def _lines(self) -> Iterator[str]:
        # A line without end is read in pieces, none of which has the header's number of cells.
        return map(bytes.decode, iter(partial(self._file.readline, MAX_LINE_BYTES), b""))

    def _read_header(self) -> tuple[list[str], str, Position]:
        try:
            first = next(self._lines(), "").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            raise bad_source(f"byte {error.start + 1} is not UTF-8", line=1) from error
        delimiter = max(DELIMITERS, key=first.count)  # the comma, where all are equally frequent
        try:
            header = next(csv.reader([first], delimiter=delimiter, strict=True), [])
        except csv.Error as error:
            raise bad_source(f"not CSV: {error}", line=1) from error
        names = [name.strip() for name in header]
        if not any(names):
            raise bad_source("a header with the columns' names was expected", line=1)
        if len(names) > MAX_COLUMNS:
            raise bad_source(f"{len(names)} columns; {MAX_COLUMNS} are allowed", line=1)
        for index, name in enumerate(names):
            if not name or len(name) > MAX_NAME_LENGTH or name in names[:index]:
                reason = f"column {index + 1} needs a name of its own, up to {MAX_NAME_LENGTH} long"
                raise bad_source(reason, line=1, column=name)
        return names, delimiter, Position(self._file.tell(), 1)
