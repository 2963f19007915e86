# SPDX-License-Identifier: Apache-2.0
"""The table on a page of the PDF: a line a row, and what they come to below."""

from typing import Any

from reportlab.pdfbase import pdfmetrics
from reportlab.platypus import Table

from longcall_demo.report.params import GroupBy, Row
from longcall_demo.report.plan import MONTHS
from longcall_demo.report.style import (
    BAND,
    BOLD,
    FAINT,
    FONT,
    INK,
    MAX_DECIMALS,
    Look,
    fit,
    number_text,
)

ROW_HEIGHT = 11.6
MAX_FIGURES = 10
MAX_CATEGORIES = 2
LABEL_WIDTH = 90.0
PADDING = 2
SUM_WEIGHT, CATEGORY_WEIGHT = 1.4, 1.7
"""How much wider a column of sums or of words is than one of other figures."""
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_Command = tuple[str, tuple[int, int], tuple[int, int], *tuple[Any, ...]]
"""One of a Table's styles: what, from and to which cell, and its values."""


class TableForm:
    """What the tables of all pages have in common: their columns and widths."""

    def __init__(self, look: Look, width: float) -> None:
        self._look = look
        self._columns = _figure_columns(look)
        self._categories = look.categories[:MAX_CATEGORIES]
        counts = 0 if look.single else 1
        weights = [1.0] * counts
        weights += [SUM_WEIGHT if figure == "sum" else 1.0 for _, figure in self._columns]
        weights += [CATEGORY_WEIGHT] * len(self._categories)
        unit = (width - LABEL_WIDTH) / (sum(weights) or 1)
        self._widths = [LABEL_WIDTH, *(weight * unit for weight in weights)]
        self._heads, self._spans = self._head_lines(counts)

    @property
    def left_out(self) -> int:
        """How many of the report's columns have no room in the table."""
        shown = len({name for name, _ in self._columns}) + len(self._categories)
        return len(self._look.numbers) + len(self._look.categories) - shown

    def table(self, rows: list[Row], total: Row) -> Table:
        """The lines of `rows`, then `total` where there are several."""
        lines = [*self._heads, *(self._line(_label(row, self._look.group_by), row) for row in rows)]
        several = len(rows) > 1
        if several:
            lines.append(self._line("All", total, bold=True))
        style = _style(len(self._heads), len(lines), total=several) + self._spans
        return Table(lines, colWidths=self._widths, rowHeights=ROW_HEIGHT, style=style)

    def _head_lines(self, counts: int) -> tuple[list[list[str]], list[_Command]]:
        """The names, each over all of its figures; below them, where they differ, the figures."""
        top, below = ["", *[""] * counts], ["", *["records"] * counts]
        spans: list[_Command] = []
        for name in dict.fromkeys(name for name, _ in self._columns):
            figures = [figure for column, figure in self._columns if column == name]
            first, last = len(top), len(top) + len(figures) - 1
            room = sum(self._widths[first : last + 1]) - 2 * PADDING
            top += [fit(name, BOLD, 7, room), *[""] * (len(figures) - 1)]
            below += figures
            if last > first:
                spans.append(("SPAN", (first, 0), (last, 0)))
        for name in self._categories:
            top.append(fit(name, BOLD, 7, self._widths[len(top)] - 2 * PADDING))
            below.append("most frequent")
        return ([top] if self._look.single else [top, below]), spans

    def _line(self, label: str, row: Row, *, bold: bool = False) -> list[str]:
        font = BOLD if bold else FONT
        rooms = iter(width - 2 * PADDING for width in self._widths[1:])
        texts = [] if self._look.single else [_fitting(row.records, 0, font, next(rooms))]
        for name, which in self._columns:
            value, decimals = self._figure(row, name, which)
            texts.append(_fitting(value, decimals, font, next(rooms)))
        for name in self._categories:
            text = _most_frequent(row.categories[name], single=row.records == 1)
            texts.append(fit(text, font, 7, next(rooms)))
        return [label, *texts]

    def _figure(self, row: Row, name: str, which: str) -> tuple[float | None, int]:
        figures, decimals = row.numbers[name], self._look.numbers[name]
        value: float | None = getattr(figures, which)
        finer = which == "mean" and not self._look.single and decimals < MAX_DECIMALS
        return (value if figures.count else None), decimals + finer


def _fitting(value: float | None, decimals: int, font: str, room: float) -> str:
    """A number is never cut off: where it is too wide it is written less precisely."""
    if value is None:
        return "–"
    texts = [number_text(value, shown) for shown in (decimals, 0, MAX_DECIMALS + 1)]
    fitting = (text for text in texts if pdfmetrics.stringWidth(text, font, 7) <= room)
    return next(fitting, texts[-1])


def _figure_columns(look: Look) -> list[tuple[str, str]]:
    """(column, figure) of each column of the table; as many whole columns as it has room for."""
    chosen: list[tuple[str, str]] = []
    for name in look.numbers:
        if name in look.amounts:
            figures = ["sum"]
        else:
            figures = ["mean"] if look.single else ["mean", "min", "max"]
        if len(chosen) + len(figures) > MAX_FIGURES:
            break
        chosen += [(name, figure) for figure in figures]
    return chosen


def _most_frequent(counts: dict[str, int], *, single: bool) -> str:
    """Of several equally frequent values the first in the alphabet."""
    if not counts:
        return "–"
    value = max(counts, key=counts.__getitem__)
    return value if single else f"{value} ({counts[value]:,})"


def _label(row: Row, group_by: GroupBy) -> str:
    start = row.start
    match group_by:
        case GroupBy.DAY:
            return f"{WEEKDAYS[start.weekday()]} {start}"
        case GroupBy.WEEK:
            return f"{start} – {row.end.month:02}-{row.end.day:02}"
        case GroupBy.MONTH:
            return f"{MONTHS[start.month - 1]} {start.year}"
        case GroupBy.YEAR:
            return str(start.year)


def _style(top_lines: int, lines: int, *, total: bool) -> list[_Command]:
    body = range(top_lines, lines - 1 if total else lines)
    style: list[_Command] = [
        ("FONT", (0, 0), (-1, -1), FONT, 7),
        ("FONT", (0, 0), (-1, 0), BOLD, 7),
        ("TEXTCOLOR", (0, 0), (-1, -1), INK),
        ("ALIGN", (1, 0), (-1, -1), "RIGHT"),
        ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
        ("TOPPADDING", (0, 0), (-1, -1), 0),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 0),
        ("LEFTPADDING", (0, 0), (-1, -1), PADDING),
        ("RIGHTPADDING", (0, 0), (-1, -1), PADDING),
        ("LINEBELOW", (0, top_lines - 1), (-1, top_lines - 1), 0.7, INK),
    ]
    style += [("BACKGROUND", (0, line), (-1, line), BAND) for line in body[1::2]]
    if top_lines > 1:
        style.append(("TEXTCOLOR", (0, 1), (-1, 1), FAINT))
    if total:
        style.append(("FONT", (0, -1), (-1, -1), BOLD, 7))
        style.append(("LINEABOVE", (0, -1), (-1, -1), 0.7, INK))
    return style
