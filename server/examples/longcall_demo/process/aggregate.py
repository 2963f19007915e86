# SPDX-License-Identifier: Apache-2.0
"""`aggregate`: exact figures of the numbers of each group, whatever the order of the source.

All groups are held in memory until the source has been read; so every bad cell is found before
the first group goes out.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from longcall_demo.figures import NumberTotal, median
from longcall_demo.process.params import AggregateParams, BucketSize, Figure
from longcall_demo.process.results import AggregateResult, GroupRow
from longcall_demo.process.run import Run, too_large
from longcall_demo.sources.cells import is_missing, parse_days, parse_numbers
from longcall_demo.sources.columns import read_column
from longcall_demo.sources.reader import Batch
from longcall_demo.spans import Span, month_of, quarter_of, week_of, year_of

MAX_TOTALS = 300_000
"""Groups × measures: some 300 MB."""
MAX_MEDIAN_VALUES = 2_000_000
"""Numbers held for medians: some 250 MB."""
SPANS: dict[BucketSize, Callable[[date], Span]] = {
    BucketSize.DAY: lambda day: Span(day, day),
    BucketSize.WEEK: week_of,
    BucketSize.MONTH: month_of,
    BucketSize.QUARTER: quarter_of,
    BucketSize.YEAR: year_of,
}

Key = tuple[date, *tuple[str | None, ...]]
"""The bucket's first day (or none for all), then the values."""
_NO_BUCKET = date.min


@dataclass
class _Measure:
    """A column of numbers over the records of a group."""

    total: NumberTotal = field(default_factory=NumberTotal)
    values: list[Decimal] = field(default_factory=list)
    """Kept for a median alone."""

    def figure(self, figure: Figure) -> float | None:
        if figure is Figure.MEDIAN:
            return median(self.values)
        found: float | None = getattr(self.total.figures(), figure.value)
        return found


@dataclass
class _Group:
    records: int = 0
    measures: dict[str, _Measure] = field(default_factory=dict)


class _Groups:
    """All groups of the source."""

    def __init__(self, run: Run, params: AggregateParams) -> None:
        self.found: dict[Key, _Group] = {}
        self._run, self._params = run, params
        self._group_by = [run.column(name) for name in params.group_by]
        self._measures = {name: run.column(name) for name in params.measures}
        self._medians = {name for name, f in params.measures.items() if Figure.MEDIAN in f}
        self._time = None if params.time is None else run.column(params.time.column)
        self._kept = 0

    def add(self, batch: Batch) -> None:
        """Takes in a batch; HandlerError BAD_SOURCE, SOURCE_TOO_LARGE."""
        columns = list(zip(*batch.records, strict=True))
        numbers = {
            name: read_column(self._run.source, batch, columns[index], name, parse_numbers)
            for name, index in self._measures.items()
        }
        values = [[_value(text) for text in columns[index]] for index in self._group_by]
        members: dict[Key, list[int]] = {}
        starts = self._starts(batch, columns)
        for index, key in enumerate(zip(starts, *values, strict=True)):
            members.setdefault(key, []).append(index)
        for key, indexes in members.items():
            group = self._group(key)
            group.records += len(indexes)
            for name, column in numbers.items():
                self._measure(name, group, [column[index] for index in indexes])

    def _group(self, key: Key) -> _Group:
        group = self.found.get(key)
        if group is None:
            group = _Group(measures={name: _Measure() for name in self._measures})
            self.found[key] = group
            if len(self.found) * max(1, len(self._measures)) > MAX_TOTALS:
                raise too_large("groups times measures", MAX_TOTALS)
        return group

    def _measure(self, name: str, group: _Group, numbers: Iterable[Decimal | None]) -> None:
        present = [number for number in numbers if number is not None]
        group.measures[name].total.add(present)
        if name in self._medians:
            group.measures[name].values += present
            self._kept += len(present)
            if self._kept > MAX_MEDIAN_VALUES:
                raise too_large("numbers for medians", MAX_MEDIAN_VALUES)

    def _starts(self, batch: Batch, columns: Sequence[Sequence[str]]) -> Sequence[date]:
        """Each record's bucket, by its first day."""
        time = self._params.time
        if time is None or self._time is None:
            return [_NO_BUCKET] * len(batch.records)
        days = read_column(self._run.source, batch, columns[self._time], time.column, parse_days)
        span = SPANS[time.size]
        starts = {day: span(day).start for day in set(days)}
        return [starts[day] for day in days]

    def rows(self) -> Iterator[GroupRow]:
        """In order of time, then of the values, missing ones first."""
        time = self._params.time
        for key in sorted(self.found, key=_order):
            start, *values = key
            group = self.found[key]
            yield GroupRow(
                start=None if time is None else start,
                end=None if time is None else SPANS[time.size](start).end,
                group=dict(zip(self._params.group_by, values, strict=True)),
                records=group.records,
                figures={
                    name: {figure: group.measures[name].figure(figure) for figure in figures}
                    for name, figures in self._params.measures.items()
                },
            )


def _value(text: str) -> str | None:
    return None if is_missing(text) else text.strip()


def _order(key: Key) -> tuple[date, list[tuple[bool, str]]]:
    start, *values = key
    return start, [(value is not None, value or "") for value in values]


def aggregate(run: Run, params: AggregateParams) -> AggregateResult:
    """The rows are GroupRow objects."""
    groups = _Groups(run, params)
    records = 0
    for batch in run.batches(0, 95, "adding up"):
        records += len(batch.records)
        groups.add(batch)
    for number, row in enumerate(groups.rows(), start=1):
        run.emitter.add(row)
        run.progress(95 + 5 * number / len(groups.found), "writing the groups")
    run.emitter.flush()
    return AggregateResult(
        source=run.source.name,
        source_sha256=run.sha256,
        records=records,
        groups=len(groups.found),
    )
