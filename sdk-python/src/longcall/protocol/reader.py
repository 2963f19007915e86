# SPDX-License-Identifier: Apache-2.0
"""One iterator's place in the log of a request, and the events that wait there for it.

The log stands on the server, so little is kept here: a reader that holds as much as it may is
*stalled* and takes no more, until the application has taken half of it. What it misses meanwhile is
read again, after its position. So a slow application costs bounded memory, and holds up nobody
else. PROTOCOL 6.4.4, 9.2.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ..errors import LongcallError
from ..events import Event, Progress, Status
from ..options import ReaderLimits
from .outcome import Ending, Outcome
from .signals import Signal


@dataclass(slots=True)
class _Waiting:
    event: Event
    size: int


def progress_key(progress: Progress) -> tuple[int, int]:
    """Returns what orders progress. PROTOCOL 10.36."""
    return progress.attempt, progress.version


class EventReader:
    """Events from number 1 on, each once and in order, as far as they have arrived.

    Attributes:
        position: The number of the last event taken in.
        passive: True for the one that is kept for the first iterator, before there is one.
        error: What ended it before the terminal event; None otherwise.
        changed: Fires when there is something new to take.
    """

    def __init__(self, limits: ReaderLimits, *, passive: bool = False) -> None:
        self.position = 0
        self.passive = passive
        self.error: LongcallError | None = None
        self.changed = Signal()
        self._limits = limits
        self._attempt = 0
        self._finished = False
        self._stalled = False
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._progress: _Waiting | None = None  # the one in the queue, if any
        self._held: Progress | None = None  # waits for the beginning of its attempt
        self._newest = (0, 0)

    @property
    def is_hungry(self) -> bool:
        """True while it takes what comes next."""
        return not (self._stalled or self.is_over)

    @property
    def is_over(self) -> bool:
        """True when nothing more comes in; something may still wait in it."""
        return self._finished or self.error is not None

    @property
    def waiting(self) -> int:
        """How many events wait to be taken."""
        return len(self._queue)

    @property
    def has_news(self) -> bool:
        """True when `pop` gives an event, or there will never be one again."""
        return bool(self._queue) or self.is_over

    @property
    def is_progress_next(self) -> bool:
        """True when `pop` would give progress."""
        return bool(self._queue) and self._queue[0] is self._progress

    @property
    def is_stalled(self) -> bool:
        return self._stalled

    def activate(self, limits: ReaderLimits) -> None:
        """Hands the passive reader to the first iterator."""
        self.passive = False
        self._limits = limits

    def offer(self, seq: int, event: Event | None, size: int) -> None:
        """Takes the next event; None for a message of unknown type. Others are left."""
        if not self.is_hungry or seq != self.position + 1:
            return
        self.position = seq
        if isinstance(event, Status) and event.status == "processing":
            self._attempt = event.attempt
        if event is not None:
            self._push(_Waiting(event, size))

    def offer_progress(self, progress: Progress) -> None:
        """Takes progress that is newer than the newest; it waits for `release`."""
        if not self.is_over and progress_key(progress) > self._newest:
            self._newest = progress_key(progress)
            self._held = progress

    def release(self, last_seq: int) -> None:
        """Lets held progress out: its attempt has begun here, or nothing numbered comes before."""
        held = self._held
        if held is None or (held.attempt > self._attempt and self.position < last_seq):
            return
        self._held = None
        waiting = self._progress
        if (
            waiting is not None
            and isinstance(waiting.event, Progress)
            and waiting.event.attempt == held.attempt
        ):
            waiting.event = held  # newest wins, in the place of the older
            self.changed.fire()
            return
        self._progress = _Waiting(held, 0)
        self._push(self._progress)

    def finish(self, seq: int) -> None:
        """Takes the terminal event, if it is the next; the last progress comes before it."""
        if self.is_hungry and seq == self.position + 1:
            self.release(0)
            self.position = seq
            self._end()

    def end(self, outcome: Outcome) -> None:
        """Ends it without a terminal event: there was none, or it cannot be had."""
        if outcome.ending is Ending.LOSS and outcome.error is not None:
            self.fail(outcome.error)
        else:
            self._end()

    def fail(self, error: LongcallError) -> None:
        """Ends it with an error, behind what already waits."""
        if not self.is_over:
            self.error = error
            self.changed.fire()

    def pop(self) -> Event | None:
        """Returns the next event, or None if none waits."""
        if not self._queue:
            return None
        waiting = self._queue.popleft()
        self._bytes -= waiting.size
        if waiting is self._progress:
            self._progress = None
        half_empty = (
            len(self._queue) <= self._limits.max_events // 2
            and self._bytes <= self._limits.max_bytes // 2
        )
        if self._stalled and half_empty:
            self._stalled = False
        return waiting.event

    def clear(self) -> None:
        """Forgets what waits; for a reader that nobody will read."""
        self._queue.clear()
        self._bytes = 0

    def _push(self, waiting: _Waiting) -> None:
        self._queue.append(waiting)
        self._bytes += waiting.size
        limits = self._limits
        if len(self._queue) >= limits.max_events or self._bytes >= limits.max_bytes:
            self._stalled = True
        self.changed.fire()

    def _end(self) -> None:
        if not self.is_over:
            self._finished = True
            self.changed.fire()
