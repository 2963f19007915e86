# SPDX-License-Identifier: Apache-2.0
"""What a report should hold, found in another, simple way: all records in memory, grouped by the
text of their date, added as fractions."""

import csv
from collections import Counter, defaultdict
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

Key = tuple[str, str]

WEATHER = ("date", ["precipitation", "temp_max", "temp_min", "wind"], ["weather"])
SALES = ("timestamp", ["units", "price", "temperature"], ["region", "channel"])


def period_text(day: date, case: dict[str, Any]) -> str:
    kind = case["report_type"]
    quarter = {"01": 1, "02": 1, "03": 1, "04": 2, "05": 2, "06": 2, "07": 3, "08": 3, "09": 3}
    if kind == "custom":
        return f"{case['start_date']}/{case['end_date']}"
    if kind == "quarterly":
        return f"{day:%Y}-Q{quarter.get(f'{day:%m}', 4)}"
    return day.strftime("%Y-%m" if kind == "monthly" else "%Y")


def group_text(day: date, case: dict[str, Any]) -> str:
    usual = {"monthly": "day", "quarterly": "week", "annual": "month", "custom": "day"}
    group = case.get("group_by") or usual[case["report_type"]]
    return day.strftime({"day": "%Y-%m-%d", "week": "%G-%V", "month": "%Y-%m", "year": "%Y"}[group])


def figures(values: list[Fraction]) -> dict[str, Any]:
    if not values:
        return {"count": 0, "sum": 0.0, "mean": None, "min": None, "max": None}
    total = sum(values, Fraction(0))
    return {
        "count": len(values),
        "sum": float(total),
        "mean": float(total / len(values)),
        "min": float(min(values)),
        "max": float(max(values)),
    }


def all_figures(
    found: list[dict[str, str]], numbers: list[str], categories: list[str]
) -> dict[str, Any]:
    return {
        "records": len(found),
        "numbers": {
            name: figures([Fraction(record[name]) for record in found if record[name]])
            for name in numbers
        },
        "categories": {
            name: dict(Counter(record[name] for record in found if record[name]))
            for name in categories
        },
    }


def expected(
    path: Path, case: dict[str, Any], when: str, numbers: list[str], categories: list[str]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows, and the figures over all of them."""
    first, last = case.get("start_date", "0001-01-01"), case.get("end_date", "9999-12-31")
    groups: dict[Key, list[dict[str, str]]] = defaultdict(list)
    kept = []
    with path.open(newline="") as file:
        for record in csv.DictReader(file):
            text = record[when][:10].replace("/", "-")
            if first <= text <= last:
                day = date.fromisoformat(text)
                kept.append(record)
                groups[period_text(day, case), group_text(day, case)].append(record)
    # Each group's days, by counting through every day of the calendar.
    days: dict[Key, list[str]] = defaultdict(list)
    day = date(2011, 1, 1)
    while day < date(2018, 1, 1):
        if first <= str(day) <= last:
            days[period_text(day, case), group_text(day, case)].append(str(day))
        day += timedelta(days=1)
    rows = [
        {"period": key[0], "start": days[key][0], "end": days[key][-1]}
        | all_figures(groups[key], numbers, categories)
        for key in sorted(groups, key=lambda key: days[key][0])
    ]
    return rows, all_figures(kept, numbers, categories)
