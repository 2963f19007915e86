# SPDX-License-Identifier: Apache-2.0
"""Where one connection stands in one log (PROTOCOL 10.24-10.27, 10.32, 10.35).

A cursor is replaced, never moved back: whoever reads for it asks `is` before each frame, so that
no frame of an old cursor follows the answer that opened the new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from longcall_server.core import frames
from longcall_server.core.progress import ProgressGate


class Event(Protocol):
    """An event of a log, as a store hands it out."""

    @property
    def seq(self) -> int: ...

    @property
    def frame(self) -> str: ...

    @property
    def is_terminal(self) -> bool: ...


class Progress(Protocol):
    """The newest progress, as a store or a bus hands it out."""

    @property
    def attempt(self) -> int: ...

    @property
    def version(self) -> int: ...

    @property
    def body(self) -> str: ...


@dataclass(slots=True)
class Cursor:
    """A position in a log, and what its reader knows."""

    request_id: str
    incarnation: int
    """The store's number of this incarnation of the id: another one is another log."""
    position: int
    """The number of the last event sent."""
    until: int | None
    """Where a read without following ends; None follows to the terminal event."""
    gate: ProgressGate
    ended: bool = False
    """The terminal event was sent, or the read is over: nothing more comes."""

    def __post_init__(self) -> None:
        self.ended = self.until is not None and self.position >= self.until

    @property
    def follows(self) -> bool:
        """Whether it goes on after what is in the log now."""
        return self.until is None and not self.ended

    def offer(self, progress: Progress) -> bool:
        """Takes note of progress; tells whether it is new to a reader who still follows."""
        # PROTOCOL 10.35: none after the terminal event.
        return self.follows and self.gate.offer(progress.attempt, progress.version, progress.body)

    def take_progress(self, now: int) -> str | None:
        """The progress frame that is due, if any."""
        if self.ended:
            return None
        body = self.gate.take(now)
        return None if body is None else frames.progress(self.request_id, body)

    def frames(self, events: Iterable[Event], progress: Progress | None) -> Iterator[str]:
        """Yields the frames to send for what was read, and moves on with each.

        `progress` is the stored one, read with the events: it goes before the terminal event.
        """
        for event in events:
            if self.ended:
                return
            if event.seq <= self.position:
                continue
            if event.is_terminal and self.until is None:
                yield from self._last_progress(progress)
            self.position = event.seq
            self.ended = event.is_terminal or (self.until is not None and event.seq >= self.until)
            yield event.frame
        if progress is not None:
            self.offer(progress)

    def _last_progress(self, progress: Progress | None) -> Iterator[str]:
        # PROTOCOL 10.35: what the finishing transaction stored, if the reader does not have it.
        if progress is not None:
            self.offer(progress)
        while (body := self.gate.flush()) is not None:
            yield frames.progress(self.request_id, body)
