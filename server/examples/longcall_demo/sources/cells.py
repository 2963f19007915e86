# SPDX-License-Identifier: Apache-2.0
"""What the text in a CSV's cell means: a day, a number, nothing."""

import re
from collections.abc import Sequence
from datetime import date
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from functools import lru_cache

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
MAX_NUMBER_LENGTH = 40

EXACT = Context(prec=500, traps=[Inexact, InvalidOperation, Overflow])
"""Sums of what `_NUMBER` admits (up to 40 characters, two digits of exponent) fit in 300 digits,
so nothing is ever rounded: a sum is the same in whatever order and however often interrupted."""

_TIME = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?(?:Z|[+-]\d{2}(?::?\d{2})?))?"
_DAY = re.compile(rf"(\d{{4}})([-/])(\d{{1,2}})\2(\d{{1,2}})([T ]{_TIME})?", re.ASCII)
_USUAL_DAYS = re.compile(
    rf"(?:(?:\d{{4}}-\d\d-\d\d|\d{{4}}/\d\d/\d\d)(?:[T ]{_TIME})?\n)*+", re.ASCII
)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)
_PLAIN_COLUMN = re.compile(r"[0-9.,+-]*")


class BadCell(ValueError):
    """The cell at `index` of the column that was read is not what the column holds."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


@lru_cache(maxsize=65_536)
def parse_day(text: str) -> date | None:
    """The day of `2012-01-31`, `2012/1/31`, either with a time of day after a `T` or a space;
    None for anything else. A time zone is not applied: it is the day as it was written."""
    match = _DAY.fullmatch(text.strip())
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[3]), int(match[4]))
    except ValueError:
        return None


def iso_day(text: str) -> str:
    """`2012/1/31 12:30` as `2012-01-31T12:30`; the text of a day that `parse_day` takes."""
    text = text.strip()
    match, day = _DAY.fullmatch(text), parse_day(text)
    if match is None or day is None:
        raise ValueError(f"{text!r} is not a day")
    return f"{day}T{match[5][1:]}" if match[5] else str(day)


def parse_days(column: Sequence[str]) -> list[date]:
    """Raises BadCell at the first that is not a day; a record without one has no place."""
    # Nearly always all of them are of one kind, and many of one day: one look at the joined text,
    # then each different day is made once. Anything unusual goes through the cells singly.
    joined = "\n".join((*column, ""))
    if joined.count("\n") == len(column) and _USUAL_DAYS.fullmatch(joined):
        starts = [text[:10] for text in column]
        known = {start: parse_day(start) for start in set(starts)}
        if None not in known.values():
            return [day for start in starts if (day := known[start]) is not None]
    return [_day(index, text) for index, text in enumerate(column)]


def _day(index: int, text: str) -> date:
    day = parse_day(text)
    if day is None:
        raise BadCell(index)
    return day


def is_missing(text: str) -> bool:
    """Whether the cell says that there is no value: it is empty, or NA, NaN, null, none."""
    return text.strip().lower() in MISSING


def is_number(text: str) -> bool:
    """Whether the cell is a decimal number of up to 40 characters, such as -12.5 or 3e-7."""
    text = text.strip()
    return len(text) <= MAX_NUMBER_LENGTH and _NUMBER.fullmatch(text) is not None


def parse_numbers(column: Sequence[str]) -> list[Decimal | None]:
    """The values of a numeric column, None where one is missing; BadCell at the first other."""
    # Almost every column is plain numbers throughout; one look at the joined text says so, and
    # Decimal then refuses what is malformed. Anything unusual goes through the cells singly.
    if max(map(len, column), default=0) <= MAX_NUMBER_LENGTH and _PLAIN_COLUMN.fullmatch(
        ",".join(column)
    ):
        try:
            return list(map(Decimal, column))
        except InvalidOperation:
            pass
    return [_number(index, text) for index, text in enumerate(column)]


def _number(index: int, text: str) -> Decimal | None:
    if is_number(text):
        return Decimal(text.strip())
    if is_missing(text):
        return None
    raise BadCell(index)
