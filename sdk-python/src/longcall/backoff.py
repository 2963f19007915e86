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
        self._used = 0.0  # the bound of the last wait
        self._next = initial

    def wait(self) -> float:
        """Returns how long to wait now, and doubles the bound for the next time."""
        self._used = self._next
        self._next = min(self._maximum, self._next * 2)
        return self._random() * self._used

    def was_ready(self, seconds: float) -> None:
        """Takes note of how long a connection that is now lost had been ready.

        Only one that lasted for as long as the last bound starts over, so that a server that
        welcomes and closes at once is met with growing waits. PROTOCOL 9.4.3.
        """
        if seconds >= self._used:
            self._next = self._initial
