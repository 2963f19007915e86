# SPDX-License-Identifier: Apache-2.0
"""The charts of the workbook: Excel's own, over the cells of the rows, so that they follow them."""

from dataclasses import dataclass
from typing import Any

from xlsxwriter.chart import Chart
from xlsxwriter.workbook import Workbook
from xlsxwriter.worksheet import Worksheet

from longcall_demo.figures import NumberFigures
from longcall_demo.report.style import Look

MAX_CHARTS = 4
START_COLUMN = 1
"""Where each row's first day stands."""
FIGURES = list(NumberFigures.model_fields)
COLORS = ("#2563A8", "#C2571A", "#2F855A", "#7A4FA3")
WIDTH, HEIGHT = 620, 300
LINES_A_CHART = 16


@dataclass(frozen=True)
class RowsRange:
    """The rows that charts show: they begin below the header of a sheet."""

    sheet: str
    rows: int
    dated: bool
    """Whether every row's first day is a date of Excel's."""

    def column(self, index: int) -> list[str | int]:
        """All rows of a column, as XlsxWriter takes it."""
        return [self.sheet, 1, index, self.rows, index]

    def head(self, index: int) -> list[str | int]:
        """The cell with a column's name."""
        return [self.sheet, 0, index]


def add_charts(
    book: Workbook, sheet: Worksheet, rows: RowsRange, look: Look, places: dict[str, int]
) -> None:
    """Puts a chart for each of the first numeric columns on `sheet`, right of its tables.

    `places` has the index of each numeric column's first figure. Amounts are shown as bars of
    their sums, others as lines of mean, lowest and highest, as on the pages of the PDF.
    """
    for place, (name, first) in enumerate(list(places.items())[:MAX_CHARTS]):
        amount = name in look.amounts
        chart = book.add_chart({"type": "column" if amount else "line"})
        assert isinstance(chart, Chart)
        shown = ["sum"] if amount else ["mean"] if look.single else ["mean", "min", "max"]
        for order, figure in enumerate(shown):
            index = first + FIGURES.index(figure)
            chart.add_series(
                {
                    "name": rows.head(index),
                    "categories": rows.column(START_COLUMN),
                    "values": rows.column(index),
                    **_look(COLORS[place], amount=amount, pale=order > 0),
                }
            )
        title = name if look.single else f"{name}: {' / '.join(shown)}"
        _dress(chart, title, rows, legend=len(shown) > 1, amount=amount)
        options = {"object_position": 3, "description": f"chart of {title}"}
        sheet.insert_chart(place * LINES_A_CHART, 1 + len(FIGURES) + 1, chart, options)


def _look(color: str, *, amount: bool, pale: bool) -> dict[str, Any]:
    if amount:
        return {"fill": {"color": color}, "gap": 40}
    line = {"color": color, "width": 0.75 if pale else 1.75, "transparency": 45 if pale else 0}
    return {"line": line}


def _dress(chart: Chart, title: str, rows: RowsRange, *, legend: bool, amount: bool) -> None:
    chart.set_title({"name": title, "name_font": {"size": 12}, "overlay": False})
    axis: dict[str, Any] = {"num_format": "yyyy-mm-dd", "num_font": {"size": 8, "rotation": -45}}
    # On an axis of dates a bar is a day wide, however long its row is.
    axis |= {"date_axis": True} if rows.dated and not amount else {"text_axis": True}
    chart.set_x_axis(axis | {"label_position": "low"})
    grid = {"visible": True, "line": {"color": "#D9DEE4"}}
    chart.set_y_axis({"num_font": {"size": 8}, "major_gridlines": grid})
    chart.set_legend({"position": "bottom"} if legend else {"none": True})
    chart.set_size({"width": WIDTH, "height": HEIGHT})
    chart.show_blanks_as("gap")
