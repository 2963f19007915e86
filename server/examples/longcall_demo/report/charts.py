# SPDX-License-Identifier: Apache-2.0
"""The charts on a page of the PDF: a small one for each of the first numeric columns."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reportlab.graphics.charts.barcharts import VerticalBarChart
from reportlab.graphics.charts.linecharts import HorizontalLineChart
from reportlab.graphics.shapes import Drawing, Group, String
from reportlab.graphics.widgets.markers import Marker
from reportlab.lib.colors import Color

from longcall_demo.report.style import BOLD, FAINT, FONT, INK, RULE, number_text

_MAX_LABELS = 8
_Chart = VerticalBarChart | HorizontalLineChart


@dataclass(frozen=True)
class Series:
    """What one chart shows. With `low` and `high` a line is drawn between two pale ones; bars are
    for amounts, which begin at zero."""

    title: str
    labels: Sequence[str]
    values: Sequence[float | None]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None
    bars: bool = False


def draw_chart(series: Series, color: Color, width: float, height: float) -> Drawing:
    """A drawing of `width` × `height` points."""
    drawing = Drawing(width, height)
    drawing.add(String(0, height - 9, series.title, fontName=BOLD, fontSize=8, fillColor=INK))
    chart = _bars(series, color) if series.bars else _lines(series, color)
    values = [value for line in chart.data for value in line if value is not None]
    # By names, since the type stubs hold most of these properties for integers.
    chart.setProperties(_frame(width, height) | _axes(values))
    drawing.add(chart)
    drawing.add(_labels(chart, series.labels))
    return drawing


def _bars(series: Series, color: Color) -> _Chart:
    chart = VerticalBarChart()
    chart.data = [list(series.values)]
    chart.bars[0].fillColor = color
    chart.bars[0].strokeColor = None
    chart.barWidth, chart.groupSpacing = 10, 4  # in proportion: the bars fill the width
    return chart


def _lines(series: Series, color: Color) -> _Chart:
    chart = HorizontalLineChart()
    data = [list(series.values)]
    if series.low is not None and series.high is not None:
        data += [list(series.low), list(series.high)]
    chart.data = data
    chart.joinedLines = 1
    pale = Color(color.red, color.green, color.blue, alpha=0.35)
    for index in range(len(data)):
        chart.lines[index].strokeColor = pale if index else color
        chart.lines[index].strokeWidth = 0.7 if index else 1.4
    # A dot a row: a value without neighbours makes no line, and a line says not where it is known.
    dot = Marker()
    look = {"kind": "FilledCircle", "size": 2.6, "fillColor": color, "strokeColor": None}
    dot.setProperties(look)
    chart.lines[0].symbol = dot
    return chart


def _frame(width: float, height: float) -> dict[str, object]:
    return {"x": 34, "y": 16, "width": width - 38, "height": height - 34}


def _axes(values: Sequence[float]) -> dict[str, object]:
    low, high, step = nice_scale(values)
    return {
        "categoryAxis.visibleTicks": 0,
        "categoryAxis.visibleLabels": 0,
        "categoryAxis.strokeColor": FAINT,
        "categoryAxis.strokeWidth": 0.5,
        "valueAxis.valueMin": low,
        "valueAxis.valueMax": high,
        "valueAxis.valueStep": step,
        "valueAxis.labels.fontName": FONT,
        "valueAxis.labels.fontSize": 6,
        "valueAxis.labels.fillColor": FAINT,
        "valueAxis.labels.dx": -1,
        "valueAxis.labelTextFormat": tick_text,
        "valueAxis.visibleAxis": 0,
        "valueAxis.visibleTicks": 0,
        "valueAxis.visibleGrid": 1,
        "valueAxis.gridStrokeColor": RULE,
        "valueAxis.gridStrokeWidth": 0.4,
    }


def _labels(chart: _Chart, labels: Sequence[str]) -> Group:
    """Every so many of the labels, below the chart; an axis would draw all, and at its zero."""
    group = Group()
    place = chart.width / len(labels)
    for index in range(0, len(labels), math.ceil(len(labels) / _MAX_LABELS)):
        x = chart.x + (index + 0.5) * place
        text = String(x, chart.y - 9, labels[index], textAnchor="middle")
        text.fontName, text.fontSize, text.fillColor = FONT, 6, FAINT
        group.add(text)
    return group


def nice_scale(values: Sequence[float]) -> tuple[float, float, float]:
    """Lowest and highest tick and the step for an axis that holds `values` in three to six steps of
    1, 2 or 5 times a power of ten. Zero is on it when the values come near."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    if low > 0 and low < (high - low):
        low = 0.0
    # Values that are all alike get some room, more than a double's last digits.
    spread = high - low if high - low > abs(high) * 1e-9 else abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(spread / 4))
    step = next(power * k for k in (1, 2, 5, 10) if spread / (power * k) <= 5)
    bottom = math.floor(low / step) * step
    top = math.ceil(high / step) * step
    return bottom, max(top, bottom + step), step


def tick_text(value: float) -> str:
    """The number at an axis: `value` is a multiple of 1, 2 or 5 times a power of ten."""
    return number_text(value, 0 if value == int(value) else 2 if abs(value) >= 0.01 else 9)
