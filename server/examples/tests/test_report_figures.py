# SPDX-License-Identifier: Apache-2.0
"""The figures of reports against those of `plain_count`."""

import csv
import io
from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from conftest import Reporter
from plain_count import SALES, WEATHER, expected

from longcall_demo.make_csv import records
from longcall_demo.sources.folder import find_source
from longcall_demo.sources.reader import BATCH_RECORDS

CASES: list[dict[str, Any]] = [
    {"report_type": "monthly"},
    {"report_type": "monthly", "group_by": "week"},
    {"report_type": "monthly", "group_by": "month"},
    {"report_type": "quarterly"},
    {"report_type": "quarterly", "group_by": "day", "start_date": "2013-02-03"},
    {"report_type": "annual"},
    {"report_type": "annual", "group_by": "week", "end_date": "2014-05-06"},
    {"report_type": "annual", "group_by": "year"},
    {"report_type": "custom", "start_date": "2012-12-25", "end_date": "2013-03-07"},
    {
        "report_type": "custom",
        "group_by": "week",
        "start_date": "2012-12-27",
        "end_date": "2015-01-02",
    },
    {
        "report_type": "custom",
        "group_by": "year",
        "start_date": "2012-06-01",
        "end_date": "2015-06-01",
    },
]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_rows_and_summary_of_the_weather_are_those_of_a_plain_count(
    report: Reporter, case: dict[str, Any]
) -> None:
    rows, whole = expected(find_source(None), case, *WEATHER)
    result, recorder = report(format="csv", **case)
    assert recorder.rows == rows
    summary = result.summary.model_dump(mode="json")
    assert {name: summary[name] for name in whole} == whole
    assert (result.rows, result.summary.periods) == (len(rows), len({r["period"] for r in rows}))
    assert summary["ignored_columns"] == []


@pytest.mark.slow
@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "not in order"])
@pytest.mark.parametrize("case", CASES[:4], ids=str)
def test_rows_of_many_records_a_day_are_those_of_a_plain_count(
    report: Reporter, case: dict[str, Any], shuffle: bool
) -> None:
    source = report.source("".join(records(9_000, 3, date(2012, 11, 20), 200, shuffle=shuffle)))
    rows, whole = expected(report.data / source, case, *SALES)
    result, recorder = report(format="csv", source=source, **case)
    assert recorder.rows == rows
    summary = result.summary.model_dump(mode="json")
    assert {name: summary[name] for name in whole} == whole


def test_the_file_holds_every_row_with_every_figure(report: Reporter) -> None:
    _, recorder = report(format="csv", report_type="annual", group_by="month")
    lines = list(csv.DictReader(io.StringIO(recorder.content.decode(), newline="")))
    assert len(lines) == len(recorder.rows) == 48
    for line, row in zip(lines, recorder.rows, strict=True):
        assert [line[name] for name in ("period", "start", "end")] == [
            row[name] for name in ("period", "start", "end")
        ]
        assert int(line["records"]) == row["records"]
        for name, found in row["numbers"].items():
            assert {figure: float(line[f"{name}_{figure}"]) for figure in found} == found
        counts = {k.removeprefix("weather="): int(v) for k, v in line.items() if "=" in k}
        assert {value: n for value, n in counts.items() if n} == row["categories"]["weather"]


def test_sums_are_exact_where_doubles_would_not_be(report: Reporter) -> None:
    values = ["0.1"] * 10 + ["1e16", "1", "-1e16", "1e-30"]
    source = report.source("day,x\n" + "".join(f"2020-01-01,{value}\n" for value in values))
    result, _ = report(format="csv", report_type="monthly", source=source)
    assert result.summary.numbers["x"].sum == 2.0
    assert result.summary.numbers["x"].mean == float(Fraction(sum(map(Fraction, values))) / 14)


def test_missing_values_are_not_counted(report: Reporter) -> None:
    source = report.source("date,x,kind\n2020-01-01,,a\n2020-01-02,NA,\n2020-01-03, 4 , a\n")
    _, recorder = report(format="csv", report_type="monthly", source=source)
    nothing = {"count": 0, "sum": 0.0, "mean": None, "min": None, "max": None}
    assert [row["numbers"]["x"] for row in recorder.rows[:2]] == [nothing, nothing]
    assert recorder.rows[2]["numbers"]["x"]["sum"] == 4.0
    assert [row["categories"]["kind"] for row in recorder.rows] == [{"a": 1}, {}, {"a": 1}]


def test_disorder_between_two_batches_is_seen_as_well(report: Reporter) -> None:
    later = "2020-01-02,1\n" * BATCH_RECORDS
    source = report.source(f"date,x\n{later}2020-01-01,1\n")
    _, recorder = report(format="csv", report_type="monthly", source=source)
    found = [(row["start"], row["records"]) for row in recorder.rows]
    assert found == [("2020-01-01", 1), ("2020-01-02", BATCH_RECORDS)]
