# SPDX-License-Identifier: Apache-2.0
"""The report as an Excel workbook: a summary with charts, and every row with every figure.

The file depends on the report alone, as the PDF does: the same rows make the same bytes. Excel
keeps numbers to 16 digits at the most, so a figure may differ from the chunk's in its 17th.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path

from xlsxwriter.format import Format as CellFormat
from xlsxwriter.workbook import Workbook
from xlsxwriter.worksheet import Worksheet

from longcall_demo.figures import NumberFigures
from longcall_demo.report.params import Row, Summary
from longcall_demo.report.plan import Page
from longcall_demo.report.style import MAX_DECIMALS, Look
from longcall_demo.report.xlsx_charts import RowsRange, add_charts
from longcall_server import HandlerError

FIGURES = tuple(NumberFigures.model_fields)
ROWS_SHEET, SUMMARY_SHEET = "Rows", "Summary"
MAX_ROWS = 1_048_575
"""What a sheet holds below its header."""
MAX_CELLS = 1_000_000
"""A workbook is held in memory until it is saved: some 300 MB."""
FIRST_DAY = date(1900, 1, 1)
"""Excel knows no earlier one; those are written as text."""
TABLE_STYLE = "Table Style Medium 2"


@dataclass(frozen=True)
class _Column:
    """One of a table's columns, and how its cells look."""

    name: str
    format: CellFormat
    width: float


class XlsxBook:
    """Takes the rows page by page; with the same face as the PDF's and the CSV's.

    The sheet `Rows` has the columns of the CSV form in the table `Rows`; `Summary` has what the
    report is on, the tables `Figures` and `Categories` over all of it, and a chart for each of the
    first numeric columns. Raises HandlerError REPORT_TOO_LARGE for more than a workbook can hold.
    """

    def __init__(
        self, path: Path, look: Look, categories: dict[str, list[str]], *, rows: int
    ) -> None:
        self._look = look
        self._categories = categories
        width = 4 + len(FIGURES) * len(look.numbers) + sum(map(len, categories.values()))
        if rows > MAX_ROWS or rows * width > MAX_CELLS:
            reason = f"{rows} rows of {width} cells are too many for one workbook"
            raise HandlerError("REPORT_TOO_LARGE", f"{reason}: ask for csv, or a longer group_by")
        self._book = Workbook(str(path), {"in_memory": True})
        # Not the time of making: an attempt that makes the file again makes the same bytes.
        self._book.set_properties(
            {
                "title": f"{look.source}: {look.subject}",
                "author": "longcall-demo",
                "created": datetime(2000, 1, 1, tzinfo=UTC),
            }
        )
        self._summary = self._book.add_worksheet(SUMMARY_SHEET)
        self._rows = self._book.add_worksheet(ROWS_SHEET)
        self._text = self._book.add_format({"align": "left"})
        self._day = self._book.add_format({"num_format": "yyyy-mm-dd", "align": "left"})
        self._count = self._book.add_format({"num_format": "#,##0"})
        self._finer = {
            decimals: self._book.add_format({"num_format": _number_format(decimals)})
            for decimals in range(MAX_DECIMALS + 1)
        }
        self._columns = list(self._row_columns())
        self._written = 0
        self._dated = True

    def page(self, page: Page, rows: list[Row], total: Row) -> None:
        """Appends `rows`."""
        for row in rows:
            self._written += 1
            self._dated = self._dated and row.start >= FIRST_DAY
            for index, (value, column) in enumerate(
                zip(self._cells(row), self._columns, strict=True)
            ):
                _write(self._rows, self._written, index, value, column.format)

    def save(self, summary: Summary) -> None:
        """Adds the tables and charts over the rows, and writes the file."""
        self._rows.freeze_panes(1, 3)
        self._summary.set_landscape()
        self._summary.fit_to_pages(1, 0)
        # On paper as on the screen: each page has the columns' names and the rows' dates.
        self._rows.set_landscape()
        self._rows.repeat_rows(0)
        self._rows.repeat_columns(0, 2)
        _add_table(self._rows, "Rows", 0, self._columns, self._written)
        line = self._write_facts(summary)
        line = self._write_figures(line + 1, summary)
        line = self._write_categories(line + 1, summary)
        places = {name: 4 + len(FIGURES) * n for n, name in enumerate(self._look.numbers)}
        rows = RowsRange(ROWS_SHEET, self._written, dated=self._dated)
        add_charts(self._book, self._summary, rows, self._look, places)
        self._book.close()

    def _row_columns(self) -> Iterator[_Column]:
        yield _Column("period", self._text, 12)
        yield _Column("start", self._day, 12)
        yield _Column("end", self._day, 12)
        yield _Column("records", self._count, 10)
        for name in self._look.numbers:
            for figure in FIGURES:
                yield self._column(f"{name}_{figure}", self._format(name, figure))
        for name, values in self._categories.items():
            for value in values:
                yield self._column(f"{name}={value}", self._count)

    def _column(self, name: str, cells: CellFormat) -> _Column:
        return _Column(name, cells, min(max(len(name) + 4, 10), 40))

    def _format(self, name: str, figure: str) -> CellFormat:
        if figure == "count":
            return self._count
        finer = figure == "mean" and not self._look.single
        return self._finer[min(self._look.numbers[name] + finer, MAX_DECIMALS)]

    def _cells(self, row: Row) -> list[str | date | float | None]:
        cells: list[str | date | float | None] = [row.period, row.start, row.end, row.records]
        for name in self._look.numbers:
            cells += [getattr(row.numbers[name], figure) for figure in FIGURES]
        for name, values in self._categories.items():
            cells += [row.categories[name].get(value, 0) for value in values]
        return cells

    def _write_facts(self, summary: Summary) -> int:
        title = self._book.add_format({"bold": True, "font_size": 16})
        bold = self._book.add_format({"bold": True})
        self._summary.write_string(0, 0, self._look.source, title)
        self._summary.write_string(1, 0, self._look.subject)
        facts: list[tuple[str, str | date | int, CellFormat]] = [
            ("First date", summary.first_date, self._day),
            ("Last date", summary.last_date, self._day),
            ("Periods", summary.periods, self._count),
            ("Records", summary.records, self._count),
            ("Rows", self._written, self._count),
            ("Source SHA-256", summary.source_sha256, self._text),
        ]
        for line, (name, value, cells) in enumerate(facts, start=3):
            self._summary.write_string(line, 0, name, bold)
            _write(self._summary, line, 1, value, cells)
        self._summary.set_column(0, 0, 24)
        self._summary.set_column(1, 1 + len(FIGURES), 14)
        return 3 + len(facts)

    def _write_figures(self, line: int, summary: Summary) -> int:
        columns = [_Column(name, self._text, 0) for name in ("column", *FIGURES)]
        for offset, (name, figures) in enumerate(summary.numbers.items(), start=1):
            _write(self._summary, line + offset, 0, name, self._text)
            for index, figure in enumerate(FIGURES, start=1):
                cells = self._format(name, figure)
                _write(self._summary, line + offset, index, getattr(figures, figure), cells)
        return _add_table(self._summary, "Figures", line, columns, len(summary.numbers))

    def _write_categories(self, line: int, summary: Summary) -> int:
        columns = [_Column(name, self._text, 0) for name in ("column", "value", "records")]
        rows = 0
        for name, found in summary.categories.items():
            for value, count in found.items():
                rows += 1
                _write(self._summary, line + rows, 0, name, self._text)
                _write(self._summary, line + rows, 1, value, self._text)
                _write(self._summary, line + rows, 2, count, self._count)
        return _add_table(self._summary, "Categories", line, columns, rows)


def _number_format(decimals: int) -> str:
    return "#,##0" + ("." + "0" * decimals if decimals else "")


def _write(
    sheet: Worksheet, line: int, index: int, value: str | date | float | None, cells: CellFormat
) -> None:
    """By the value's own type: a text that begins with `=` stays a text."""
    match value:
        case None:
            pass
        case str():
            sheet.write_string(line, index, value, cells)
        case date() if value < FIRST_DAY:
            sheet.write_string(line, index, value.isoformat(), cells)
        case date():
            sheet.write_datetime(line, index, datetime.combine(value, time.min), cells)
        case _:
            sheet.write_number(line, index, value, cells)


def _add_table(
    sheet: Worksheet, name: str, line: int, columns: Sequence[_Column], rows: int
) -> int:
    """A table with its header on `line` over `rows` lines that are written; gives the line below
    it. No table without rows: Excel has none."""
    if not rows:
        return line
    heads = [{"header": head} for head in _distinct(column.name for column in columns)]
    options = {"name": name, "style": TABLE_STYLE, "columns": heads}
    sheet.add_table(line, 0, line + rows, len(columns) - 1, options)
    for index, column in enumerate(columns):
        if column.width:
            sheet.set_column(index, index, column.width)
    return line + rows + 1


def _distinct(names: Iterable[str]) -> list[str]:
    """Excel tells a table's columns apart without regard to case: a repeated name gets a number."""
    taken: set[str] = set()
    result = []
    for name in names:
        distinct, number = name, 2
        while distinct.lower() in taken:
            distinct, number = f"{name} ({number})", number + 1
        taken.add(distinct.lower())
        result.append(distinct)
    return result
