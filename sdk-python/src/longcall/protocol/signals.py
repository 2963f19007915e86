# SPDX-License-Identifier: Apache-2.0
"""How a pure object tells a front end that something about it has changed."""

from __future__ import annotations

from collections.abc import Callable


class Signal:
    """Calls its subscribers at each change; they must only wake somebody, and never raise."""

    __slots__ = ("_subscribers",)

    def __init__(self) -> None:
        self._subscribers: list[Callable[[], None]] = []

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Calls `wake` at each change from now on; returns what ends that."""
        self._subscribers.append(wake)
        return lambda: self._subscribers.remove(wake)

    def fire(self) -> None:
        for wake in tuple(self._subscribers):
            wake()
