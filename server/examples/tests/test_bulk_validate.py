# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest
from conftest import Runner

from longcall_demo.bulk import validate
from longcall_demo.bulk.params import BulkResult

Bulk = Runner[BulkResult]


def problems(bulk: Bulk, text: str, name: str, **held: Any) -> list[tuple[int, str]]:
    """The line and text of each; none for a file that is as it has to be."""
    items = [bulk.source(text, name)]
    _, recorder = bulk(operation="validate", items=items, continue_on_error=True, **held)
    [chunk] = recorder.chunks
    if chunk["ok"]:
        return []
    assert chunk["error"]["code"] == "INVALID"
    found = chunk["error"]["details"]["problems"]
    assert chunk["error"]["message"].startswith(f"line {found[0]['line']}: {found[0]['problem']}")
    return [(problem["line"], problem["problem"]) for problem in found]


CSV = "id,size,when,kind\n1,10,2020-01-01,a\n2,,2020-02-30,b\n2,x1,,abc\n3,99,2020-01-04,\n"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"column": "id"}, []),
        ({"column": "id", "type": "number", "required": True, "min": 1, "max": 3}, []),
        ({"column": "size", "required": True}, [(3, "a value is required")]),
        ({"column": "size", "type": "number"}, [(4, "'x1' is not a number")]),
        ({"column": "when", "type": "date"}, [(3, "'2020-02-30' is not a date")]),
        ({"column": "id", "unique": True}, [(4, "'2' comes again")]),
        ({"column": "id", "type": "number", "min": 2}, [(2, "1 is below 2")]),
        ({"column": "id", "type": "number", "max": 2.5}, [(5, "3 is above 2.5")]),
        ({"column": "kind", "one_of": ["a", "b"]}, [(4, "'abc' is none of the values allowed")]),
        ({"column": "kind", "max_length": 2}, [(4, "'abc' has 3 characters, 2 are allowed")]),
    ],
    ids=str,
)
def test_each_rule_finds_the_cells_that_break_it(
    bulk: Bulk, rule: dict[str, Any], expected: list[tuple[int, str]]
) -> None:
    column = rule["column"]
    named = [(line, f"column {column!r}: {problem}") for line, problem in expected]
    assert problems(bulk, CSV, "x.csv", rules=[rule]) == named


def test_problems_of_several_rules_come_in_the_order_of_lines(bulk: Bulk) -> None:
    rules = [
        {"column": "kind", "required": True},
        {"column": "size", "type": "number"},
        {"column": "id", "unique": True},
    ]
    assert [line for line, _ in problems(bulk, CSV, "x.csv", rules=rules)] == [4, 4, 5]


def test_a_column_that_is_not_there_is_a_problem_of_the_header(bulk: Bulk) -> None:
    found = problems(bulk, CSV, "x.csv", rules=[{"column": "id"}, {"column": "no"}])
    assert found == [(1, "there is no column 'no'")]


def test_of_many_problems_the_first_are_listed(bulk: Bulk) -> None:
    items = [bulk.source("n\n" + "x\n" * 3_000, "x.csv")]
    rules = [{"column": "n", "type": "number"}]
    refused = bulk.failure(operation="validate", items=items, rules=rules)
    assert isinstance(refused.details, dict)
    details: Any = refused.details["details"]
    assert [problem["line"] for problem in details["problems"]] == list(range(2, 22))
    assert details["more"] is True
    assert "(and 19+ more)" in refused.message


def test_what_is_valid_says_how_many_records_it_has(bulk: Bulk) -> None:
    items = [
        bulk.source("n\n" + "1\n" * 1_234, "x.csv"),
        bulk.source("n\n", "empty.csv"),
    ]
    _, recorder = bulk(operation="validate", items=items, rules=[{"column": "n"}])
    assert [chunk["output"] for chunk in recorder.chunks] == [{"records": 1_234}, {"records": 0}]


def test_unique_values_that_do_not_fit_in_memory_are_refused(
    bulk: Bulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validate, "MAX_UNIQUE", 2)
    items = [bulk.source("n\n1\n2\n3\n", "x.csv")]
    rules = [{"column": "n", "unique": True}]
    refused = bulk.failure(operation="validate", items=items, rules=rules)
    assert isinstance(refused.details, dict)
    assert refused.details["code"] == "SOURCE_TOO_LARGE"


SCHEMA = {
    "type": "object",
    "required": ["n"],
    "properties": {
        "n": {"type": "integer", "maximum": 10},
        "word": {"type": "string", "pattern": "^(a+)+$"},
        "x/y": {"type": "array", "items": {"type": "null"}},
    },
}


def test_each_line_is_held_against_the_schema(bulk: Bulk) -> None:
    text = (
        '{"n": 1, "word": "aaa"}\n{"word": "a"}\n\n{"n": 11, "x/y": [null, 1]}\n5\n'
        '{"n": 10000000000000000000000}\n{"n": 2.0}\n'
    )
    found = problems(bulk, text, "x.jsonl", schema=SCHEMA)
    assert [line for line, _ in found] == [2, 4, 4, 5, 6]
    places = [problem.partition(":")[0] for _, problem in found]
    assert places == ["the top", "/n", "/x~1y/1", "the top", "/n"]


def test_a_json_file_is_one_document_of_many_lines(bulk: Bulk) -> None:
    assert problems(bulk, '{\n  "n":\n  1\n}\n', "x.json", schema=SCHEMA) == []
    [(line, problem)] = problems(bulk, '{\n "n": 12}', "x.json", schema=SCHEMA)
    assert (line, problem.partition(":")[0]) == (1, "/n")


def test_a_pattern_made_to_take_for_ever_takes_no_time(bulk: Bulk) -> None:
    text = '{"n": 1, "word": "' + "a" * 100_000 + 'b"}\n'
    [(line, problem)] = problems(bulk, text, "x.jsonl", schema=SCHEMA)
    assert (line, problem.partition(":")[0]) == (1, "/word")


@pytest.mark.parametrize("held", [True, {}], ids=str)
def test_a_schema_that_allows_everything_still_needs_json(bulk: Bulk, held: Any) -> None:
    assert problems(bulk, "1\n[]\n", "x.jsonl", schema=held) == []
    bad = [("1\n{\n", 2), ('{"a": 1e999}\n', 1), ("[" * 70 + "]" * 70, 1), ('"\\ud800"', 1)]
    for text, line in bad:
        items = [bulk.source(text, "x.jsonl")]
        refused = bulk.failure(operation="validate", items=items, schema=held)
        assert isinstance(refused.details, dict)
        assert refused.details["code"] == "BAD_SOURCE"
        assert refused.details["details"] == {"line": line, "column": None}


def test_a_json_file_that_is_too_large_is_refused(
    bulk: Bulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longcall_demo.bulk.documents.MAX_DOCUMENT_BYTES", 10)
    items = [bulk.source('"0123456789"', "x.json")]
    refused = bulk.failure(operation="validate", items=items, schema=True)
    assert "over 10 bytes" in refused.message
