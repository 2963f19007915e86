# SPDX-License-Identifier: Apache-2.0
"""Anomalies against those that the module statistics finds, and where a MAD says nothing."""

import csv
import math
import statistics
from collections import defaultdict
from datetime import date, timedelta
from typing import Any

import pytest
from conftest import Runner

from longcall_demo.process import anomalies
from longcall_demo.sources.folder import find_source


def expected(
    series: list[tuple[int, float]], period: int, threshold: float
) -> list[tuple[int, float, float]]:
    """(record, median, score) of those whose score is the threshold or more."""
    places: dict[int, list[float]] = defaultdict(list)
    for place, value in series:
        places[place % period].append(value)
    found = []
    for record, (place, value) in enumerate(series, start=1):
        values = places[place % period]
        median = statistics.median(values)
        mad = statistics.median([abs(v - median) for v in values])
        unit = mad / statistics.NormalDist().inv_cdf(0.75)
        if mad and abs(value - median) / unit >= threshold:
            found.append((record, median, (value - median) / unit))
    return found


@pytest.mark.parametrize(("period", "threshold"), [(1, 2.0), (7, 2.2), (365, 6.0)])
def test_anomalies_of_the_weather_are_those_of_a_plain_count(
    process: Runner[Any], period: int, threshold: float
) -> None:
    with find_source(None).open(newline="") as file:
        lines = list(csv.DictReader(file))
    series = [(index, float(line["temp_min"])) for index, line in enumerate(lines)]
    plain = expected(series, period, threshold)
    result, recorder = process(
        pipeline="anomalies",
        value="temp_min",
        date="date",
        period=period,
        threshold=threshold,
    )
    assert len(plain) > 3
    assert [row["record"] for row in recorder.rows] == [record for record, _, _ in plain]
    for row, (record, median, score) in zip(recorder.rows, plain, strict=True):
        assert row["expected"] == median
        assert row["score"] == pytest.approx(score, rel=1e-12)
        assert row["value"] == series[record - 1][1]
        assert row["date"] == lines[record - 1]["date"]
        assert row["position"] == (record - 1) % period
    assert (result.records, result.values, result.anomalies) == (1461, 1461, len(plain))
    assert len(result.seasons) == period


def weekly(values: dict[int, float], weeks: int = 8) -> str:
    """Days of whole weeks from a Monday: Sundays are 100 ± 2, others 10 ± 1, but for `values`."""
    lines = []
    for number in range(7 * weeks):
        usual = 100 + 2 * (number // 7 % 3 - 1) if number % 7 == 6 else 10 + number // 7 % 3 - 1
        day = date(2024, 1, 1) + timedelta(days=number)
        lines.append(f"{day},{values.get(number, usual)}\n")
    return "day,x\n" + "".join(lines)


def test_a_value_usual_for_its_position_is_none_and_one_usual_elsewhere_is(
    process: Runner[Any],
) -> None:
    source = process.source(weekly({20: 10, 22: 100}))  # a Sunday and a Tuesday
    _, recorder = process(pipeline="anomalies", source=source, value="x", date="day")
    assert [(row["record"], row["position"]) for row in recorder.rows] == [(21, 6), (23, 1)]
    assert recorder.rows[0]["expected"] == 99
    assert recorder.rows[0]["score"] < -3.5 < 3.5 < recorder.rows[1]["score"]


def test_by_days_a_gap_moves_nothing_and_the_order_does_not_matter(process: Runner[Any]) -> None:
    head, *lines = weekly({20: 10, 22: 100}).splitlines()
    kept = [line for number, line in enumerate(lines) if number not in (3, 17, 40)]
    shuffled = [kept[0], *reversed(kept[1:])]
    source = process.source("\n".join([head, *shuffled]))
    payload = {"pipeline": "anomalies", "source": source, "value": "x", "date": "day"}
    _, recorder = process(**payload, position="day")
    assert sorted((row["date"], row["position"]) for row in recorder.rows) == [
        ("2024-01-21", 6),
        ("2024-01-23", 1),
    ]
    assert process.failure(**payload).code == "SOURCE_UNSORTED"


def test_where_the_mad_is_0_the_mean_absolute_deviation_takes_its_place(
    process: Runner[Any],
) -> None:
    values = [5.0] * 9 + [6.0]
    source = process.source("x\n" + "\n".join(map(str, values)))
    result, recorder = process(pipeline="anomalies", source=source, value="x", period=1)
    [season] = result.seasons
    unit = math.sqrt(math.pi / 2) * 0.1
    assert (season.mad, season.scale) == (0, "mean_ad")
    assert season.unit == pytest.approx(unit, rel=1e-12)
    [row] = recorder.rows
    assert (row["record"], row["expected"]) == (10, 5)
    assert row["score"] == pytest.approx(1 / unit, rel=1e-12)


def test_where_all_values_are_alike_or_missing_there_is_no_anomaly(process: Runner[Any]) -> None:
    source = process.source("n,x\n1,5\n2,NA\n3,5\n4,\n")
    result, recorder = process(
        pipeline="anomalies", source=source, value="x", period=2, threshold=0.001
    )
    assert recorder.rows == []
    alike, nothing = result.seasons
    assert (alike.count, alike.median, alike.mad, alike.scale) == (2, 5, 0, "none")
    assert (nothing.count, nothing.median, nothing.mad, nothing.unit) == (0, None, None, None)
    assert (result.records, result.values, result.anomalies) == (4, 2, 0)


def test_columns_that_are_not_there_or_hold_something_else_are_named(
    process: Runner[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert process.failure(pipeline="anomalies", value="no").code == "UNKNOWN_COLUMN"
    assert process.failure(pipeline="anomalies", value="wind", date="no").code == "UNKNOWN_COLUMN"
    refused = process.failure(pipeline="anomalies", value="weather")
    assert refused.details == {"line": 2, "column": "weather"}
    refused = process.failure(pipeline="anomalies", value="wind", date="weather")
    assert refused.details == {"line": 2, "column": "weather"}
    monkeypatch.setattr(anomalies, "MAX_VALUES", 1_460)
    assert process.failure(pipeline="anomalies", value="wind").code == "SOURCE_TOO_LARGE"
