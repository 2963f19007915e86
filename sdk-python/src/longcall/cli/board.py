# SPDX-License-Identifier: Apache-2.0
"""A live board on a terminal: a line for each request, as wide as there is room."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ..events import Chunk, ClientState, Event, Progress, Status
from .exits import Exit
from .jobs import Job
from .words import clean, clock, state_text

FRAMES_PER_SECOND = 8
MARKS = {
    Exit.COMPLETED: ("✓", "green"),
    **dict.fromkeys((Exit.FAILED, Exit.USAGE, Exit.UNREACHABLE), ("✗", "red")),
}
LEFT_MARK = ("–", "yellow")
"""Of what was cancelled, or goes on without us."""
ASCII = str.maketrans({"✓": "+", "✗": "x", "–": "-", "…": "~", "·": "-"})
MAX_LABEL = 24
TAIL = 8
"""Of an id that has no room: UUIDv7s of one hour begin alike."""


@dataclass(eq=False)
class Row:
    """What is shown of one request."""

    job: Job
    words: str = "waiting"
    percentage: float | None = None
    attempt: int = 0
    chunks: array[int] = field(default_factory=lambda: array("q"))
    """The numbers of the chunks that stand, in order."""
    started: float | None = None
    ended: float | None = None

    def take(self, event: Event) -> None:
        """Changes with what has happened."""
        match event:
            case Status(status="processing", chunks_kept_to=kept, attempt=attempt):
                del self.chunks[bisect_right(self.chunks, kept) :]
                self.attempt, self.percentage = attempt, None
                self.words = "running"
            case Status(status=status, error=error):
                self.words = clean(status) if error is None else f"{status} after {error.code}"
            case Progress(percentage=percentage, message=message):
                if percentage is not None:
                    self.percentage = percentage
                if message:
                    self.words = clean(message)
            case Chunk(seq=seq):
                self.chunks.append(seq)

    def rank(self) -> int:
        """Who is shown first where there is no room for all: what moves, then what failed."""
        if self.job.exit is None:
            return 0 if self.started is not None else 2
        return 1 if self.job.exit is not Exit.COMPLETED else 3


class Board:
    """Shows the requests of one run, live; what has ended stays when the run is over."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._rows: dict[Job, Row] = {}
        self._live = self._new_live()
        self._spinner = Spinner("dots" if self._is_unicode else "line", style="cyan")
        self._state: ClientState | None = None
        self._state_since = 0.0
        self._is_over = False

    @property
    def _is_unicode(self) -> bool:
        return self._console.encoding.lower().startswith("utf")

    def _new_live(self) -> Live:
        return Live(
            console=self._console,
            get_renderable=lambda: self,
            refresh_per_second=FRAMES_PER_SECOND,
            # Otherwise what is printed for a pipe would land on the terminal.
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over = True
        self._live.stop()

    def begin(self, jobs: list[Job]) -> None:
        self._rows = {job: Row(job) for job in jobs}

    def start(self, job: Job) -> None:
        row = self._rows[job]
        row.started = self._console.get_time()
        row.words = "sending" if job.label != job.id else "asking"

    def event(self, job: Job, event: Event) -> None:
        self._rows[job].take(event)

    def end(self, job: Job, exit: Exit, words: str = "") -> None:
        row = self._rows[job]
        row.ended = self._console.get_time()
        row.words = words or exit.outcome

    def state(self, state: ClientState) -> None:
        self._state, self._state_since = state, self._console.get_time()

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Takes the board away while something is printed on the same terminal."""
        if not sys.stdout.isatty() or self._is_over:
            yield
            return
        self._live.transient = True
        self._live.stop()
        try:
            yield
            sys.stdout.flush()
        finally:
            self._live = self._new_live()
            self._live.start()

    # Drawing.

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, 120)
        rows, rest = self._chosen(options.size.height)
        if rows:
            yield self._table(rows, width)
        if rest:
            yield Text(self._glyphs(self._sum(rest)), "dim", no_wrap=True, overflow="ellipsis")
        if trouble := self._trouble():
            mark = "! "
            yield Text(mark + self._glyphs(trouble), "yellow", no_wrap=True, overflow="ellipsis")

    def _chosen(self, height: int) -> tuple[list[Row], list[Row]]:
        """Splits into what is shown and what is counted; in the order of the command line."""
        rows = list(self._rows.values())
        room = max(1, height - 3)
        if len(rows) <= room:
            return rows, []
        ranked = sorted(rows, key=Row.rank)
        shown = ranked[:room]
        chosen = set(shown)
        return [row for row in rows if row in chosen], ranked[room:]

    def _sum(self, rows: list[Row]) -> str:
        counts: dict[str, int] = {}
        for row in rows:
            if row.job.exit is not None:
                word = row.job.exit.outcome
            else:
                word = "waiting" if row.started is None else "running"
            counts[word] = counts.get(word, 0) + 1
        return "… and " + ", ".join(f"{count} {word}" for word, count in counts.items())

    def _trouble(self) -> str:
        state = self._state
        if state is None or self._is_over:
            return ""
        elapsed = self._console.get_time() - self._state_since
        if state.name == "connecting":
            return "connecting" if elapsed > 1 else ""
        left = max(0.0, (state.retry_in or 0) - elapsed)
        return state_text(state, left)

    def _table(self, rows: list[Row], width: int) -> Table:
        """A row: mark, label, words, bar, percentage, chunks, time; the narrower, the fewer."""
        has_bar, has_words, has_clock = width >= 40, width >= 60, width >= 28
        has_chunks = width >= 72 and any(row.chunks for row in rows)
        bar = max(8, min(40, width // 4))
        table = Table.grid(padding=(0, 2 if width >= 72 else 1, 0, 0))
        table.add_column(width=1)
        table.add_column(no_wrap=True, overflow="ellipsis")
        if has_words:
            table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
            table.expand, table.width = True, width
        if has_bar:
            table.add_column(width=bar)
        table.add_column(width=5, justify="right", no_wrap=True)
        if has_chunks:
            table.add_column(justify="right", no_wrap=True)
        if has_clock:
            table.add_column(justify="right", no_wrap=True)
        for row in rows:
            cells: list[RenderableType] = [self._mark(row), self._label(row, width)]
            cells += [self._words(row)] * has_words
            cells += [self._bar(row, bar)] * has_bar
            percent = "" if row.percentage is None else f"{row.percentage:.0f} %"
            cells.append(Text(percent if row.job.exit is None else ""))
            if has_chunks:
                count = len(row.chunks)
                chunks = f"{count} chunk{'s' * (count != 1)}" if count else ""
                cells.append(Text(chunks, "dim"))
            if has_clock:
                cells.append(Text(self._clock(row), "dim"))
            table.add_row(*cells)
        return table

    def _mark(self, row: Row) -> RenderableType:
        if row.job.exit is not None:
            mark, style = MARKS.get(row.job.exit, LEFT_MARK)
            return Text(self._glyphs(mark), f"bold {style}")
        if self._is_over or row.started is None:
            return Text(self._glyphs("·"), "dim")
        return self._spinner

    def _label(self, row: Row, width: int) -> Text:
        label = clean(row.job.label)
        is_id = row.job.label == row.job.id
        if is_id and len(label) > TAIL + 1 and (width < 100 or len(label) > 36):
            label = f"…{label[-TAIL:]}"
        most = MAX_LABEL if width >= 60 else max(6, width - 28)
        if not is_id and len(label) > most:  # the end tells the requests of one action apart
            label = f"…{label[1 - most :]}"
        return Text(self._glyphs(label), "bold")

    def _words(self, row: Row) -> Text:
        words = row.words
        if row.job.exit is None:
            words = f"attempt {row.attempt}: {words}" if row.attempt > 1 else words
            return Text(self._glyphs(words), "" if row.started is not None else "dim")
        _, style = MARKS.get(row.job.exit, LEFT_MARK)
        return Text(self._glyphs(words), style)

    def _bar(self, row: Row, width: int) -> RenderableType:
        if row.job.exit is Exit.COMPLETED:
            return ProgressBar(100, 100, width, finished_style="green")
        if row.job.exit is not None or row.started is None or self._is_over:
            return Text("")
        if row.percentage is None:
            return ProgressBar(None, 0, width, pulse=True, pulse_style="cyan")
        return ProgressBar(100, row.percentage, width, complete_style="cyan")

    def _clock(self, row: Row) -> str:
        if row.started is None:
            return ""
        until = row.ended if row.ended is not None else self._console.get_time()
        return clock(until - row.started)

    def _glyphs(self, text: str) -> str:
        return text if self._is_unicode else text.translate(ASCII)
