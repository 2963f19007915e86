# SPDX-License-Identifier: Apache-2.0
"""One attempt of a pipeline: passes over the source, and rows that go out."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from longcall_demo.emitter import Emitter
from longcall_demo.process.params import Output
from longcall_demo.process.results import Cell, DataRow, OutputFile
from longcall_demo.sources.columns import column_index
from longcall_demo.sources.folder import file_stem
from longcall_demo.sources.reader import Batch, Source
from longcall_server import HandlerError, SyncHandlerFile, SyncRequestContext

ROWS_A_CHUNK = 500


class Run:
    """What the pipelines work with. Every attempt emits the same rows in the same order."""

    def __init__(self, ctx: SyncRequestContext, source: Source) -> None:
        self.ctx = ctx
        self.source = source
        self.sha256 = source.sha256(ctx.raise_if_cancelled)
        self.emitter = Emitter(ctx, source, self.sha256, rows_a_chunk=ROWS_A_CHUNK)
        self._percentage = 0.0

    def batches(self, start: float, end: float, message: str) -> Iterator[Batch]:
        """A pass over all records, during which the progress goes from `start` to `end` percent.

        Raises HandlerError SOURCE_CHANGED at its end if the file was written into.
        """
        for batch in self.source.batches():
            self.ctx.raise_if_cancelled()
            yield batch
            self.progress(start + (end - start) * batch.end.offset / self.source.size, message)
        self.source.raise_if_changed()

    def progress(self, percentage: float, message: str) -> None:
        """Told further on only: a pass that has to be made again is no step back."""
        self._percentage = max(self._percentage, min(percentage, 100.0))
        self.ctx.progress(self._percentage, message)

    def column(self, name: str) -> int:
        """The column's place; HandlerError UNKNOWN_COLUMN."""
        return column_index(self.source, name)

    @contextmanager
    def output(self, kind: str, output: Output, columns: Sequence[str]) -> Iterator["Table"]:
        """Where the records of `clean` and `transform` go; their file is `SOURCE-KIND.csv`."""
        emitter = None if output is Output.FILE else self.emitter
        if output is Output.CHUNKS:
            yield Table(columns, emitter, None)
        else:
            name = f"{file_stem(self.source.name, 'data')}-{kind}.csv"
            table = Table(columns, emitter, name)
            with self.ctx.file(name, "text/csv") as file:
                table.open(file)
                yield table
                table.flush()
            table.close(file)
        self.emitter.flush()


class Table:
    """Takes records one by one, as chunks, as lines of a CSV file (UTF-8, CR LF), or both."""

    def __init__(self, columns: Sequence[str], emitter: Emitter | None, name: str | None) -> None:
        self.records = 0
        self.file: OutputFile | None = None
        """Known when the output has ended."""
        self._columns = columns
        self._emitter = emitter
        self._name = name
        self._stream: SyncHandlerFile | None = None
        self._text = io.StringIO(newline="")
        self._csv = csv.writer(self._text)

    def add(self, cells: Sequence[Cell], texts: Sequence[str]) -> None:
        """A record: the values of its chunk, and the texts of its line."""
        self.records += 1
        if self._emitter is not None:
            self._emitter.add(DataRow(dict(zip(self._columns, cells, strict=True))))
        if self._stream is not None:
            self._csv.writerow(texts)
            if self._text.tell() > 65_536:
                self.flush()

    def open(self, stream: SyncHandlerFile) -> None:
        """Begins the file, with the columns' names."""
        self._stream = stream
        self._csv.writerow(self._columns)

    def flush(self) -> None:
        """Writes what waits into the file."""
        if self._stream is not None:
            self._stream.write(self._text.getvalue().encode())
            self._text.seek(0)
            self._text.truncate()

    def close(self, stream: SyncHandlerFile) -> None:
        """The file is whole: its size and digest are known."""
        assert self._name is not None
        self.file = OutputFile(name=self._name, bytes=stream.size, sha256=stream.sha256)


def too_large(what: str, limit: int) -> HandlerError:
    """The error for a source of which a pipeline would have to hold too much in memory."""
    return HandlerError("SOURCE_TOO_LARGE", f"{what}: over {limit:,}, which is the limit")
