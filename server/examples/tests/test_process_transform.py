# SPDX-License-Identifier: Apache-2.0
import csv
import io
from typing import Any

import pytest
from conftest import Runner

from longcall_demo.sources.folder import find_source


def lines(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def transformed(process: Runner[Any], text: str, *steps: dict[str, Any]) -> tuple[Any, Any]:
    return process(pipeline="transform", source=process.source(text), steps=list(steps))


def derive(column: str, expression: str) -> dict[str, Any]:
    return {"step": "derive", "column": column, "expression": expression}


def where(expression: str) -> dict[str, Any]:
    return {"step": "filter", "where": expression}


def rename(**columns: str) -> dict[str, Any]:
    return {"step": "rename", "columns": columns}


def test_the_weather_transformed_is_what_plain_python_makes_of_it(process: Runner[Any]) -> None:
    result, recorder = process(
        pipeline="transform",
        steps=[
            rename(temp_max="high", temp_min="low"),
            where('weather in ("rain", "snow") and precipitation > 10'),
            derive("span", "round(high - low, 1)"),
            derive("cold", "low < 0"),
            where("span >= 5 or cold"),
            derive("month", "month(date)"),
        ],
    )
    expected = []
    with find_source(None).open(newline="") as file:
        for line in csv.DictReader(file):
            high, low = float(line["temp_max"]), float(line["temp_min"])
            span, cold = round(high - low, 1), low < 0
            wet = line["weather"] in ("rain", "snow") and float(line["precipitation"]) > 10
            if wet and (span >= 5 or cold):
                expected.append(
                    {
                        "date": line["date"],
                        "precipitation": float(line["precipitation"]),
                        "high": high,
                        "low": low,
                        "wind": float(line["wind"]),
                        "weather": line["weather"],
                        "span": span,
                        "cold": cold,
                        "month": int(line["date"][5:7]),
                    }
                )
    assert recorder.rows == expected
    assert {type(row["cold"]) for row in recorder.rows} == {bool}
    assert len(expected) > 20
    assert (result.records, result.kept) == (1461, len(expected))
    assert result.columns == {
        "date": "date",
        **dict.fromkeys(("precipitation", "high", "low", "wind"), "number"),
        "weather": "text",
        "span": "number",
        "cold": "boolean",
        "month": "number",
    }
    written = lines(recorder.content)
    assert [line["date"] for line in written] == [row["date"] for row in expected]
    assert [float(line["span"]) for line in written] == [row["span"] for row in expected]
    assert {line["cold"] for line in written} <= {"true", "false"}
    assert result.file.name == "seattle-weather-transformed.csv"


def test_what_is_not_derived_goes_out_as_it_was_written(process: Runner[Any]) -> None:
    text = "n,day,word\n 1.50 ,2020/1/2 10:00,a b\n,NA,none\n"
    _, recorder = transformed(process, text, derive("m", "n * 2"), derive("d", "day"))
    assert recorder.rows == [
        {"n": 1.5, "day": "2020/1/2 10:00", "word": "a b", "m": 3, "d": "2020-01-02"},
        {"n": None, "day": None, "word": None, "m": None, "d": None},
    ]
    assert recorder.content.decode().split("\r\n")[1:3] == [
        "1.50,2020/1/2 10:00,a b,3,2020-01-02",
        ",,,,",
    ]


def test_a_derived_column_takes_the_place_of_one_with_its_name(process: Runner[Any]) -> None:
    _, recorder = transformed(
        process, "a,b\n1,2\n", derive("a", "a + b"), derive("a", 'text(a) + "!"')
    )
    assert recorder.rows == [{"a": "3!", "b": 2}]
    assert list(recorder.rows[0]) == ["a", "b"]


def test_two_columns_can_change_their_names_with_each_other(process: Runner[Any]) -> None:
    _, recorder = transformed(process, "a,b\n1,2\n", rename(a="b", b="a"), where("b == 1"))
    assert recorder.rows == [{"b": 1, "a": 2}]


def test_a_column_with_one_other_value_is_text(process: Runner[Any]) -> None:
    result, recorder = transformed(process, "n\n1\nx\n", derive("m", "coalesce(number(n), 0)"))
    assert result.columns == {"n": "text", "m": "number"}
    assert [row["m"] for row in recorder.rows] == [1, 0]


@pytest.mark.parametrize(
    ("steps", "code", "details"),
    [
        (
            [rename(a="c"), rename(a="d")],
            "UNKNOWN_COLUMN",
            {"step": 1, "column": "a", "columns": ["c", "b"]},
        ),
        ([rename(a="b")], "DUPLICATE_COLUMN", {"step": 0, "column": "b"}),
        ([where("a > 1"), where("b + c > 1")], "BAD_EXPRESSION", {"step": 1, "place": 5}),
        ([where("a + 1")], "BAD_EXPRESSION", {"step": 0, "place": 1}),
        ([rename(a="c"), derive("x", "1 + a")], "BAD_EXPRESSION", {"step": 1, "place": 5}),
        (
            [where("a > 0"), derive("x", "1 + a / b")],
            "EXPRESSION_FAILED",
            {"step": 1, "place": 5, "line": 4},
        ),
    ],
    ids=str,
)
def test_a_step_that_cannot_be_taken_is_named_with_the_place(
    process: Runner[Any], steps: list[dict[str, Any]], code: str, details: dict[str, Any]
) -> None:
    source = process.source("a,b\n1,2\n0,0\n3,0\n")
    refused = process.failure(pipeline="transform", source=source, steps=steps)
    assert (refused.code, refused.details) == (code, details)
    assert f"step {details['step']}" in refused.message


@pytest.mark.parametrize("output", ["chunks", "file", "both"])
def test_the_records_go_where_they_are_asked_to(process: Runner[Any], output: str) -> None:
    result, recorder = process(pipeline="transform", steps=[where("wind > 8")], output=output)
    assert bool(recorder.chunks) == (output != "file")
    assert bool(recorder.files) == (output != "chunks") == (result.file is not None)
    assert result.kept > 0
