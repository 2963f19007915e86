# SPDX-License-Identifier: Apache-2.0
"""One connection: what was sent on it and is not answered, and its place in each log."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeVar

from ..events import RequestSummary, Snapshot
from ..messages import Limits
from .heartbeat import Heartbeat
from .limits import TokenBucket
from .questions import Question
from .request import CancelQuestion, TrackedRequest

Item = TypeVar("Item")


class LinkPhase(Enum):
    """How far a connection has come."""

    OPENING = auto()
    GREETING = auto()
    """`hello` is sent, `welcome` is awaited."""
    READY = auto()
    DRAINING = auto()
    """The server said `goaway`: answers and events still come."""
    CLOSING = auto()
    """Closed from here; the front end has not yet said that it is."""


class Cursor:
    """The place of a connection in one log. PROTOCOL 10.25."""

    __slots__ = ("gaps", "is_broken", "position")

    def __init__(self, position: int, gaps: int = 0) -> None:
        self.position = position
        self.gaps = gaps  # attaches because of a gap, since it last advanced
        self.is_broken = False  # a gap was seen; the log is read again


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list, and where the next one begins."""

    requests: tuple[RequestSummary, ...]
    next_cursor: str | None


class ListQuestion(Question[Page]):
    """A page of a list that is asked for."""

    def __init__(self, question_id: str, text: str) -> None:
        super().__init__()
        self.id = question_id
        self.text = text


class Link:
    """One socket, from the wish to open it until it is really closed."""

    def __init__(self, link_id: int) -> None:
        self.id = link_id
        self.phase = LinkPhase.OPENING
        self.is_ready_once = False
        self.is_ours = False  # closed from here: the close-code table is not asked
        self.closed_with = (0, "")
        # After welcome.
        self.limits: Limits | None = None
        self.bucket: TokenBucket | None = None
        self.heartbeat: Heartbeat | None = None
        # What awaits an answer here, in the order of sending.
        self.unanswered: dict[str, TrackedRequest] = {}
        self.attaches: dict[str, deque[list[Question[Snapshot]]]] = {}
        self.cancels: dict[str, deque[CancelQuestion]] = {}
        self.lists: dict[str, ListQuestion] = {}
        # Where it stands in the logs.
        self.cursors: dict[str, Cursor] = {}
        # What a close with 1009 is about. PROTOCOL 10.43.
        self.last_sent: TrackedRequest | ListQuestion | CancelQuestion | None = None

    @property
    def is_quiet(self) -> bool:
        """True when nothing is unanswered here."""
        return not (self.unanswered or self.attaches or self.cancels or self.lists)

    def take_attach(self, request_id: str) -> list[Question[Snapshot]] | None:
        """Returns who asked by the oldest unanswered `attach` of this id; None: there is none."""
        return _take(self.attaches, request_id)

    def take_cancel(self, request_id: str) -> CancelQuestion | None:
        """Returns the oldest unanswered `cancel` of this id; None: there is none."""
        return _take(self.cancels, request_id)


def _take(waiting: dict[str, deque[Item]], request_id: str) -> Item | None:
    queue = waiting.get(request_id)
    if queue is None:
        return None
    item = queue.popleft()
    if not queue:
        del waiting[request_id]
    return item
