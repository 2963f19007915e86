# SPDX-License-Identifier: Apache-2.0
"""Killed after any of its chunks, a pipeline goes on: every row once, the same file and result."""

from datetime import date
from typing import Any

import pytest
from conftest import Killed, Runner

from longcall_demo.make_csv import records
from longcall_server import HandlerError

pytestmark = pytest.mark.slow  # whole pipelines, many times over

SALES = {"source": "sales.csv"}
CASES: list[dict[str, Any]] = [
    {"pipeline": "describe"} | SALES,
    {"pipeline": "clean", "missing": "median"} | SALES,
    {"pipeline": "clean", "output": "chunks", "duplicates_by": ["units", "price"]} | SALES,
    {
        "pipeline": "aggregate",
        "group_by": ["region", "channel"],
        "time": {"column": "timestamp", "size": "day"},
        "measures": {"price": ["sum", "median"]},
    }
    | SALES,
    {"pipeline": "anomalies", "value": "units", "period": 4, "threshold": 0.5} | SALES,
    {
        "pipeline": "transform",
        "steps": [
            {"step": "filter", "where": "units > 0"},
            {"step": "derive", "column": "total", "expression": "units * price"},
        ],
    }
    | SALES,
]


@pytest.fixture(autouse=True)
def sales(process: Runner[Any]) -> None:
    process.source("".join(records(2_500, 1, date(2019, 9, 1), 200, shuffle=False)), "sales.csv")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_resumed_after_each_chunk_it_emits_the_rest_and_makes_the_same_file(
    process: Runner[Any], case: dict[str, Any]
) -> None:
    unbroken = process.resumed_everywhere(**case)
    assert len(unbroken.chunks) >= 3
    assert bool(unbroken.files) == (
        case["pipeline"] in ("clean", "transform") and case.get("output") != "chunks"
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_cancel_is_seen_at_the_next_step_wherever_it_comes(
    process: Runner[Any], case: dict[str, Any]
) -> None:
    process.cancelled_everywhere(**case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_progress_only_grows_and_ends_at_100(process: Runner[Any], case: dict[str, Any]) -> None:
    _, recorder = process(**case)
    assert recorder.percentages == sorted(recorder.percentages)
    assert recorder.percentages[-1] == 100


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_source_that_changed_between_two_attempts_is_refused(
    process: Runner[Any], case: dict[str, Any]
) -> None:
    first = process.recorder()
    first.kill_after = 1
    with pytest.raises(Killed):
        process.run(case, first)
    with (process.data / "sales.csv").open("a") as file:
        file.write("2030-01-01T00:00:00,north,shop,1,1.00,1.0\n")
    second = process.recorder(first.checkpoints[-1])
    with pytest.raises(HandlerError) as failed:
        process.run(case, second)
    assert (failed.value.code, failed.value.retryable) == ("SOURCE_CHANGED", False)
    assert second.chunks == []


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_source_written_into_meanwhile_is_refused(
    process: Runner[Any], case: dict[str, Any]
) -> None:
    recorder = process.recorder()

    def append(_: object) -> bool:
        if recorder.looks_at_cancelled == 1:
            with (process.data / "sales.csv").open("a") as file:
                file.write("2030-01-01T00:00:00,north,shop,1,1.00,1.0\n")
        return False

    recorder.cancel_when = append
    with pytest.raises(HandlerError) as failed:
        process.run(case, recorder)
    assert failed.value.code == "SOURCE_CHANGED"
