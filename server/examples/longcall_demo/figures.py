# SPDX-License-Identifier: Apache-2.0
"""Exact figures of numbers, whatever the order in which they are added up."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction

from pydantic import BaseModel, Field

from longcall_demo.sources.cells import EXACT


class NumberFigures(BaseModel):
    """A numeric column over some records. The sum is exact and rounded once, to a double; so is
    the mean. Without any value `count` and `sum` are 0, the others null."""

    count: int = Field(description="records that have a value")
    sum: float
    mean: float | None
    min: float | None
    max: float | None


@dataclass
class NumberTotal:
    """Exact figures of a numeric column over some records."""

    count: int = 0
    sum: Decimal = Decimal(0)
    low: Decimal | None = None
    high: Decimal | None = None

    def add(self, values: list[Decimal]) -> None:
        if not values:
            return
        with localcontext(EXACT):
            self._join(len(values), sum(values, Decimal(0)), min(values), max(values))

    def merge(self, other: "NumberTotal") -> None:
        if other.low is None or other.high is None:
            return
        with localcontext(EXACT):
            self._join(other.count, other.sum, other.low, other.high)

    def _join(self, count: int, total: Decimal, low: Decimal, high: Decimal) -> None:
        self.count += count
        self.sum += total
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)

    def figures(self) -> NumberFigures:
        return NumberFigures(
            count=self.count,
            sum=double(self.sum),
            # By fractions: a quotient of decimals would be rounded twice.
            mean=float(Fraction(self.sum) / self.count) if self.count else None,
            min=None if self.low is None else double(self.low),
            max=None if self.high is None else double(self.high),
        )


def double(value: Decimal) -> float:
    """The nearest double; zero has no sign."""
    return float(value) or 0.0  # not -0.0, which depends on the order of equal values


def median(values: Sequence[Decimal]) -> float | None:
    """The middle value, or the mean of the two in the middle; rounded once."""
    if not values:
        return None
    ordered = sorted(values)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return float((Fraction(low) + Fraction(high)) / 2) or 0.0
