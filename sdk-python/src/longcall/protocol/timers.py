# SPDX-License-Identifier: Apache-2.0
"""Named points in time. Time itself is an argument."""

from __future__ import annotations

from collections.abc import Hashable, Iterator


class Timers:
    """A few timers by name; setting one again moves it."""

    def __init__(self) -> None:
        self._due: dict[Hashable, float] = {}

    def set(self, name: Hashable, when: float) -> None:
        self._due[name] = when

    def cancel(self, name: Hashable) -> None:
        self._due.pop(name, None)

    def __contains__(self, name: Hashable) -> bool:
        return name in self._due

    def due(self, name: Hashable) -> float | None:
        """Returns when a timer is due; None if it is not set."""
        return self._due.get(name)

    def next(self) -> float | None:
        """Returns when the first one is due; None if there is none."""
        return min(self._due.values(), default=None)

    def take_due(self, now: float) -> Iterator[Hashable]:
        """Yields and removes those that are due, the earliest first."""
        for name in sorted(self._due, key=lambda name: self._due[name]):
            # One that fired may have cancelled or moved another.
            if name in self._due and self._due[name] <= now:
                del self._due[name]
                yield name
