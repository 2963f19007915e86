# SPDX-License-Identifier: Apache-2.0
"""`generate_report`: surveys the source, then goes page by page: adds up, draws, emits the rows.

Killed, it goes on as `emitter` says: the next attempt goes through the same source again, puts all
rows into its own file, and emits those that are not out yet. Exact sums make every figure the
same, so the file and the summary are those of an unbroken run.
"""

from itertools import islice
from typing import Protocol

from longcall_demo.emitter import Emitter
from longcall_demo.report.aggregate import GroupTotals, Totals, aggregate
from longcall_demo.report.params import Format, Report, ReportParams, Row, Summary
from longcall_demo.report.plan import Group, Page, Plan
from longcall_demo.report.render_csv import CsvTable
from longcall_demo.report.render_pdf import PdfPages
from longcall_demo.report.render_xlsx import XlsxBook
from longcall_demo.report.style import Look
from longcall_demo.report.survey import Survey, survey_source
from longcall_demo.sources.folder import file_stem, find_source
from longcall_demo.sources.reader import Source
from longcall_server import SyncHandlerFile, SyncRequestContext

MEDIA_TYPES = {
    Format.CSV: "text/csv",
    Format.PDF: "application/pdf",
    Format.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
SURVEY_SHARE = {Format.CSV: 40.0, Format.PDF: 4.0, Format.XLSX: 20.0}
"""Percent of the time that the survey takes: for a CSV it is nearly half of the work."""


def generate_report(ctx: SyncRequestContext, params: ReportParams) -> Report:
    """See ReportParams for what can be asked. Every chunk is a list of Row objects.

    Fails with SOURCE_NOT_ALLOWED, SOURCE_NOT_FOUND, BAD_SOURCE (its details name the line and
    the column), NO_RECORDS, SOURCE_UNSORTED, SOURCE_CHANGED, REPORT_TOO_LARGE (for a workbook);
    none is worth another attempt.
    """
    with Source(find_source(params.source)) as source:
        survey = _survey(ctx, params, source)
        run = _Run(ctx, params, source, survey)
        name = _file_name(source, params)
        with ctx.file(name, MEDIA_TYPES[params.format]) as file:
            run.render(_renderer(run, file))
            source.raise_if_changed()
        return Report(
            file=name,
            rows=len(run.plan.groups),
            bytes=file.size,
            sha256=file.sha256,
            summary=run.summary(),
        )


def _survey(ctx: SyncRequestContext, params: ReportParams, source: Source) -> Survey:
    share = SURVEY_SHARE[params.format]

    def tick(offset: int) -> None:
        ctx.raise_if_cancelled()
        ctx.progress(share * offset / source.size, f"looking through {source.name}")

    return survey_source(source, params, tick)


def _file_name(source: Source, params: ReportParams) -> str:
    stem = file_stem(source.name, "report")
    kind, group = params.report_type.value, params.group.value
    return f"{stem}-{kind}-by-{group}.{params.format.value}"


class _Renderer(Protocol):
    def page(self, page: Page, rows: list[Row], total: Row) -> None: ...

    def save(self, summary: Summary) -> None: ...


def _renderer(run: "_Run", file: SyncHandlerFile) -> _Renderer:
    survey, params = run.survey, run.params
    numbers = {column.name: column.decimals for column in survey.columns.numbers}
    categories = {column.name: values for column, values in survey.categories.items()}
    if params.format is Format.CSV:
        return CsvTable(file.write, list(numbers), categories)
    look = Look(
        source=run.source.name,
        subject=f"{params.report_type.value} report by {params.group.value}",
        group_by=params.group,
        pages=len(run.plan.pages),
        numbers=numbers,
        amounts=frozenset(name for name, found in survey.ranges.items() if found.low == 0),
        categories=list(categories),
        single=survey.records == len(run.plan.groups),
    )
    if params.format is Format.XLSX:
        return XlsxBook(file.path, look, categories, rows=len(run.plan.groups))
    return PdfPages(file.path, look)


class _Run:
    """One attempt: goes through the pages, and keeps the figures of the whole."""

    def __init__(
        self, ctx: SyncRequestContext, params: ReportParams, source: Source, survey: Survey
    ) -> None:
        self.params, self.source, self.survey = params, source, survey
        self.plan = Plan.of(params, survey.days)
        self._ctx = ctx
        self._emitter = Emitter(ctx, source, survey.sha256)
        self._totals = Totals.empty(survey)
        # A source that is not in order is read to its end before the first page.
        self._read_to = 100.0 if survey.in_order else (100.0 + SURVEY_SHARE[params.format]) / 2

    def render(self, renderer: _Renderer) -> None:
        groups = aggregate(self.source, self.params, self.survey, self.plan, self._tick)
        start = SURVEY_SHARE[self.params.format] if self.survey.in_order else self._read_to
        for page in self.plan.pages:
            found = list(islice(groups, len(page.groups)))
            self._ctx.raise_if_cancelled()
            total = Totals.empty(self.survey)
            for group in found:
                total.merge(group.totals)
            self._totals.merge(total)
            rows = [group.row() for group in found]
            whole = Group(page.groups[0].period, page.span)
            renderer.page(page, rows, GroupTotals(whole, total).row())
            for row in rows:
                self._emitter.add(row)
            self._emitter.flush()
            done = self._totals.records / self.survey.records
            message = f"page {page.number} of {len(self.plan.pages)}: {page.title}"
            self._ctx.progress(start + (100 - start) * done, message)
        renderer.save(self.summary())

    def _tick(self, records: int) -> None:
        self._ctx.raise_if_cancelled()
        share = SURVEY_SHARE[self.params.format]
        done = records / self.survey.records
        self._ctx.progress(share + (self._read_to - share) * done)

    def summary(self) -> Summary:
        survey, params = self.survey, self.params
        return Summary(
            source=self.source.name,
            source_sha256=survey.sha256,
            report_type=params.report_type,
            group_by=params.group,
            first_date=survey.days[0],
            last_date=survey.days[-1],
            periods=self.plan.periods,
            records=self._totals.records,
            numbers=self._totals.number_figures(),
            categories=self._totals.category_counts(),
            ignored_columns=survey.ignored,
        )
