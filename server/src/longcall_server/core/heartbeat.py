# SPDX-License-Identifier: Apache-2.0
"""The server's side of the heartbeat (PROTOCOL 6)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

MAX_MISSED = 2
"""So many pings without any sign of life, and the connection is dead."""


class Beat(Enum):
    """What a heartbeat asks for."""

    PING = auto()
    DEAD = auto()


@dataclass(slots=True)
class Heartbeat:
    """Pings once an interval; any frame from the other side counts as life."""

    interval_ms: int
    next_at: int
    heard: bool = True
    """Whether anything came since the last ping."""
    missed: int = 0
    unanswered: int = 0
    """Pings that no pong has answered."""

    def receive(self) -> None:
        """A frame came."""
        self.heard = True

    def answered(self) -> bool:
        """A pong came; whether it answers a ping."""
        if not self.unanswered:
            return False
        self.unanswered -= 1
        return True

    def handle_timeout(self, now: int) -> Beat | None:
        """Tells what is due at `now`: nothing before `next_at`."""
        if now < self.next_at:
            return None
        self.next_at = now + self.interval_ms
        if self.heard:
            self.missed = 0
        else:
            self.missed += 1
        self.heard = False
        if self.missed >= MAX_MISSED:
            return Beat.DEAD
        self.unanswered += 1
        return Beat.PING
