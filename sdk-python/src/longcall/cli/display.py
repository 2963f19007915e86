# SPDX-License-Identifier: Apache-2.0
"""What a person sees on standard error while a request runs."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ..events import Chunk, ClientState, Event, Status
from ..events import Progress as ProgressEvent


class Display(Protocol):
    """Shows what happens; nothing of it is needed by a program."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def event(self, event: Event) -> None: ...

    def state(self, state: ClientState) -> None: ...

    def note(self, text: str) -> None: ...

    def finish(self) -> None:
        """Gets out of the way of what is printed on standard output."""


def display_for(*, is_quiet: bool, prints_meanwhile: bool) -> Display:
    """Returns a live bar on a terminal, plain lines elsewhere, nothing when it must be quiet.

    A bar and lines that are printed meanwhile would overwrite each other.
    """
    if is_quiet:
        return Quiet()
    return Live() if sys.stderr.isatty() and not prints_meanwhile else Plain()


def state_text(state: ClientState) -> str:
    """Returns a state in words; empty when all is well."""
    match state.name:
        case "reconnecting":
            why = f" ({state.reason})" if state.reason else ""
            return f"connection lost{why}; next try in {state.retry_in or 0:.1f} s"
        case "draining":
            return "the server restarts; moving over"
        case _:
            return ""


class Quiet:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def event(self, event: Event) -> None:
        pass

    def state(self, state: ClientState) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def finish(self) -> None:
        pass


class Plain(Quiet):
    """One line for each thing that happens, and for each full percent of progress."""

    def __init__(self) -> None:
        self._shown: tuple[int, int | None, str | None] | None = None

    def event(self, event: Event) -> None:
        match event:
            case Status(status=status, attempt=attempt, error=error):
                why = f": {error.code} {error.message}" if error is not None else ""
                self.note(f"{status}{f', attempt {attempt}' if attempt else ''}{why}")
            case ProgressEvent(attempt=attempt, percentage=percentage, message=message):
                percent = None if percentage is None else int(percentage)
                if (attempt, percent, message) != self._shown:
                    self._shown = attempt, percent, message
                    self.note(" ".join(_parts(percent, message)))
            case Chunk():
                pass

    def state(self, state: ClientState) -> None:
        if text := state_text(state):
            self.note(text)

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def _parts(percent: int | None, message: str | None) -> list[str]:
    return [part for part in (None if percent is None else f"{percent} %", message) if part]


class Live:
    """A bar that moves."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            # What handlers and servers say is text and no markup.
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %", markup=False),
            TextColumn("{task.fields[chunks]}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            # Otherwise what is printed for a pipe would land on the terminal.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("connecting", total=None, chunks="")
        self._words = "connecting"
        self._chunks: list[int] = []

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def event(self, event: Event) -> None:
        match event:
            case Status(status="processing", chunks_kept_to=kept):
                self._chunks = [seq for seq in self._chunks if seq <= kept]
                self._show("processing")
            case Status(status=status, error=error):
                self._show(status if error is None else f"{status} after {error.code}")
            case ProgressEvent(percentage=percentage, message=message):
                if percentage is not None:
                    self._progress.update(self._task, total=100, completed=percentage)
                if message:
                    self._show(message)
            case Chunk(seq=seq):
                self._chunks.append(seq)
        if self._chunks:
            self._progress.update(self._task, chunks=f"{len(self._chunks)} chunks")

    def state(self, state: ClientState) -> None:
        self._progress.update(self._task, description=state_text(state) or self._words)

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def finish(self) -> None:
        self._progress.stop()

    def _show(self, words: str) -> None:
        self._words = words
        self._progress.update(self._task, description=words)
