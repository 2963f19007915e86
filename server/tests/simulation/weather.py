# SPDX-License-Identifier: Apache-2.0
"""Which faults a schedule has, and how often: drawn from its seed, and over when the storm is.

Each schedule has some kinds of faults and not others, so that no kind hides behind another one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class StoreFault(StrEnum):
    """What can happen to one call of a store; the value is the name by which it is counted."""

    CRASH_BEFORE = "node crashes before a write"
    CRASH_AFTER = "node crashes after a write"
    STALL_BEFORE = "node stalls before a write"
    STALL_AFTER = "node stalls after a write"
    LOST = "outcome unknown, not committed"
    KEPT = "outcome unknown, committed"


WRITES = frozenset(
    {"submit", "claim", "renew", "append", "complete", "fail", "request_cancel", "sweep"}
)
_CRASHES_A_SCHEDULE = 3


@dataclass
class Weather:
    """The faults of one schedule."""

    dice: random.Random
    count: Callable[[str], None]
    calm: bool = False
    store_rates: dict[StoreFault, float] = field(default_factory=dict)
    outages: list[tuple[float, float]] = field(default_factory=list)
    """When the store cannot be reached, in seconds."""
    bus_drop: float = 0.0
    bus_duplicate: float = 0.0
    bus_delay: float = 0.0
    bus_refuse: float = 0.0
    slow_store: float = 0.0
    crashes_left: int = _CRASHES_A_SCHEDULE

    @classmethod
    def draw(cls, dice: random.Random, count: Callable[[str], None], storm_s: float) -> Weather:
        """The weather of a schedule."""
        weather = cls(dice, count)

        def some(often: float, rate: float) -> float:
            return dice.uniform(0, rate) if dice.random() < often else 0.0

        weather.store_rates = {
            StoreFault.CRASH_BEFORE: some(0.35, 0.02),
            StoreFault.CRASH_AFTER: some(0.35, 0.02),
            StoreFault.STALL_BEFORE: some(0.4, 0.03),
            StoreFault.STALL_AFTER: some(0.4, 0.03),
            StoreFault.LOST: some(0.4, 0.1),
            StoreFault.KEPT: some(0.4, 0.1),
        }
        for _ in range(dice.choice((0, 0, 1, 2))):
            begin = dice.uniform(0, storm_s)
            weather.outages.append((begin, begin + dice.choice((0.3, 2.0, 6.0))))
        weather.bus_drop = some(0.5, 0.6)
        weather.bus_duplicate = some(0.4, 0.4)
        weather.bus_delay = some(0.6, 1.5)
        weather.bus_refuse = some(0.3, 0.5)
        weather.slow_store = some(0.7, 0.5)
        return weather

    def clear(self) -> None:
        """The storm is over."""
        self.calm = True
        self.outages.clear()

    def is_out(self, now: float) -> bool:
        """Whether the store cannot be reached now."""
        return any(begin <= now < end for begin, end in self.outages)

    def strikes(self, verb: str) -> StoreFault | None:
        """What happens to this call of the store."""
        if self.calm or verb not in WRITES:
            return None
        throw = self.dice.random()
        for fault, rate in self.store_rates.items():
            throw -= rate if verb not in ("claim", "renew", "sweep") else rate / 4
            if throw < 0:
                if fault in (StoreFault.CRASH_BEFORE, StoreFault.CRASH_AFTER):
                    if not self.crashes_left:
                        return None
                    self.crashes_left -= 1
                self.count(fault.value)
                return fault
        return None

    def store_delay(self) -> float | None:
        """How long a call takes on its way, in seconds; None: no time at all."""
        throw = self.dice.random()
        if self.calm or throw >= self.slow_store:
            return None
        return 0.0 if throw < self.slow_store / 2 else self.dice.uniform(0, 0.08)


def report(counts: Counter[str]) -> str:
    """How often what happened, one line each."""
    return "\n".join(f"  {number:>9}  {what}" for what, number in sorted(counts.items()))
