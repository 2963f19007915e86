# SPDX-License-Identifier: Apache-2.0
"""Adding up: from records to the figures of each group, in order of time.

A source in order is aggregated as it is read: one open group at a time, its figures given out as
soon as a record of the next one appears. A source that is not in order is read to its end first,
with the figures of all groups in memory (as many as the report has rows, however many records).
Either way the sums are exact, so both give the same figures to the last digit.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from longcall_demo.figures import NumberFigures, NumberTotal
from longcall_demo.report.params import ReportParams, Row
from longcall_demo.report.plan import Group, Plan
from longcall_demo.report.survey import Column, Kept, Survey, read_columns
from longcall_demo.sources.cells import is_missing
from longcall_demo.sources.reader import Source
from longcall_server import HandlerError

MAX_UNORDERED_CELLS = 500_000
"""Rows × columns that a source which is not in order may have: some 200 MB."""


@dataclass
class Totals:
    """Exact figures of all columns over some records: a group's, a page's or the report's."""

    records: int = 0
    numbers: dict[str, NumberTotal] = field(default_factory=dict)
    categories: dict[str, Counter[str]] = field(default_factory=dict)

    @classmethod
    def empty(cls, survey: Survey) -> "Totals":
        return cls(
            0,
            {column.name: NumberTotal() for column in survey.columns.numbers},
            {column.name: Counter() for column in survey.categories},
        )

    def add(self, kept: Kept, categories: Iterable[Column], low: int, high: int) -> None:
        """Takes in the records low … high - 1 of a batch."""
        self.records += high - low
        for column, values in kept.numbers.items():
            present = [value for value in values[low:high] if value is not None]
            self.numbers[column.name].add(present)
        for column in categories:
            self.categories[column.name].update(kept.others[column][low:high])

    def merge(self, other: "Totals") -> None:
        self.records += other.records
        for name, total in other.numbers.items():
            self.numbers[name].merge(total)
        for name, counts in other.categories.items():
            self.categories[name].update(counts)

    def number_figures(self) -> dict[str, NumberFigures]:
        return {name: total.figures() for name, total in self.numbers.items()}

    def category_counts(self) -> dict[str, dict[str, int]]:
        """column -> value -> records, the values in alphabetical order."""
        counts: dict[str, dict[str, int]] = {}
        for name, found in self.categories.items():
            present: Counter[str] = Counter()
            for text, count in found.items():
                if not is_missing(text):
                    present[text.strip()] += count
            counts[name] = dict(sorted(present.items()))
        return counts


@dataclass(frozen=True, slots=True)
class GroupTotals:
    """A group and what its records add up to."""

    group: Group
    totals: Totals

    def row(self) -> Row:
        return Row(
            period=self.group.period,
            start=self.group.span.start,
            end=self.group.span.end,
            records=self.totals.records,
            numbers=self.totals.number_figures(),
            categories=self.totals.category_counts(),
        )


def aggregate(
    source: Source, params: ReportParams, survey: Survey, plan: Plan, tick: Callable[[int], None]
) -> Iterator[GroupTotals]:
    """The groups of `plan`, in its order; `tick(records)` tells how many records were read, after
    each batch, and may raise to stop.

    Raises HandlerError SOURCE_UNSORTED for a source that is not in order with so many groups that
    they would not fit in memory.
    """
    if survey.in_order:
        return _in_order(source, params, survey, plan, tick)
    cells = len(plan.groups) * len(source.header)
    if cells > MAX_UNORDERED_CELLS:
        reason = f"{source.name!r} is not sorted by date, and has too many days and columns for it"
        raise HandlerError("SOURCE_UNSORTED", f"{reason}: sort it, or group by a longer time")
    return _out_of_order(source, params, survey, plan, tick)


def _in_order(
    source: Source, params: ReportParams, survey: Survey, plan: Plan, tick: Callable[[int], None]
) -> Iterator[GroupTotals]:
    open_index, totals = 0, Totals.empty(survey)
    for kept in _batches(source, params, survey, tick):
        for index, low, high in _runs(kept, plan):
            if index != open_index:
                yield GroupTotals(plan.groups[open_index], totals)
                open_index, totals = index, Totals.empty(survey)
            totals.add(kept, survey.categories, low, high)
    yield GroupTotals(plan.groups[open_index], totals)


def _out_of_order(
    source: Source, params: ReportParams, survey: Survey, plan: Plan, tick: Callable[[int], None]
) -> Iterator[GroupTotals]:
    every = [Totals.empty(survey) for _ in plan.groups]
    for kept in _batches(source, params, survey, tick):
        for index, low, high in _runs(kept, plan):
            every[index].add(kept, survey.categories, low, high)
    for group, totals in zip(plan.groups, every, strict=True):
        yield GroupTotals(group, totals)


def _batches(
    source: Source, params: ReportParams, survey: Survey, tick: Callable[[int], None]
) -> Iterator[Kept]:
    assert survey.end is not None  # there are records: survey_source refuses a report without
    records = 0
    for batch in source.batches(survey.start):
        kept = read_columns(source, survey.columns, batch, params)
        yield kept
        records += len(kept.days)
        tick(records)
        if batch.end.offset >= survey.end.offset:
            return


def _runs(kept: Kept, plan: Plan) -> Iterator[tuple[int, int, int]]:
    """Neighbouring records of one group: its index, the first of them, the one after the last."""
    low = 0
    for index, run in groupby(map(plan.group_of.__getitem__, kept.days)):
        high = low + len(list(run))
        yield index, low, high
        low = high
