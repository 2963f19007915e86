# SPDX-License-Identifier: Apache-2.0
"""Groups against those of the modules csv and statistics."""

import csv
import statistics
from collections import defaultdict
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from conftest import Runner

from longcall_demo.make_csv import records
from longcall_demo.process import aggregate
from longcall_demo.sources.folder import find_source

FIGURES = ["sum", "mean", "min", "max", "count", "median"]


def bucket(day: date, size: str) -> date:
    """The first day, going back one day at a time until the bucket's name changes."""
    quarters = ["Q1"] * 3 + ["Q2"] * 3 + ["Q3"] * 3 + ["Q4"] * 3
    forms = {"day": "%Y-%m-%d", "week": "%G-%V", "month": "%Y-%m", "quarter": "%Y", "year": "%Y"}

    def name(day: date) -> str:
        return day.strftime(forms[size]) + (quarters[day.month - 1] if size == "quarter" else "")

    start = day
    while name(start - timedelta(days=1)) == name(day):
        start -= timedelta(days=1)
    return start


def figures(texts: list[str]) -> dict[str, Any]:
    values = [Fraction(text) for text in texts]
    return {
        "sum": float(sum(values)),
        "mean": float(statistics.mean(values)),
        "min": float(min(values)),
        "max": float(max(values)),
        "count": len(values),
        "median": float(statistics.median(values)),
    }


def expected(
    path: Path, group_by: list[str], when: str | None, size: str, measures: list[str]
) -> list[dict[str, Any]]:
    groups: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)
    with path.open(newline="") as file:
        for line in csv.DictReader(file):
            start = ""
            if when is not None:
                day = date.fromisoformat(line[when][:10].replace("/", "-"))
                start = str(bucket(day, size))
            groups[start, *(line[name] for name in group_by)].append(line)
    return [
        {
            "start": key[0] or None,
            "group": dict(zip(group_by, key[1:], strict=True)),
            "records": len(groups[key]),
            "figures": {name: figures([g[name] for g in groups[key]]) for name in measures},
        }
        for key in sorted(groups)
    ]


def without_end(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in row if name != "end"} for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("size", ["day", "week", "month", "quarter", "year"])
def test_groups_of_the_weather_by_time_are_those_of_a_plain_count(
    process: Runner[Any], size: str
) -> None:
    measures = ["precipitation", "temp_max"]
    result, recorder = process(
        pipeline="aggregate",
        group_by=["weather"],
        time={"column": "date", "size": size},
        measures=dict.fromkeys(measures, FIGURES),
    )
    plain = expected(find_source(None), ["weather"], "date", size, measures)
    assert without_end(recorder.rows) == plain
    assert (result.groups, result.records) == (len(plain), 1461)
    for row in recorder.rows:
        last = date.fromisoformat(row["end"])
        assert str(bucket(last, size)) == row["start"]
        assert bucket(last + timedelta(days=1), size) == last + timedelta(days=1)


def test_groups_by_two_columns_of_a_source_in_disorder(process: Runner[Any]) -> None:
    source = process.source("".join(records(4_000, 9, date(2021, 3, 1), 100, shuffle=True)))
    group_by, measures = ["region", "channel"], ["units", "price", "temperature"]
    _, recorder = process(
        pipeline="aggregate",
        source=source,
        group_by=group_by,
        measures=dict.fromkeys(measures, FIGURES),
    )
    plain = expected(process.data / source, group_by, None, "", measures)
    assert without_end(recorder.rows) == plain
    assert len(plain) == 12


def test_everything_is_one_group_where_none_is_asked_for(process: Runner[Any]) -> None:
    result, recorder = process(pipeline="aggregate", measures={"wind": ["max"]})
    assert result.groups == 1
    assert recorder.rows == [
        {
            "start": None,
            "end": None,
            "group": {},
            "records": 1461,
            "figures": {"wind": {"max": 9.5}},
        }
    ]


def test_missing_values_group_by_themselves_and_are_not_counted(process: Runner[Any]) -> None:
    source = process.source("k,x\nb,1\n,2\n a ,\nNA,3\na,\n")
    _, recorder = process(
        pipeline="aggregate", source=source, group_by=["k"], measures={"x": FIGURES}
    )
    found = [(row["group"]["k"], row["records"], row["figures"]["x"]) for row in recorder.rows]
    nothing = {"sum": 0, "mean": None, "min": None, "max": None, "count": 0, "median": None}
    assert found == [
        (None, 2, figures(["2", "3"])),
        ("a", 2, nothing),
        ("b", 1, figures(["1"])),
    ]


def test_a_bad_cell_is_named_before_the_first_group_goes_out(process: Runner[Any]) -> None:
    source = process.source("day,x\n2020-01-01,1\n2020-01-02,two\n")
    refused = process.failure(pipeline="aggregate", source=source, measures={"x": ["sum"]})
    assert (refused.code, refused.details) == ("BAD_SOURCE", {"line": 3, "column": "x"})
    refused = process.failure(
        pipeline="aggregate", source=source, time={"column": "x", "size": "day"}
    )
    assert (refused.code, refused.details) == ("BAD_SOURCE", {"line": 2, "column": "x"})


@pytest.mark.parametrize(
    "payload",
    [
        {"group_by": ["no"]},
        {"measures": {"no": ["sum"]}},
        {"time": {"column": "no", "size": "day"}},
    ],
    ids=str,
)
def test_a_column_that_is_not_there_is_named(process: Runner[Any], payload: dict[str, Any]) -> None:
    refused = process.failure(pipeline="aggregate", **payload)
    assert refused.code == "UNKNOWN_COLUMN"
    assert isinstance(refused.details, dict)
    assert refused.details["column"] == "no"


def test_what_would_not_fit_in_memory_is_refused(
    process: Runner[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aggregate, "MAX_TOTALS", 1_460)
    assert process.failure(pipeline="aggregate", group_by=["date"]).code == "SOURCE_TOO_LARGE"
    monkeypatch.setattr(aggregate, "MAX_MEDIAN_VALUES", 1_460)
    refused = process.failure(pipeline="aggregate", measures={"wind": ["median"]})
    assert refused.code == "SOURCE_TOO_LARGE"
