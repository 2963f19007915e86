# SPDX-License-Identifier: Apache-2.0
"""Signs of life of one connection. PROTOCOL 6.7."""

from __future__ import annotations

from typing import Final

GRACE: Final = 10.0
"""Seconds that a sign of life may be late."""


class Heartbeat:
    """Knows when to ping and when the peer is dead. Times are in seconds."""

    def __init__(self, interval: float, *, pings: bool, now: float) -> None:
        self._interval = interval
        self._heard_at = now
        self._ping_at = now + interval if pings else None

    def heard(self, now: float) -> None:
        """Takes any frame as life."""
        self._heard_at = now

    def is_dead(self, now: float) -> bool:
        return now >= self._dead_at

    def is_ping_due(self, now: float) -> bool:
        """True once an interval, when this side pings. PROTOCOL 6.7.3."""
        if self._ping_at is None or now < self._ping_at:
            return False
        self._ping_at = now + self._interval
        return True

    def next_timeout(self) -> float:
        return self._dead_at if self._ping_at is None else min(self._dead_at, self._ping_at)

    @property
    def _dead_at(self) -> float:
        return self._heard_at + self._interval + GRACE
