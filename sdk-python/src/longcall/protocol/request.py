# SPDX-License-Identifier: Apache-2.0
"""What a client knows of one request, over all its connections and local handles."""

from __future__ import annotations

from enum import Enum, auto

from ..events import Progress, Snapshot
from .outcome import Ending, Outcome
from .questions import Question
from .reader import EventReader
from .signals import Signal


class Phase(Enum):
    """How far a request has come, seen from here."""

    WAITING = auto()
    """Never sent: offline, or held back by a limit."""
    SENT = auto()
    """Sent, and not settled."""
    STORED = auto()
    """On the server, in its log."""
    ENDED = auto()
    """It has its outcome."""


class CancelQuestion(Question[None]):
    """A `cancel` that is to be sent, or awaits its answer."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def end(self, outcome: Outcome) -> None:
        """The request has ended: to cancel it does nothing, unless it is not there at all."""
        if outcome.gone is None:
            self.resolve()
        else:
            self.fail(outcome.gone._with())


class TrackedRequest:
    """One id: all local handles, iterators and waiters of it share this.

    Attributes:
        id: The id.
        number: Counts submissions, which are sent again in this order. PROTOCOL 9.5.1.
        text: The `request` as it is sent first; empty once it is settled, or never was ours.
        size: Its size in bytes.
        digest: Stands for action and payload, where the caller chose the id; else None.
        phase: How far it has come.
        sends: How often the `request` was sent.
        first_sent_at: When it was sent first. PROTOCOL 10.31.
        created_at: The incarnation, once it is known. PROTOCOL 10.32.
        last: The number of the newest event that arrived, whoever took it.
        known_last: The newest number that is known to exist.
        attempt: The newest attempt seen.
        progress: The newest progress seen.
        outcome: How it ended.
        changed: Fires when it is settled and when it ends.
        handles: How many local handles are not detached.
        waiters: How many wait for the outcome.
        refusals: Retryable refusals in a row, for the wait before the next try.
        poll: True when only its status is asked for, see `Sender`.
    """

    def __init__(
        self,
        request_id: str,
        *,
        phase: Phase,
        number: int = 0,
        text: str = "",
        digest: bytes | None = None,
    ) -> None:
        self.id = request_id
        self.number = number
        self.text = text
        self.size = byte_length(text)
        self.digest = digest
        self.phase = phase
        self.sends = 0
        self.first_sent_at = 0.0
        self.created_at: str | None = None
        self.last = 0
        self.known_last = 0
        self.attempt = 0
        self.progress: Progress | None = None
        self.outcome: Outcome | None = None
        self.changed = Signal()
        self.handles = 0
        self.waiters = 0
        self.refusals = 0
        self.poll = False
        self.readers: list[EventReader] = []
        self.cancels: list[CancelQuestion] = []  # to be sent
        self.snapshots: list[Question[Snapshot]] = []  # to be asked
        self.questions: list[Question[None] | Question[Snapshot]] = []  # all that are open

    @property
    def is_settled(self) -> bool:
        """True when it is known whether the server has it. PROTOCOL 1.2."""
        return self.phase in (Phase.STORED, Phase.ENDED)

    @property
    def is_stored(self) -> bool:
        """True when there is a log to read."""
        return self.phase is Phase.STORED or (
            self.outcome is not None and self.outcome.ending is Ending.EVENT
        )

    @property
    def is_busy(self) -> bool:
        """True while an iterator reads it or a question about it is open."""
        self.questions = [question for question in self.questions if not question.is_answered]
        reading = any(not (reader.passive or reader.is_over) for reader in self.readers)
        return reading or bool(self.questions)

    @property
    def is_idle(self) -> bool:
        """True when no handle, waiter or iterator is left for it, and no open question."""
        return not (self.handles or self.waiters or self.is_busy)

    def wanted(self) -> int | None:
        """Returns the number after which the log is to be read on; None: it is not to be read.

        That is the lowest position of an iterator that takes events. Without one, a `result()`
        that waits, or a handle that nobody iterates, only needs the end. When there are iterators
        and all are stalled, reading pauses.
        """
        reading = [reader for reader in self.readers if not (reader.passive or reader.is_over)]
        hungry = [reader.position for reader in reading if reader.is_hungry]
        if hungry:
            return min(hungry)
        if self.outcome is None and (self.waiters or (self.handles and not reading)):
            return self.last
        return None

    def take_progress(self, progress: Progress) -> None:
        """Takes progress if it is newer than the newest. PROTOCOL 10.36."""
        known = self.progress
        if known is not None and (progress.attempt, progress.version) <= (
            known.attempt,
            known.version,
        ):
            return
        self.progress = progress
        self.attempt = max(self.attempt, progress.attempt)
        for reader in self.readers:
            reader.offer_progress(progress)
        self.release_progress()

    def release_progress(self) -> None:
        """Lets out progress that waited in the readers for its attempt to begin there."""
        for reader in self.readers:
            reader.release(self.known_last)


def byte_length(text: str) -> int:
    """Returns the size of a text in bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode())
