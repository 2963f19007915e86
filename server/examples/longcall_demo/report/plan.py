# SPDX-License-Identifier: Apache-2.0
"""Which rows and pages a report has, known from its days before anything is added up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby, islice
from typing import Self

from longcall_demo.report.params import GroupBy, ReportParams, ReportType
from longcall_demo.spans import Span, month_of, quarter_of, week_of, year_of

ROWS_A_PAGE = 31
"""A month of days; what a page of the PDF can show. A longer period takes several pages."""

# Not calendar.month_name: it follows the process's locale, and the file must not.
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True, slots=True)
class Group:
    """What becomes one row."""

    period: str
    span: Span


@dataclass(frozen=True, slots=True)
class Page:
    """What becomes one page, and one chunk where it is not too large: rows of one period."""

    number: int
    title: str
    groups: Sequence[Group]

    @property
    def span(self) -> Span:
        return Span(self.groups[0].span.start, self.groups[-1].span.end)


@dataclass(frozen=True)
class Plan:
    """All groups in order of time; a group without a record does not appear."""

    groups: list[Group]
    pages: list[Page]
    group_of: dict[date, int]
    """day -> index in `groups`"""

    @classmethod
    def of(cls, params: ReportParams, days: Sequence[date]) -> Self:
        """The plan for the days on which there are records (in order, each once, not empty)."""
        asked = Span(params.start_date or days[0], params.end_date or days[-1])
        groups: list[Group] = []
        group_of: dict[date, int] = {}
        for day in days:
            if not groups or day > groups[-1].span.end:
                groups.append(_group(params, day, asked))
            group_of[day] = len(groups) - 1
        return cls(groups, _pages(params.report_type, groups), group_of)

    @property
    def periods(self) -> int:
        return len({group.period for group in self.groups})


def _group(params: ReportParams, day: date, asked: Span) -> Group:
    period = _period(params.report_type, day, asked)
    # Only a range that was asked for cuts rows off; a source that begins in the middle of a
    # month is still reported on by whole months.
    limits = Span(params.start_date or date.min, params.end_date or date.max)
    span = _span(params.group, day).within(period).within(limits)
    return Group(_label(params.report_type, period), span)


def _span(group: GroupBy, day: date) -> Span:
    match group:
        case GroupBy.DAY:
            return Span(day, day)
        case GroupBy.WEEK:
            return week_of(day)
        case GroupBy.MONTH:
            return month_of(day)
        case GroupBy.YEAR:
            return year_of(day)


def _period(kind: ReportType, day: date, asked: Span) -> Span:
    match kind:
        case ReportType.MONTHLY:
            return month_of(day)
        case ReportType.QUARTERLY:
            return quarter_of(day)
        case ReportType.ANNUAL:
            return year_of(day)
        case ReportType.CUSTOM:
            return asked


def _label(kind: ReportType, period: Span) -> str:
    start = period.start
    match kind:
        case ReportType.MONTHLY:
            return f"{start.year:04}-{start.month:02}"
        case ReportType.QUARTERLY:
            return f"{start.year:04}-Q{(start.month + 2) // 3}"
        case ReportType.ANNUAL:
            return f"{start.year:04}"
        case ReportType.CUSTOM:
            return f"{start}/{period.end}"


def _title(kind: ReportType, group: Group) -> str:
    start = group.span.start
    match kind:
        case ReportType.MONTHLY:
            return f"{MONTHS[start.month - 1]} {start.year}"
        case ReportType.QUARTERLY:
            return f"Quarter {(start.month + 2) // 3}, {start.year}"
        case ReportType.ANNUAL:
            return str(start.year)
        case ReportType.CUSTOM:
            return " – ".join(group.period.split("/"))


def _pages(kind: ReportType, groups: list[Group]) -> list[Page]:
    pages: list[Page] = []
    for _, run in groupby(groups, key=lambda group: group.period):
        while block := list(islice(run, ROWS_A_PAGE)):
            pages.append(Page(len(pages) + 1, _title(kind, block[0]), block))
    return pages


def days_text(span: Span) -> str:
    """A span as a reader would say it: `1 – 31 March 2012`."""
    start, end = span.start, span.end
    last = f"{end.day} {MONTHS[end.month - 1]} {end.year}"
    if start == end:
        return last
    first = str(start.day)
    if (start.year, start.month) != (end.year, end.month):
        first += f" {MONTHS[start.month - 1]}"
    if start.year != end.year:
        first += f" {start.year}"
    return f"{first} – {last}"
