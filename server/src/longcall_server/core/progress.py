# SPDX-License-Identifier: Apache-2.0
"""Progress to one reader: coalesced, throttled, never old (PROTOCOL 6, 10.35, 10.36)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ProgressGate:
    """Lets the newest progress through at most once an interval; the first of an attempt at once.

    Progress is ordered by (attempt, version). Bodies are JSON objects of ProgressStates, which this
    gate does not look into.
    """

    interval_ms: int
    sent: tuple[int, int] = (0, 0)
    """The newest that the reader has."""
    next_at: int = 0
    """When the next may go."""
    first: tuple[tuple[int, int], str] | None = None
    """What the reader gets first of an attempt: newer progress does not take its place."""
    newest: tuple[tuple[int, int], str] | None = None
    """What waits behind it."""

    def offer(self, attempt: int, version: int, body: str) -> bool:
        """Keeps it if it is newer than all before; tells whether it was."""
        mark = (attempt, version)
        if mark <= max(
            waiting[0] for waiting in (self.first, self.newest, (self.sent, "")) if waiting
        ):
            return False
        if self.first is not None and self.first[0][0] == attempt:
            self.newest = (mark, body)
        elif self.sent[0] == attempt:
            self.first, self.newest = None, (mark, body)
        else:
            self.first, self.newest = (mark, body), None
        return True

    def next_timeout(self) -> int | None:
        """When the next that waits may go; None if none waits."""
        return None if self.first is None and self.newest is None else self.next_at

    def take(self, now: int) -> str | None:
        """The body to send now, if one waits and its time has come."""
        if now < self.next_at:
            return None
        body = self.flush()
        if body is not None:
            self.next_at = now + self.interval_ms
        return body

    def flush(self) -> str | None:
        """The next body that waits, whatever the time: they go before the end."""
        if self.first is not None:
            (self.sent, body), self.first = self.first, None
            return body
        if self.newest is not None:
            (self.sent, body), self.newest = self.newest, None
            return body
        return None
