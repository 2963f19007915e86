# SPDX-License-Identifier: Apache-2.0
"""The first look at a source, over the whole of it: what its columns hold, which days it has,
whether it is in order, and that every cell can be read. So a bad source fails before the first
row is emitted, and the plan of rows and pages is known before the work begins."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from itertools import chain
from typing import TypeVar

from longcall_demo.report.params import ReportParams
from longcall_demo.sources.cells import (
    is_missing,
    is_number,
    parse_day,
    parse_days,
    parse_numbers,
)
from longcall_demo.sources.columns import read_column
from longcall_demo.sources.reader import Batch, Position, Source, bad_source
from longcall_server import HandlerError

DATE_NAMES = ("date", "day", "datetime", "timestamp", "time")
MAX_DAYS = 100_000
MAX_CATEGORIES = 20
MAX_CATEGORY_LENGTH = 60

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the source, by its place and name."""

    index: int
    name: str
    decimals: int = 0
    """Of a numeric column: the most that a number of the first batch is written with."""


@dataclass(frozen=True)
class Columns:
    """What the columns hold, by the first batch: the date, numbers, everything else."""

    date: Column
    numbers: list[Column]
    others: list[Column]


@dataclass
class NumberRange:
    """The lowest and highest value of a numeric column in the whole report."""

    low: Decimal | None = None
    high: Decimal | None = None

    def add(self, values: Sequence[Decimal | None]) -> None:
        present = [value for value in values if value is not None]
        if present:
            low, high = min(present), max(present)
            self.low = low if self.low is None else min(self.low, low)
            self.high = high if self.high is None else max(self.high, high)


@dataclass
class Survey:
    """What is known of a source and of its records in the range that was asked for."""

    sha256: str
    columns: Columns
    records: int = 0
    days: list[date] = field(default_factory=list)
    """Each day with a record, once, in order."""
    in_order: bool = True
    """Whether each record's day is the one before's or a later one."""
    start: Position | None = None
    """Before the first of the records, at a batch's edge."""
    end: Position | None = None
    ranges: dict[str, NumberRange] = field(default_factory=dict)
    categories: dict[Column, list[str]] = field(default_factory=dict)
    """The columns of text that have few different values, and these in alphabetical order."""
    ignored: list[str] = field(default_factory=list)


def survey_source(source: Source, params: ReportParams, tick: Callable[[int], None]) -> Survey:
    """Reads all of `source`; `tick(offset)` is called after each piece, and may raise to stop.

    Raises HandlerError BAD_SOURCE, and NO_RECORDS if none lies in the range.
    """
    sha256 = source.sha256(lambda: tick(0))
    batches = source.batches()
    head = next(batches, None)
    if head is None:
        raise bad_source("there are no records below the header", line=1)
    columns = find_columns(source.header, head)
    survey = Survey(sha256, columns)
    survey.ranges = {column.name: NumberRange() for column in columns.numbers}
    days: set[date] = set()
    values: dict[Column, set[str]] = {column: set() for column in columns.others}
    last = date.min
    for batch in chain([head], batches):
        kept = read_columns(source, columns, batch, params)
        _note_values(values, kept)
        for column in columns.numbers:
            survey.ranges[column.name].add(kept.numbers[column])
        if kept.days:
            survey.records += len(kept.days)
            days.update(kept.days)
            survey.in_order = survey.in_order and kept.days[0] >= last and _in_order(kept.days)
            last = kept.days[-1]
            survey.start = survey.start or batch.start
            survey.end = batch.end
        if len(days) > MAX_DAYS:
            raise bad_source(f"over {MAX_DAYS} different days", line=batch.end.line)
        tick(batch.end.offset)
    if not days:
        raise HandlerError("NO_RECORDS", f"{source.name!r} has no record in the range of dates")
    survey.days = sorted(days)
    survey.categories = {column: sorted(found) for column, found in values.items() if found}
    counted = {column.index for column in (columns.date, *columns.numbers, *survey.categories)}
    survey.ignored = [name for index, name in enumerate(source.header) if index not in counted]
    return survey


def find_columns(header: list[str], sample: Batch) -> Columns:
    """By the first batch of records. The date is the column with a name such as `date`, or else
    the first that holds dates; numbers are the columns that hold more numbers than other text,
    so that a slip of the pen among them is an error and does not turn the column into text."""
    every = [Column(index, name) for index, name in enumerate(header)]
    texts = {column: [record[column.index] for record in sample.records] for column in every}
    named = [column for name in DATE_NAMES for column in every if column.name.lower() == name]
    dated = [
        column for column in every if _mostly(texts[column], lambda t: parse_day(t) is not None)
    ]
    if not named and not dated:
        raise bad_source("no column holds dates such as 2012-01-31 or 2012/01/31", line=1)
    # A column with the right name and no dates in it (a `time` of day) gives way to one that has.
    when = next((column for column in named if column in dated), (dated or named)[0])
    rest = [column for column in every if column != when]
    numeric = [column for column in rest if _mostly(texts[column], is_number)]
    others = [column for column in rest if column not in numeric and column not in dated]
    numbers = [replace(column, decimals=_decimals(texts[column])) for column in numeric]
    return Columns(when, numbers, others)


def _mostly(texts: list[str], test: Callable[[str], bool]) -> bool:
    present = [text for text in texts if not is_missing(text)]
    return 2 * sum(map(test, present)) > len(present)


def _decimals(texts: list[str]) -> int:
    exponents = [Decimal(text).as_tuple().exponent for text in texts if is_number(text)]
    return max((-power for power in exponents if isinstance(power, int) and power < 0), default=0)


@dataclass(frozen=True)
class Kept:
    """The records of a batch that lie in the range, column by column."""

    days: Sequence[date]
    numbers: dict[Column, Sequence[Decimal | None]]
    others: dict[Column, Sequence[str]]


def read_columns(source: Source, columns: Columns, batch: Batch, params: ReportParams) -> Kept:
    """Reads every record's cells, also those out of range; HandlerError BAD_SOURCE says where."""
    by_column = list(zip(*batch.records, strict=True))

    def read(parse: Callable[[Sequence[str]], list[Value]], column: Column) -> list[Value]:
        return read_column(source, batch, by_column[column.index], column.name, parse)

    days: Sequence[date] = read(parse_days, columns.date)
    numbers: dict[Column, Sequence[Decimal | None]] = {
        column: read(parse_numbers, column) for column in columns.numbers
    }
    others: dict[Column, Sequence[str]] = {
        column: by_column[column.index] for column in columns.others
    }
    if params.start_date is None and params.end_date is None:
        return Kept(days, numbers, others)
    kept = [index for index, day in enumerate(days) if params.covers(day)]
    return Kept(
        [days[index] for index in kept],
        {column: [values[index] for index in kept] for column, values in numbers.items()},
        {column: [values[index] for index in kept] for column, values in others.items()},
    )


def _note_values(values: dict[Column, set[str]], kept: Kept) -> None:
    """Collects the different texts of each column, and drops a column that has too many."""
    for column in list(values):
        found = values[column]
        found.update(kept.others[column])
        present = {text.strip() for text in found if not is_missing(text)}
        if len(present) > MAX_CATEGORIES or any(len(t) > MAX_CATEGORY_LENGTH for t in present):
            del values[column]
        else:
            values[column] = present


def _in_order(days: Sequence[date]) -> bool:
    return all(map(date.__le__, days, days[1:]))
