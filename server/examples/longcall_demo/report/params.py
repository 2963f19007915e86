# SPDX-License-Identifier: Apache-2.0
"""What a report is asked for, and what it answers."""

from datetime import date
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from longcall_demo.figures import NumberFigures


class Format(StrEnum):
    """What the report's file is: the table alone, pages with charts, or a workbook with both."""

    CSV = "csv"
    PDF = "pdf"
    XLSX = "xlsx"


class ReportType(StrEnum):
    """The period that a report is divided into; a PDF begins a new page with each."""

    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    ANNUAL = "annual"
    CUSTOM = "custom"


class GroupBy(StrEnum):
    """The span of time that becomes one row, from the shortest to the longest."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


DEFAULT_GROUP = {
    ReportType.MONTHLY: GroupBy.DAY,
    ReportType.QUARTERLY: GroupBy.WEEK,
    ReportType.ANNUAL: GroupBy.MONTH,
    ReportType.CUSTOM: GroupBy.DAY,
}
LONGEST_GROUP = {
    ReportType.MONTHLY: GroupBy.MONTH,
    ReportType.QUARTERLY: GroupBy.MONTH,
    ReportType.ANNUAL: GroupBy.YEAR,
    ReportType.CUSTOM: GroupBy.YEAR,
}


class ReportParams(BaseModel):
    """The payload of `generate_report`.

    `source` names a CSV file in the server's data folder; without one the report is on the daily
    weather of Seattle, 2012 to 2015. `start_date` and `end_date` both count (either may be
    missing: then the report reaches to the source's own first or last record), except for
    `custom`, which is the report on one range and needs both.

    `group_by` defaults to day in a monthly and a custom report, week (ISO, from Monday) in a
    quarterly and month in an annual one. A row never reaches beyond its period: a week that
    lies in two quarters is a row in each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str | None = Field(default=None, min_length=1, max_length=255)
    start_date: date | None = None
    end_date: date | None = None
    format: Format
    report_type: ReportType
    group_by: GroupBy | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        start, end = self.start_date, self.end_date
        if self.report_type is ReportType.CUSTOM and (start is None or end is None):
            raise ValueError("a custom report needs both start_date and end_date")
        if start is not None and end is not None and start > end:
            raise ValueError(f"start_date {start} is after end_date {end}")
        order = list(GroupBy)
        longest = LONGEST_GROUP[self.report_type]
        if order.index(self.group) > order.index(longest):
            kind = self.report_type.value
            raise ValueError(f"a {kind} report can be grouped by {longest.value} at the longest")
        return self

    @property
    def group(self) -> GroupBy:
        """`group_by`, or what it defaults to."""
        return self.group_by or DEFAULT_GROUP[self.report_type]

    def covers(self, day: date) -> bool:
        """Whether a record of this day belongs to the report."""
        after_start = self.start_date is None or day >= self.start_date
        return after_start and (self.end_date is None or day <= self.end_date)


class Row(BaseModel):
    """One line of the report's table: the records of one group in one period."""

    period: str = Field(description="2012-03, 2012-Q1, 2012, or start/end of a custom report")
    start: date
    end: date = Field(description="the last day, included")
    records: int
    numbers: dict[str, NumberFigures]
    categories: dict[str, dict[str, int]] = Field(description="column -> value -> records")


class Summary(BaseModel):
    """Exact figures over the whole report."""

    source: str
    source_sha256: str
    report_type: ReportType
    group_by: GroupBy
    first_date: date = Field(description="of the records in the report")
    last_date: date
    periods: int
    records: int
    numbers: dict[str, NumberFigures]
    categories: dict[str, dict[str, int]]
    ignored_columns: list[str] = Field(description="neither numbers nor a few categories")


class Report(BaseModel):
    """The result of `generate_report`; the file is downloaded under the request's id."""

    file: str
    rows: int
    bytes: int
    sha256: str = Field(description="of the file, in hex")
    summary: Summary
