# SPDX-License-Identifier: Apache-2.0
"""The report as a PDF: each page shows (a part of) one period, charts above, its table below.

The file depends on the report alone: no date of making, no random identifier. So an attempt that
makes it again makes the same bytes. The font covers Latin script; other characters show as boxes.
"""

from pathlib import Path

from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from longcall_demo.report.charts import Series, draw_chart
from longcall_demo.report.params import GroupBy, Row, Summary
from longcall_demo.report.plan import MONTHS, Page, days_text
from longcall_demo.report.style import BOLD, FAINT, FONT, INK, PALETTE, RULE, Look, fit
from longcall_demo.report.tables import TableForm

WIDTH, HEIGHT = A4
MARGIN = 46
INNER = WIDTH - 2 * MARGIN
FOOT = 38
GAP = 16
MAX_CHART_HEIGHT = 170


class PdfPages:
    """Draws page after page, and writes the file in `save()`."""

    def __init__(self, path: Path, look: Look) -> None:
        self._look = look
        self._canvas = Canvas(str(path), pagesize=A4, pageCompression=1, invariant=1)
        self._canvas.setTitle(f"{look.source}: {look.subject}")
        self._canvas.setCreator("longcall-demo")
        self._form = TableForm(look, INNER)

    def page(self, page: Page, rows: list[Row], total: Row) -> None:
        """`rows` are those of the page, `total` is over all of them."""
        canvas = self._canvas
        key = f"page-{page.number}"
        canvas.bookmarkPage(key)
        canvas.addOutlineEntry(page.title, key, level=0)
        top = self._heading(page, total)
        table = self._form.table(rows, total)
        _, height = table.wrapOn(canvas, INNER, top)
        top = self._charts(rows, top, top - height - FOOT - 2 * GAP)
        table.drawOn(canvas, MARGIN, top - height)
        self._footer(page)
        canvas.showPage()

    def save(self, summary: Summary) -> None:
        """Writes the file; there are no more pages."""
        self._canvas.save()

    def _heading(self, page: Page, total: Row) -> float:
        canvas, top = self._canvas, HEIGHT - MARGIN
        canvas.setFont(FONT, 8)
        canvas.setFillColor(FAINT)
        canvas.drawString(MARGIN, top, fit(self._look.source, FONT, 8, INNER * 0.6))
        canvas.drawRightString(WIDTH - MARGIN, top, self._look.subject)
        canvas.setFont(BOLD, 19)
        canvas.setFillColor(INK)
        canvas.drawString(MARGIN, top - 28, page.title)
        records = "1 record" if total.records == 1 else f"{total.records:,} records"
        canvas.setFont(FONT, 8)
        canvas.setFillColor(FAINT)
        below = (
            top - 28 if len(page.title) < 20 else top - 50
        )  # beside a short title, else under it
        canvas.drawRightString(WIDTH - MARGIN, below, f"{days_text(page.span)} · {records}")
        canvas.setStrokeColor(PALETTE[0])
        canvas.setLineWidth(1.2)
        canvas.line(MARGIN, top - 38, WIDTH - MARGIN, top - 38)
        return top - 60

    def _charts(self, rows: list[Row], top: float, room: float) -> float:
        """Draws them below `top`, in `room` points at most; gives the top of what comes next."""
        shown = list(self._look.numbers)[: len(PALETTE)]
        if not shown:
            return top
        across = 1 if len(shown) == 1 else 2
        down = -(-len(shown) // across)
        width = (INNER - GAP * (across - 1)) / across
        height = min(MAX_CHART_HEIGHT, (room - GAP * (down - 1)) / down)
        for place, name in enumerate(shown):
            x = MARGIN + place % across * (width + GAP)
            y = top - height - place // across * (height + GAP)
            drawing = draw_chart(self._series(name, rows), PALETTE[place], width, height)
            drawing.drawOn(self._canvas, x, y)
        return top - down * height - (down - 1) * GAP - GAP

    def _series(self, name: str, rows: list[Row]) -> Series:
        labels = [_short_label(row, self._look.group_by) for row in rows]
        figures = [row.numbers[name] for row in rows]
        shown = fit(name, BOLD, 8, 110)
        if name in self._look.amounts:
            sums = [f.sum if f.count else None for f in figures]
            title = shown if self._look.single else f"{shown}: sum"
            return Series(title, labels, sums, bars=True)
        means = [f.mean for f in figures]
        if self._look.single:
            return Series(shown, labels, means)
        low, high = [f.min for f in figures], [f.max for f in figures]
        return Series(f"{shown}: mean, lowest and highest", labels, means, low, high)

    def _footer(self, page: Page) -> None:
        canvas = self._canvas
        canvas.setStrokeColor(RULE)
        canvas.setLineWidth(0.5)
        canvas.line(MARGIN, FOOT, WIDTH - MARGIN, FOOT)
        canvas.setFont(FONT, 7)
        canvas.setFillColor(FAINT)
        left_out = self._form.left_out
        if left_out:
            what = "column is" if left_out == 1 else "columns are"
            text = f"{left_out} more {what} in the report's CSV form"
            canvas.drawString(MARGIN, FOOT - 11, text)
        number = f"{page.number} / {self._look.pages}"
        canvas.drawRightString(WIDTH - MARGIN, FOOT - 11, number)


def _short_label(row: Row, group_by: GroupBy) -> str:
    start = row.start
    match group_by:
        case GroupBy.DAY | GroupBy.WEEK:
            return f"{start.day} {MONTHS[start.month - 1][:3]}"
        case GroupBy.MONTH:
            return MONTHS[start.month - 1][:3]
        case GroupBy.YEAR:
            return str(start.year)
