# SPDX-License-Identifier: Apache-2.0
"""A token bucket whose clock is an argument (PROTOCOL 6, 10.45)."""

from __future__ import annotations

from dataclasses import dataclass

_MESSAGE = 60_000
"""What a message costs, in units that fill by `per_minute` each millisecond: all is integers."""


@dataclass(slots=True)
class TokenBucket:
    """Lets `burst` messages through at once and `per_minute` on average. Times in milliseconds."""

    per_minute: int
    burst: int
    updated_at: int
    level: int | None = None
    """How much is in it; below 0: a debt. A new bucket is full."""

    def take(self, now: int) -> bool:
        """Takes a message's worth if there is as much."""
        level = self._fill(now)
        if level < _MESSAGE:
            return False
        self.level = level - _MESSAGE
        return True

    def charge(self, now: int, messages: int = 1) -> None:
        """Takes so many messages' worth in any case: what is not there becomes a debt."""
        self.level = self._fill(now) - messages * _MESSAGE

    def wait_ms(self, now: int) -> int:
        """How long until a message can be taken; 0 if one can."""
        return self._until(_MESSAGE, now)

    def debt_ms(self, now: int) -> int:
        """How long until the debt is paid; 0 without one."""
        return self._until(0, now)

    def is_full(self, now: int) -> bool:
        """Whether it is as good as a new one."""
        return self._fill(now) == self.burst * _MESSAGE

    def _until(self, wanted: int, now: int) -> int:
        return max(0, -(-(wanted - self._fill(now)) // self.per_minute))

    def _fill(self, now: int) -> int:
        full = self.burst * _MESSAGE
        level = full if self.level is None else self.level
        if now > self.updated_at:
            level = min(full, level + (now - self.updated_at) * self.per_minute)
        # A clock that was set back costs nothing but the time that it went back.
        self.updated_at = now
        self.level = level
        return level
