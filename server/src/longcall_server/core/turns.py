# SPDX-License-Identifier: Apache-2.0
"""A queue in which those who share something take turns, however much each has put into it.

Without turns whoever comes first with a thousand things has everybody wait behind all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

KEPT_PART = 8
"""Of so many places to run one is kept for those of whom nothing runs: see `kept_of`."""


def kept_of(places: int) -> int:
    """How many places, the last ones, go to those of whom nothing runs (PROTOCOL 5.4.14).

    So nobody fills all of them with what runs long. Fewer than `KEPT_PART` places have none.
    """
    return places // KEPT_PART


class TurnQueue(Generic[T]):
    """What one has put in stays in order; of different ones each gives one in turn.

    Whoever comes new waits for at most one of each other. Not safe for threads by itself.
    """

    __slots__ = ("_lines", "_order", "_size")

    def __init__(self) -> None:
        self._lines: dict[Hashable, deque[T]] = {}
        self._order: deque[Hashable] = deque()
        """Whose turn it is, each once; those and no others have something in the queue."""
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, who: Hashable, item: T) -> None:
        """Adds something of somebody, behind all else of the same."""
        line = self._lines.get(who)
        if line is None:
            line = self._lines[who] = deque()
            self._order.append(who)
        line.append(item)
        self._size += 1

    def take(self, may: Callable[[Hashable], bool] | None = None) -> tuple[Hashable, T] | None:
        """Takes the next, of whom `may` allows; None if there is nothing of such."""
        order = self._order
        for turn in range(len(order)):
            who = order[turn]
            if may is None or may(who):
                del order[turn]
                line = self._lines[who]
                item = line.popleft()
                if line:
                    order.append(who)
                else:
                    del self._lines[who]
                self._size -= 1
                return who, item
        return None

    def withdraw(self, who: Hashable, item: T) -> bool:
        """Takes one thing back; whether it was still there."""
        line = self._lines.get(who)
        if line is None or item not in line:
            return False
        line.remove(item)
        if not line:
            del self._lines[who]
            self._order.remove(who)
        self._size -= 1
        return True

    def clear(self) -> None:
        """Forgets everything."""
        self._lines.clear()
        self._order.clear()
        self._size = 0
