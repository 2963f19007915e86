# SPDX-License-Identifier: Apache-2.0
"""What the columns of a source hold, and reading one of a batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from longcall_demo.sources.cells import (
    BadCell,
    is_missing,
    is_number,
    parse_day,
    parse_days,
    parse_numbers,
)
from longcall_demo.sources.reader import Batch, Source, bad_source
from longcall_server import HandlerError

MAX_SHOWN = 60

Value = TypeVar("Value")


class Kind(StrEnum):
    """What a column holds; `empty` where no cell has a value."""

    NUMBER = "number"
    DATE = "date"
    TEXT = "text"
    EMPTY = "empty"


@dataclass
class KindCount:
    """How many cells of a column have a value, and how many of these are numbers or dates."""

    present: int = 0
    numbers: int = 0
    dates: int = 0

    def add(self, texts: Sequence[str], times: int = 1) -> None:
        """Counts some cells, each of them so many times."""
        numbers = _all(parse_numbers, texts)
        if numbers is not None:
            found = sum(number is not None for number in numbers)
            self._add(found * times, numbers=found * times)
        elif _all(parse_days, texts) is not None:
            self._add(len(texts) * times, dates=len(texts) * times)
        else:
            present = [text for text in texts if not is_missing(text)]
            dates = sum(parse_day(text) is not None for text in present)
            self._add(len(present) * times, sum(map(is_number, present)) * times, dates * times)

    def _add(self, present: int, numbers: int = 0, dates: int = 0) -> None:
        self.present += present
        self.numbers += numbers
        self.dates += dates

    @property
    def most(self) -> Kind:
        """What more than half of the values are."""
        if not self.present:
            return Kind.EMPTY
        if 2 * self.numbers > self.present:
            return Kind.NUMBER
        return Kind.DATE if 2 * self.dates > self.present else Kind.TEXT

    @property
    def all(self) -> Kind:
        """What all of the values are."""
        if not self.present:
            return Kind.EMPTY
        if self.numbers == self.present:
            return Kind.NUMBER
        return Kind.DATE if self.dates == self.present else Kind.TEXT


def _all(parse: Callable[[Sequence[str]], list[Value]], texts: Sequence[str]) -> list[Value] | None:
    try:
        return parse(texts)
    except BadCell:
        return None


def is_of(kind: Kind, text: str) -> bool:
    """Whether a cell with a value is of this kind; every text is a text."""
    if kind is Kind.NUMBER:
        return is_number(text)
    return kind is not Kind.DATE or parse_day(text) is not None


def column_index(source: Source, name: str) -> int:
    """Where the column stands; HandlerError UNKNOWN_COLUMN if the source has none of this name."""
    if name in source.header:
        return source.header.index(name)
    raise HandlerError(
        "UNKNOWN_COLUMN",
        f"{source.name!r} has no column {name!r}",
        details={"column": name, "columns": list(source.header)},
    )


def read_column(
    source: Source,
    batch: Batch,
    texts: Sequence[str],
    name: str,
    parse: Callable[[Sequence[str]], list[Value]],
) -> list[Value]:
    """The values of a batch's column; HandlerError BAD_SOURCE says where a cell is not one."""
    try:
        return parse(texts)
    except BadCell as bad:
        found = texts[bad.index][:MAX_SHOWN]
        what = "date" if parse is parse_days else "number"
        line = source.line_of(batch, bad.index)
        raise bad_source(f"{found!r} is not a {what}", line=line, column=name) from bad
