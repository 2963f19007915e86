# SPDX-License-Identifier: Apache-2.0
"""What `clean` makes, and what it says that it did."""

import csv
import io
import statistics
from fractions import Fraction
from typing import Any

import pytest
from conftest import Runner

from longcall_demo.process import clean

DIRTY = (
    "id,when,size,word\n"
    "1, 2020/1/2 ,10,red\n"
    "2,2020-01-03T10:00,NA,\n"
    "1,2020-01-02,10.0,red\n"  # the first again
    "3,,x1,blue\n"
    "4,2020-01-05,40, green\n"
    "5,2020-01-06,25,red\n"
)


def lines(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def changes(result: Any, column: str) -> dict[str, Any]:
    [found] = [c for c in result.columns if c.column == column]
    dumped: dict[str, Any] = found.model_dump(mode="json")
    return dumped


def test_cells_are_trimmed_typed_and_written_in_one_way(process: Runner[Any]) -> None:
    result, recorder = process(pipeline="clean", source=process.source(DIRTY))
    assert recorder.rows == [
        {"id": 1, "when": "2020-01-02", "size": 10, "word": "red"},
        {"id": 2, "when": "2020-01-03T10:00", "size": None, "word": None},
        {"id": 3, "when": None, "size": None, "word": "blue"},
        {"id": 4, "when": "2020-01-05", "size": 40, "word": "green"},
        {"id": 5, "when": "2020-01-06", "size": 25, "word": "red"},
    ]
    texts = {name: "" if v is None else str(v) for name, v in recorder.rows[1].items()}
    assert lines(recorder.content)[1] == texts
    assert (result.records, result.kept, result.dropped_duplicates) == (6, 5, 1)
    assert (result.dropped_invalid, result.dropped_missing) == (0, 0)
    assert changes(result, "when") == {
        "column": "when",
        "type": "date",
        "trimmed": 1,
        "rewritten": 1,
        "invalid": 0,
        "invalid_examples": [],
        "missing": 1,
        "filled": 0,
        "filled_with": None,
    }
    size = changes(result, "size")
    assert (size["type"], size["invalid"], size["invalid_examples"]) == ("number", 1, ["x1"])
    assert size["missing"] == 2
    assert changes(result, "word")["trimmed"] == 1
    assert result.file.name == "records-cleaned.csv"
    assert result.file.bytes == len(recorder.content)


def test_an_invalid_cell_drops_its_record_or_fails_where_that_is_asked(
    process: Runner[Any],
) -> None:
    source = process.source(DIRTY)
    result, recorder = process(pipeline="clean", source=source, invalid="drop")
    assert [row["id"] for row in recorder.rows] == [1, 2, 4, 5]
    assert result.dropped_invalid == 1
    refused = process.failure(pipeline="clean", source=source, invalid="fail")
    assert (refused.code, refused.details) == ("BAD_SOURCE", {"line": 5, "column": "size"})


def test_a_type_that_is_asked_for_holds_against_what_most_values_are(
    process: Runner[Any],
) -> None:
    source = process.source(DIRTY)
    result, recorder = process(pipeline="clean", source=source, types={"size": "text"})
    assert [row["size"] for row in recorder.rows] == ["10", None, "10.0", "x1", "40", "25"]
    assert changes(result, "size")["type"] == "text"
    assert result.dropped_duplicates == 0  # as texts, 10 and 10.0 differ


def test_duplicates_stay_or_are_told_by_some_columns(process: Runner[Any]) -> None:
    source = process.source(DIRTY)
    result, _ = process(pipeline="clean", source=source, duplicates="keep")
    assert (result.kept, result.dropped_duplicates) == (6, 0)
    result, recorder = process(pipeline="clean", source=source, duplicates_by=["word"])
    assert [row["word"] for row in recorder.rows] == ["red", None, "blue", "green"]
    assert result.dropped_duplicates == 2


@pytest.mark.parametrize(("rule", "figure"), [("mean", statistics.mean), ("median", None)])
def test_missing_numbers_become_the_mean_or_median_of_what_is_left(
    process: Runner[Any], rule: str, figure: Any
) -> None:
    source = process.source(DIRTY)
    result, recorder = process(pipeline="clean", source=source, missing=rule)
    left = [Fraction(10), Fraction(40), Fraction(25)]  # without the duplicate
    expected = float((figure or statistics.median)(left))
    assert [row["size"] for row in recorder.rows] == [10, expected, expected, 40, 25]
    size = changes(result, "size")
    assert (size["filled"], size["filled_with"]) == (2, expected)
    assert recorder.rows[1]["word"] is None  # other columns keep what is missing
    assert [float(line["size"]) for line in lines(recorder.content)][1] == expected


def test_missing_cells_take_the_value_before_them(process: Runner[Any]) -> None:
    text = "a,b\n,1\n5,\n,\n6,2\n"
    _, recorder = process(pipeline="clean", source=process.source(text), missing="previous")
    assert recorder.rows == [
        {"a": None, "b": 1},
        {"a": 5, "b": 1},
        {"a": 5, "b": 1},
        {"a": 6, "b": 2},
    ]


def test_records_with_a_missing_cell_are_dropped_by_column(process: Runner[Any]) -> None:
    source = process.source(DIRTY)
    result, recorder = process(
        pipeline="clean", source=source, missing="mean", missing_by_column={"when": "drop"}
    )
    assert [row["id"] for row in recorder.rows] == [1, 2, 4, 5]
    assert (result.kept, result.dropped_missing) == (4, 1)
    refused = process.failure(pipeline="clean", source=source, missing_by_column={"word": "median"})
    assert (refused.code, refused.details) == ("BAD_RULE", {"column": "word", "type": "text"})


@pytest.mark.parametrize("output", ["chunks", "file", "both"])
def test_the_records_go_where_they_are_asked_to(process: Runner[Any], output: str) -> None:
    source = process.source(DIRTY)
    result, recorder = process(pipeline="clean", source=source, output=output)
    assert bool(recorder.chunks) == (output != "file")
    assert bool(recorder.files) == (output != "chunks") == (result.file is not None)
    assert result.kept == 5


def test_many_records_take_many_chunks(process: Runner[Any]) -> None:
    source = process.source("n\n" + "".join(f"{n}\n" for n in range(1_700)))
    _, recorder = process(pipeline="clean", source=source)
    assert [len(chunk) for chunk in recorder.chunks] == [500, 500, 500, 200]
    assert [row["n"] for row in recorder.rows] == list(range(1_700))
    assert recorder.percentages[-1] == 100


def test_what_would_not_fit_in_memory_is_refused(
    process: Runner[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = process.source(DIRTY)
    monkeypatch.setattr(clean, "MAX_MEDIAN_VALUES", 2)
    refused = process.failure(pipeline="clean", source=source, missing="median")
    assert refused.code == "SOURCE_TOO_LARGE"
    monkeypatch.setattr(clean, "MAX_RECORDS", 3)
    assert process.failure(pipeline="clean", source=source).code == "SOURCE_TOO_LARGE"


@pytest.mark.parametrize(
    "payload",
    [{"types": {"no": "text"}}, {"missing_by_column": {"no": "drop"}}, {"duplicates_by": ["no"]}],
    ids=str,
)
def test_a_column_that_is_not_there_is_named(process: Runner[Any], payload: dict[str, Any]) -> None:
    refused = process.failure(pipeline="clean", source=process.source(DIRTY), **payload)
    assert refused.code == "UNKNOWN_COLUMN"
    assert refused.details == {"column": "no", "columns": ["id", "when", "size", "word"]}
