# SPDX-License-Identifier: Apache-2.0
"""What is refused before a source is looked at, and where the refusal points."""

from typing import Any

import pytest
from conftest import Runner

D, C, A, N, T = "describe", "clean", "aggregate", "anomalies", "transform"
STEP = {"step": "filter", "where": "x > 1"}


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        ({}, ()),
        ({"pipeline": "guess"}, ()),
        ({"pipeline": D, "source": ""}, (D, "source")),
        ({"pipeline": D, "threshold": 3}, (D, "threshold")),
        ({"pipeline": D, "columns": []}, (D, "columns")),
        ({"pipeline": D, "columns": ["a", "a"]}, (D, "columns")),
        ({"pipeline": D, "columns": [""]}, (D, "columns", 0)),
        ({"pipeline": D, "quantiles": [0.5, 1.5]}, (D, "quantiles", 1)),
        ({"pipeline": D, "top": -1}, (D, "top")),
        ({"pipeline": C, "missing": "zero"}, (C, "missing")),
        ({"pipeline": C, "missing_by_column": {"x": 0}}, (C, "missing_by_column", "x")),
        ({"pipeline": C, "types": {"x": "empty"}}, (C, "types", "x")),
        ({"pipeline": C, "invalid": "keep"}, (C, "invalid")),
        ({"pipeline": C, "duplicates": "some"}, (C, "duplicates")),
        ({"pipeline": C, "duplicates_by": []}, (C, "duplicates_by")),
        ({"pipeline": C, "output": "none"}, (C, "output")),
        ({"pipeline": A, "group_by": "x"}, (A, "group_by")),
        ({"pipeline": A, "group_by": ["x", "x"]}, (A, "group_by")),
        ({"pipeline": A, "time": {"column": "x"}}, (A, "time", "size")),
        ({"pipeline": A, "time": {"column": "x", "size": "hour"}}, (A, "time", "size")),
        ({"pipeline": A, "time": {"size": "day"}}, (A, "time", "column")),
        ({"pipeline": A, "measures": {"x": []}}, (A, "measures", "x")),
        ({"pipeline": A, "measures": {"x": ["mode"]}}, (A, "measures", "x", 0)),
        ({"pipeline": N}, (N, "value")),
        ({"pipeline": N, "value": "x", "period": 0}, (N, "period")),
        ({"pipeline": N, "value": "x", "period": 1_501}, (N, "period")),
        ({"pipeline": N, "value": "x", "threshold": 0}, (N, "threshold")),
        ({"pipeline": N, "value": "x", "position": "hour"}, (N, "position")),
        ({"pipeline": N, "value": "x", "position": "day"}, (N,)),
        ({"pipeline": N, "value": "x", "date": ""}, (N, "date")),
        ({"pipeline": T}, (T, "steps")),
        ({"pipeline": T, "steps": []}, (T, "steps")),
        ({"pipeline": T, "steps": [STEP] * 51}, (T, "steps")),
        ({"pipeline": T, "steps": [STEP, {"step": "drop"}]}, (T, "steps", 1)),
        ({"pipeline": T, "steps": [{"step": "rename"}]}, (T, "steps", 0, "rename", "columns")),
        (
            {"pipeline": T, "steps": [{"step": "rename", "columns": {}}]},
            (T, "steps", 0, "rename", "columns"),
        ),
        (
            {"pipeline": T, "steps": [STEP, {"step": "filter", "where": "x >"}]},
            (T, "steps", 1, "filter", "where"),
        ),
        (
            {"pipeline": T, "steps": [STEP | {"where": "x" * 1_001}]},
            (T, "steps", 0, "filter", "where"),
        ),
        (
            {"pipeline": T, "steps": [{"step": "derive", "expression": "x"}]},
            (T, "steps", 0, "derive", "column"),
        ),
        ({"pipeline": T, "steps": [STEP], "output": "pdf"}, (T, "output")),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_with_its_place(
    process: Runner[Any], payload: dict[str, Any], place: tuple[int | str, ...]
) -> None:
    found, _ = process.refusal(**payload)
    assert found == place


def test_a_bad_expression_says_at_which_character(process: Runner[Any]) -> None:
    steps = [{"step": "filter", "where": "x > os.sep"}]
    _, says = process.refusal(pipeline="transform", steps=steps)
    assert says == "Value error, at character 5: a dot after a value has no meaning here"


PIPELINES: list[dict[str, Any]] = [
    {"pipeline": D},
    {"pipeline": C},
    {"pipeline": A},
    {"pipeline": N, "value": "x"},
    {"pipeline": T, "steps": [STEP]},
]


@pytest.mark.parametrize("payload", PIPELINES, ids=str)
def test_sources_are_those_of_the_data_folder_alone(
    process: Runner[Any], payload: dict[str, Any]
) -> None:
    outside = process.data.parent / "secret.csv"
    outside.write_text("x\n1\n")
    (process.data / "linked.csv").symlink_to(outside)
    for name in ("../secret.csv", str(outside), "linked.csv"):
        assert process.failure(**payload, source=name).code == "SOURCE_NOT_ALLOWED"
    assert process.failure(**payload, source="no.csv").code == "SOURCE_NOT_FOUND"


@pytest.mark.parametrize("payload", PIPELINES, ids=str)
def test_bad_content_is_named_with_its_line_before_anything_goes_out(
    process: Runner[Any], payload: dict[str, Any]
) -> None:
    source = process.source("x\n" + "1\n" * 2_000 + "1,2\n")
    refused = process.failure(**payload, source=source)
    assert (refused.code, refused.details) == ("BAD_SOURCE", {"line": 2_002, "column": None})
