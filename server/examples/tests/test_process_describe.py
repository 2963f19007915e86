# SPDX-License-Identifier: Apache-2.0
"""Descriptions against those of the modules csv and statistics."""

import csv
import statistics
from collections import Counter
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from conftest import Recorder, Runner

from longcall_demo.make_csv import records
from longcall_demo.process import describe
from longcall_demo.sources.folder import find_source


def columns(path: Path) -> dict[str, list[str]]:
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    return {name: [line[name] for line in lines] for name in lines[0]}


def described(recorder: Recorder) -> dict[str, dict[str, Any]]:
    return {row["column"]: row for row in recorder.rows}


def numbers(texts: list[str]) -> dict[str, Any]:
    values = [Fraction(text) for text in texts]
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return {
        "min": float(min(values)),
        "max": float(max(values)),
        "mean": float(statistics.mean(values)),
        "median": float(statistics.median(values)),
        "std": statistics.stdev(values),
        "quantiles": {
            "0.0": float(min(values)),
            "0.05": float(cuts[0]),
            "0.5": float(statistics.median(values)),
            "0.95": float(cuts[18]),
        },
    }


def test_numbers_dates_and_words_of_the_weather_are_those_of_a_plain_count(
    process: Runner[Any],
) -> None:
    result, recorder = process(pipeline="describe", quantiles=[0, 0.05, 0.5, 0.95], top=3)
    plain = columns(find_source(None))
    rows = described(recorder)
    assert list(rows) == result.columns == list(plain)
    assert result.records == len(plain["date"]) == 1461
    for name in ("precipitation", "temp_max", "temp_min", "wind"):
        row = rows[name]
        assert (row["type"], row["count"], row["missing"], row["invalid"]) == ("number", 1461, 0, 0)
        assert row["number"] == numbers(plain[name])
        assert row["distinct"] == len(set(map(Fraction, plain[name])))
    days = sorted(text.replace("/", "-") for text in plain["date"])
    assert rows["date"]["date"] == {"first": days[0], "last": days[-1], "days": len(set(days))}
    counted = Counter(plain["weather"]).most_common(3)
    assert rows["weather"]["top"] == [{"value": v, "count": n} for v, n in counted]
    assert rows["weather"]["distinct"] == 5
    assert len(recorder.chunks) == len(plain)


def test_sales_of_many_records_as_well(process: Runner[Any]) -> None:
    source = process.source("".join(records(3_000, 5, date(2020, 1, 1), 50, shuffle=True)))
    _, recorder = process(pipeline="describe", source=source, quantiles=[0, 0.05, 0.5, 0.95])
    plain = columns(process.data / source)
    rows = described(recorder)
    for name in ("units", "price", "temperature"):
        assert rows[name]["number"] == numbers(plain[name])
    assert rows["timestamp"]["distinct"] == len(set(plain["timestamp"]))
    assert rows["timestamp"]["date"]["days"] == 50


def test_what_is_missing_or_of_another_type_has_no_part_in_the_figures(
    process: Runner[Any],
) -> None:
    source = process.source(
        "x,when,word,nothing\n1,2020-01-01, b ,\n1.0,2020-02-30,a,NA\n,,a,\n"
        "oops,2020/1/3,,null\n3,2020-01-03,b,\n"
    )
    _, recorder = process(pipeline="describe", source=source)
    rows = described(recorder)
    x, when, word, nothing = (rows[name] for name in ("x", "when", "word", "nothing"))
    assert (x["type"], x["count"], x["missing"], x["distinct"]) == ("number", 4, 1, 3)
    assert (x["invalid"], x["invalid_examples"]) == (1, ["oops"])
    assert x["number"]["mean"] == float(Fraction(5, 3))
    assert x["number"]["std"] == statistics.stdev([1, 1, 3])
    assert (when["type"], when["invalid_examples"]) == ("date", ["2020-02-30"])
    assert when["date"] == {"first": "2020-01-01", "last": "2020-01-03", "days": 2}
    assert word["top"] == [{"value": "a", "count": 2}, {"value": "b", "count": 2}]
    assert (nothing["type"], nothing["count"], nothing["missing"]) == ("empty", 0, 5)
    assert nothing["number"] is nothing["date"] is nothing["top"] is None


def test_figures_are_exact_where_doubles_would_not_be(process: Runner[Any]) -> None:
    texts = ["0.1"] * 10 + ["1e16", "1", "-1e16", "1e-30", "9e99", "-9e99"]
    source = process.source("x\n" + "\n".join(texts))
    _, recorder = process(pipeline="describe", source=source, quantiles=[0, 0.05, 0.5, 0.95])
    assert described(recorder)["x"]["number"] == numbers(texts)
    _, recorder = process(pipeline="describe", source=process.source("x\n7\n"))
    assert described(recorder)["x"]["number"]["std"] is None


def test_only_the_columns_asked_for_in_the_order_asked_for(process: Runner[Any]) -> None:
    result, recorder = process(pipeline="describe", columns=["wind", "date"])
    assert [row["column"] for row in recorder.rows] == result.columns == ["wind", "date"]


def test_columns_that_do_not_fit_in_memory_together_take_more_passes(
    process: Runner[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, recorder = process(pipeline="describe")
    monkeypatch.setattr(describe, "MAX_DISTINCT", 1_500)
    again, slowly = process(pipeline="describe")
    assert (again, slowly.rows) == (whole, recorder.rows)
    assert slowly.percentages == sorted(slowly.percentages)
    monkeypatch.setattr(describe, "MAX_DISTINCT", 1_460)
    refused = process.failure(pipeline="describe")
    assert refused.code == "SOURCE_TOO_LARGE"
    assert "'date'" in refused.message
