# SPDX-License-Identifier: Apache-2.0
"""Keeping to the server's limits by ourselves. PROTOCOL 6.6, 9.6."""

from __future__ import annotations


class TokenBucket:
    """Says when a message may be sent: a burst, then so many a minute.

    It holds only half of the burst that the server allows: messages that the network held up arrive
    together, and then count at once.
    """

    def __init__(self, burst: int, per_minute: int, now: float) -> None:
        self._capacity = (burst + 1) // 2
        self._rate = per_minute / 60
        self._tokens = float(self._capacity)
        self._filled_at = now

    def take(self, now: float) -> bool:
        """Takes a token if there is one."""
        self._fill(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def give_back(self) -> None:
        """Returns a token that was taken for nothing."""
        self._tokens += 1

    def force(self, now: float) -> None:
        """Takes a token that must be taken; what is owed is waited for later."""
        self._fill(now)
        self._tokens -= 1

    def ready_at(self, now: float) -> float:
        """Returns when the next token is there."""
        self._fill(now)
        # Never a hair too early: a timer that fires just before would fire for ever.
        return now + max(0.0, 1 - self._tokens) / self._rate + 0.001

    def _fill(self, now: float) -> None:
        gained = max(0.0, now - self._filled_at) * self._rate
        self._tokens = min(float(self._capacity), self._tokens + gained)
        self._filled_at = now
