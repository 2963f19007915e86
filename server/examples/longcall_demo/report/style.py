# SPDX-License-Identifier: Apache-2.0
"""Colours, fonts and forms that the pages of a PDF have in common."""

from dataclasses import dataclass

from reportlab.lib.colors import HexColor
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

from longcall_demo.report.params import GroupBy

INK = HexColor("#1f2933")
FAINT = HexColor("#7b8794")
RULE = HexColor("#d9dee4")
BAND = HexColor("#f4f6f8")
PALETTE = [HexColor(code) for code in ("#2563a8", "#c2571a", "#2f855a", "#7a4fa3")]
FONT, BOLD = "Vera", "VeraBd"
MAX_DECIMALS = 6

pdfmetrics.registerFont(TTFont(FONT, "Vera.ttf"))
pdfmetrics.registerFont(TTFont(BOLD, "VeraBd.ttf"))


@dataclass(frozen=True)
class Look:
    """What all pages have in common."""

    source: str
    subject: str
    """Such as `monthly report by day`."""
    group_by: GroupBy
    pages: int
    numbers: dict[str, int]
    """The numeric columns, and the decimals that their values are written with."""
    amounts: frozenset[str]
    """The numeric columns whose lowest value is zero: shown as bars of their sums, the others as
    lines of their means."""
    categories: list[str]
    single: bool
    """Every row is one record: a value is its own mean, lowest and highest."""


def number_text(value: float, decimals: int) -> str:
    """A number for human eyes: 1,234,567 or −12.80; where that would be long, 1.23e+12."""
    size = abs(value)
    if size >= 1e10 or 0 < size < 0.5 * 10.0**-decimals or decimals > MAX_DECIMALS:
        text = f"{value:.3g}"
    else:
        text = f"{value:,.{decimals}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def fit(text: str, font: str, size: float, width: float) -> str:
    """`text`, cut with an ellipsis where it is wider than `width` points."""
    if pdfmetrics.stringWidth(text, font, size) <= width:
        return text
    while text and pdfmetrics.stringWidth(text + "…", font, size) > width:
        text = text[:-1]
    return text + "…"
