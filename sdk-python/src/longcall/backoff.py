# SPDX-License-Identifier: Apache-2.0
"""How long to wait before the next connection: full jitter. PROTOCOL 9.4."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Random waits between 0 and a bound that doubles from `initial` to `maximum`, in seconds."""

    def __init__(self, initial: float, maximum: float, random: Callable[[], float]) -> None:
        self._initial = initial
        self._maximum = maximum
        self._random = random
        self._next = initial
        self._before = initial  # the bound before the last start-over

    def wait(self) -> float:
        """Returns how long to wait now, and doubles the bound for the next time."""
        bound = self._next
        self._next = min(self._maximum, bound * 2)
        return self._random() * bound

    def start_over(self) -> None:
        """A connection is ready: the next wait is short again. PROTOCOL 9.4.3."""
        self._before, self._next = self._next, self._initial

    def take_back(self) -> None:
        """That connection broke the protocol: waits grow as if it had not been. PROTOCOL 9.4.4."""
        self._next = self._before
