# SPDX-License-Identifier: Apache-2.0
"""The report's table as a CSV file: one line a row, one column a figure."""

import csv
import io
from collections.abc import Callable, Sequence

from longcall_demo.figures import NumberFigures
from longcall_demo.report.params import Row, Summary
from longcall_demo.report.plan import Page

FIGURES = tuple(NumberFigures.model_fields)


class CsvTable:
    """Writes the file page by page; with the same face as the PDF's.

    The columns are period, start, end, records; `NAME_count`, `NAME_sum`, `NAME_mean`, `NAME_min`
    and `NAME_max` of each numeric column; `NAME=VALUE`, the records with that value, of each
    category. A figure that there is none of is an empty cell. Numbers are written so that reading
    them as a double gives the very same one; lines end with CR LF (RFC 4180).
    """

    def __init__(
        self, write: Callable[[bytes], None], numbers: list[str], categories: dict[str, list[str]]
    ) -> None:
        self._write = write
        self._numbers = numbers
        self._categories = categories
        names = ["period", "start", "end", "records"]
        names += [f"{name}_{figure}" for name in numbers for figure in FIGURES]
        names += [f"{name}={value}" for name, values in categories.items() for value in values]
        self._append([names])

    def page(self, page: Page, rows: list[Row], total: Row) -> None:
        """Appends `rows`; the table has no lines of totals."""
        self._append([self._cells(row) for row in rows])

    def save(self, summary: Summary) -> None:
        """Nothing is left to do: every page was written."""

    def _append(self, lines: Sequence[Sequence[object]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(lines)
        self._write(text.getvalue().encode())

    def _cells(self, row: Row) -> list[object]:
        cells: list[object] = [row.period, row.start, row.end, row.records]
        for name in self._numbers:
            cells += [getattr(row.numbers[name], figure) for figure in FIGURES]
        for name, values in self._categories.items():
            cells += [row.categories[name].get(value, 0) for value in values]
        return cells
