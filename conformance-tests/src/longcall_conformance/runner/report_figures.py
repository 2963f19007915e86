# SPDX-License-Identifier: Apache-2.0
"""Counts the rows of a report anew, straight from its CSV: the plain way, all in one pass.

It knows the sales files that the demonstration application makes, and shares no code with it.
"""

from __future__ import annotations

import csv
import threading
from collections import Counter, defaultdict
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

JsonObject = dict[str, Any]

NUMBERS = ("units", "price", "temperature")
CATEGORIES = ("region", "channel")


class _Group:
    def __init__(self) -> None:
        self.records = 0
        self.values: dict[str, list[Decimal]] = {name: [] for name in NUMBERS}
        self.words: dict[str, Counter[str]] = {name: Counter() for name in CATEGORIES}

    def figures(self) -> JsonObject:
        """The figures as the report must show them: exact, rounded once."""
        return {
            "records": self.records,
            "numbers": {name: _number_figures(values) for name, values in self.values.items()},
            "categories": {name: dict(counts) for name, counts in self.words.items()},
        }


def _number_figures(values: list[Decimal]) -> JsonObject:
    total = Fraction(sum(values, Decimal(0)))
    return {
        "count": len(values),
        "sum": float(total),
        "mean": float(total / len(values)),
        "min": float(min(values)),
        "max": float(max(values)),
    }


_COUNTING = threading.Lock()


def expected_report(path: Path, group_by: str) -> tuple[list[JsonObject], JsonObject]:
    """The rows of a monthly report and the figures over all of them; counted once for a file."""
    with _COUNTING:
        return _count(path, group_by)


@cache
def _count(path: Path, group_by: str) -> tuple[list[JsonObject], JsonObject]:
    width = {"day": 10, "month": 7}[group_by]
    groups: dict[str, _Group] = defaultdict(_Group)
    whole = _Group()
    with path.open(newline="", encoding="ascii") as file:
        for record in csv.DictReader(file):
            for group in (groups[record["timestamp"][:width]], whole):
                group.records += 1
                for name in NUMBERS:
                    group.values[name].append(Decimal(record[name]))
                for name in CATEGORIES:
                    group.words[name][record[name]] += 1
    rows = [{"period": key[:7], **groups[key].figures()} for key in sorted(groups)]
    return rows, whole.figures()


def compare_report(
    path: Path, group_by: str, rows: list[JsonObject], result: JsonObject
) -> str | None:
    """Says where rows or summary differ from the source, None where nothing does."""
    expected, whole = expected_report(path, group_by)
    if len(rows) != len(expected):
        return f"{len(rows)} rows, not {len(expected)}"
    starts = [row["start"] for row in rows]
    if starts != sorted(set(starts)):
        return "the rows are not in order, or one is there twice"
    for number, (row, wanted) in enumerate(zip(rows, expected, strict=True)):
        shown = {key: row[key] for key in wanted}
        if shown != wanted:
            return f"row {number} is {shown}, not {wanted}"
    summary = {key: result["summary"][key] for key in whole}
    if summary != whole or result["rows"] != len(expected):
        return f"the summary is {summary}, not {whole}"
    return None
