# SPDX-License-Identifier: Apache-2.0
"""Progress to one reader: coalesced, throttled, never old (PROTOCOL 6, 10.35, 10.36)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ProgressGate:
    """Lets the newest progress through at most once an interval; the first at once.

    Progress is ordered by (attempt, version). `body` is the JSON object of a ProgressState, which
    this gate does not look into.
    """

    interval_ms: int
    sent: tuple[int, int] = (0, 0)
    """The newest that the reader has."""
    next_at: int = 0
    """When the next may go."""
    waiting: tuple[int, int] | None = None
    body: str = ""

    def offer(self, attempt: int, version: int, body: str) -> bool:
        """Keeps it if it is newer than all before; tells whether it was."""
        mark = (attempt, version)
        if mark <= self.sent or (self.waiting is not None and mark <= self.waiting):
            return False
        self.waiting = mark
        self.body = body
        return True

    def next_timeout(self) -> int | None:
        """When the waiting progress may go; None if none waits."""
        return None if self.waiting is None else self.next_at

    def take(self, now: int) -> str | None:
        """The body to send now, if one waits and its time has come."""
        if self.waiting is None or now < self.next_at:
            return None
        self.next_at = now + self.interval_ms
        return self.flush()

    def flush(self) -> str | None:
        """The body that waits, whatever the time: the last one goes before the end."""
        if self.waiting is None:
            return None
        self.sent, self.waiting = self.waiting, None
        body, self.body = self.body, ""
        return body
