# SPDX-License-Identifier: Apache-2.0
"""Spans of days: the week, month, quarter or year that a day lies in."""

import calendar
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Span:
    """Some days: first and last, both included."""

    start: date
    end: date

    def within(self, other: "Span") -> "Span":
        return Span(max(self.start, other.start), min(self.end, other.end))


def week_of(day: date) -> Span:
    """The ISO week, from Monday; the first and the last one of the calendar are cut off by it."""
    low = max(day.toordinal() - day.weekday(), date.min.toordinal())
    high = min(day.toordinal() + 6 - day.weekday(), date.max.toordinal())
    return Span(date.fromordinal(low), date.fromordinal(high))


def month_of(day: date) -> Span:
    """From its first to its last day."""
    return _months(day.year, day.month, 1)


def quarter_of(day: date) -> Span:
    """January to March, April to June, …"""
    return _months(day.year, (day.month - 1) // 3 * 3 + 1, 3)


def year_of(day: date) -> Span:
    """January to December."""
    return _months(day.year, 1, 12)


def _months(year: int, first: int, count: int) -> Span:
    last = first + count - 1
    return Span(date(year, first, 1), date(year, last, calendar.monthrange(year, last)[1]))
