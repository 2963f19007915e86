# SPDX-License-Identifier: Apache-2.0
"""What goes to standard output: results as JSON, or lines of JSON for programs."""

from __future__ import annotations

import sys
from typing import Any

from pydantic import JsonValue
from rich.console import Console
from rich.json import JSON
from rich.table import Table
from rich.text import Text

from ..errors import LongcallError
from ..events import Chunk, Download, Event, RequestSummary, Status
from .display import Display
from .exits import Exit
from .jobs import Job
from .words import clean, error_fields, event_fields, fields_of, summary_columns, to_json

STATUS_STYLES = {
    "queued": "dim",
    "processing": "cyan",
    "retrying": "yellow",
    "completed": "green",
    "failed": "red",
    "cancelled": "yellow",
}


class Printer:
    """Prints while a display may be on the same terminal."""

    def __init__(
        self, display: Display, *, json: bool, chunks: bool = False, events: bool = False
    ) -> None:
        self._display = display
        self._json = json
        self._chunks = chunks
        self._events = events and json

    def line(self, kind: str, job: Job | None = None, **fields: Any) -> None:
        """Prints one line of JSON; of a request its id and its place on the command line."""
        start: dict[str, Any] = {"type": kind}
        if job is not None:
            start |= {"id": job.id, "index": job.index}
        self._out(to_json({**start, **fields}, stream=sys.stdout))

    def event(self, job: Job, event: Event) -> None:
        """An event, where it was asked for."""
        is_chunk = isinstance(event, Chunk)
        if self._json:
            # Where chunks are printed, so is which of them stand (PROTOCOL 10.19).
            if self._events or (self._chunks and isinstance(event, (Chunk, Status))):
                fields = event_fields(event)
                self.line(fields.pop("type"), job, **fields)
        elif self._chunks and is_chunk:
            assert isinstance(event, Chunk)
            self._out(to_json(event.data, stream=sys.stdout))

    def result(self, job: Job, result: JsonValue, download: Download | None) -> None:
        """The result of a request that completed."""
        if self._json:
            more = {} if download is None else {"download": fields_of(download)}
            self.line("result", job, outcome=Exit.COMPLETED.outcome, result=result, **more)
            return
        self.value(result)
        if download is not None:
            self._display.note(f"{clean(download.path)} ({download.size} bytes)")
            self._display.note(f"sha256 {download.sha256}")

    def failure(self, job: Job | None, exit: Exit, error: LongcallError | None, text: str) -> None:
        """How a request, or the whole command, failed: a line for programs."""
        if self._json:
            self.line("error", job, outcome=exit.outcome, error=error_fields(error, text))

    def submitted(self, job: Job) -> None:
        """The server has stored a request."""
        if self._json:
            self.line("submitted", job, stored=True)
        else:
            self._out(job.id)

    def answered(self, job: Job, result: JsonValue) -> None:
        """The server has answered a submission at once, and has not stored it."""
        if self._json:
            self.line("submitted", job, stored=False, result=result)
        else:
            self._display.note("answered at once and not stored; this is the result:")
            self.value(result)

    def cancelled(self, job: Job) -> None:
        """The server has taken a cancel."""
        if self._json:
            self.line("cancel_requested", job)
        else:
            self._display.note(f"the server has taken the cancel of {job.id}")

    def value(self, value: object) -> None:
        """A JSON value for people: in colours on a terminal, and nothing but JSON elsewhere."""
        text = to_json(value, indent=2, stream=sys.stdout)
        if sys.stdout.isatty():
            with self._display.aside():
                Console().print(JSON(text, ensure_ascii=True), soft_wrap=True)
        else:
            self._out(text)

    def requests(self, requests: list[RequestSummary]) -> None:
        """A list of requests: a table on a terminal, columns between tabs elsewhere."""
        if self._json:
            for request in requests:
                self.line("request", **fields_of(request))
        elif sys.stdout.isatty():
            with self._display.aside():
                console = Console()
                console.print(_table(requests, console.width))
        else:
            for request in requests:
                self._out("\t".join(summary_columns(request)))

    def _out(self, text: str) -> None:
        with self._display.aside():
            print(text, flush=True)


def _table(requests: list[RequestSummary], width: int) -> Table:
    """An id is there to be copied: it is never broken while anything else could be left out."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    columns: dict[str, dict[str, Any]] = {
        "id": {"overflow": "fold", "style": "bold", "min_width": min(36, width)},
        "created": {"no_wrap": True},
        "status": {"no_wrap": True},
        "action": {"overflow": "ellipsis", "no_wrap": True},
        "progress": {"justify": "right", "no_wrap": True},
    }
    room = {"created": 96, "status": 48, "action": 64, "progress": 76}
    shown = [name for name in columns if width >= room.get(name, 0)]
    for name in shown:
        table.add_column("" if name == "progress" else name, **columns[name])
    for request in requests:
        cells = dict(zip(columns, map(Text, summary_columns(request)), strict=True))
        cells["status"].stylize(STATUS_STYLES.get(request.status, ""))
        table.add_row(*(cells[name] for name in shown))
    return table
