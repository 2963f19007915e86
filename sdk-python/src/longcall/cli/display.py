# SPDX-License-Identifier: Apache-2.0
"""What a person sees on standard error while requests run: lines, or nothing at all."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

from ..events import Chunk, ClientState, Event, Progress, Status
from .exits import Exit
from .jobs import Job
from .words import clean, state_text


class Display(Protocol):
    """Shows what happens; nothing of it is needed by a program."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def begin(self, jobs: list[Job]) -> None:
        """These requests are what is shown."""

    def start(self, job: Job) -> None:
        """It is being sent, or asked for."""

    def event(self, job: Job, event: Event) -> None: ...

    def end(self, job: Job, exit: Exit, words: str = "") -> None:
        """It has ended, or is left; the words say it better than the outcome."""

    def state(self, state: ClientState) -> None: ...

    def note(self, text: str) -> None:
        """Something that is said even when progress is not shown."""

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Gets out of the way of what is printed on standard output."""
        yield


class Quiet:
    """Shows no progress."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def begin(self, jobs: list[Job]) -> None:
        pass

    def start(self, job: Job) -> None:
        pass

    def event(self, job: Job, event: Event) -> None:
        pass

    def end(self, job: Job, exit: Exit, words: str = "") -> None:
        pass

    def state(self, state: ClientState) -> None:
        pass

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    @contextmanager
    def aside(self) -> Iterator[None]:
        yield


class Plain(Quiet):
    """One line for each thing that happens, and for each full percent of progress."""

    def __init__(self) -> None:
        self._shown: dict[Job, tuple[int, int | None, str | None]] = {}
        self._has_many = False

    def begin(self, jobs: list[Job]) -> None:
        self._has_many = len(jobs) > 1

    def start(self, job: Job) -> None:
        if job.label != job.id:
            self._line(job, f"request {job.id}")

    def event(self, job: Job, event: Event) -> None:
        match event:
            case Status(status=status, attempt=attempt, error=error):
                why = f": {error.code} {clean(error.message)}" if error is not None else ""
                self._line(job, f"{clean(status)}{f', attempt {attempt}' if attempt else ''}{why}")
            case Progress(attempt=attempt, percentage=percentage, message=message):
                percent = None if percentage is None else int(percentage)
                if (attempt, percent, message) != self._shown.get(job):
                    self._shown[job] = attempt, percent, message
                    share = None if percent is None else f"{percent} %"
                    self._line(job, " ".join(filter(None, (share, clean(message or "")))))
            case Chunk():
                pass

    def end(self, job: Job, exit: Exit, words: str = "") -> None:
        self._shown.pop(job, None)
        if self._has_many and exit is Exit.COMPLETED:  # why others ended is a note
            self._line(job, exit.outcome)

    def state(self, state: ClientState) -> None:
        if text := state_text(state):
            self.note(text)

    def _line(self, job: Job, text: str) -> None:
        self.note(f"{clean(job.label)}: {text}" if self._has_many else text)
