# SPDX-License-Identifier: Apache-2.0
import csv
import io
import json
from datetime import date
from typing import Any

import pytest
from conftest import Runner

from longcall_demo.bulk.params import BulkResult
from longcall_demo.make_csv import records

Bulk = Runner[BulkResult]


def converted(bulk: Bulk, text: str | bytes, name: str, **options: Any) -> str:
    _, recorder = bulk(operation="convert", items=[bulk.source(text, name)], **options)
    return recorder.content.decode()


def failure(bulk: Bulk, text: str | bytes, name: str) -> dict[str, Any]:
    details = bulk.failure(operation="convert", items=[bulk.source(text, name)]).details
    assert isinstance(details, dict)
    return details


def test_every_record_of_a_csv_is_an_object_with_its_numbers(bulk: Bulk) -> None:
    text = "".join(records(3_000, 2, date(2022, 5, 1), 20, shuffle=True))
    lines = converted(bulk, text, "sales.csv").splitlines()
    plain = list(csv.DictReader(io.StringIO(text)))
    assert len(lines) == len(plain) == 3_000
    for line, record in zip(lines, plain, strict=True):
        numbers = {name: float(record[name]) for name in ("price", "temperature")}
        assert json.loads(line) == record | numbers | {"units": int(record["units"])}


def test_there_and_back_every_value_is_as_it_was_written(bulk: Bulk) -> None:
    text = "".join(records(2_000, 4, date(2022, 5, 1), 20, shuffle=False))
    lines = converted(bulk, text, "sales.csv")
    assert converted(bulk, lines, "sales.jsonl").replace("\r\n", "\n") == text


def test_only_what_json_writes_as_a_number_becomes_one(bulk: Bulk) -> None:
    text = (
        "a,zeros,plus,exact,gaps,word\n"
        '1,007,+1,0.10000000000000000001,NA," a ""b"" ü"\n'
        "-2.5e3,1,2,1,,\n"
    )
    lines = converted(bulk, text, "x.csv").splitlines()
    assert lines == [
        '{"a": 1, "zeros": "007", "plus": "+1", "exact": 0.10000000000000000001, "gaps": null, '
        '"word": " a \\"b\\" ü"}',
        '{"a": -2.5e3, "zeros": "1", "plus": "2", "exact": 1, "gaps": null, "word": null}',
    ]


def test_the_columns_of_json_lines_are_its_keys_as_they_come(bulk: Bulk) -> None:
    text = (
        '{"b": 1.50, "a": "x,y"}\n\n{"c": true, "a": null, "b": 12345678901234567890123}\n'
        '{"a": "ü", "c": 1e999}'
    )
    assert converted(bulk, text, "x.jsonl").split("\r\n") == [
        "b,a,c",
        '1.50,"x,y",',
        "12345678901234567890123,,true",
        ",ü,1e999",
        "",
    ]


def test_the_form_can_be_said_where_the_ending_does_not(bulk: Bulk) -> None:
    assert converted(bulk, "a\n1\n", "x.txt", to="jsonl") == '{"a": 1}\n'
    assert failure(bulk, "a\n1\n", "x.txt")["code"] == "UNKNOWN_FORMAT"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ('{"a": 1}\n[1]\n', 2, None),
        ('{"a": 1}\n{"a": {"b": 1}}\n', 2, "a"),
        ('{"a": 1}\n\n{"a": [1]}\n', 3, "a"),
        ('{"a": 1}\n{"a": 1\n', 2, None),
        ('{"a": NaN}\n', 1, None),
        ('{"a": "\\ud800"}\n', 1, None),
        (b'{"a": "\xff"}\n', 1, None),
        ('{"a": ' + "[" * 5_000 + "]" * 5_000 + "}\n", 1, None),
        ('{"a": "' + "x" * 1_048_576 + '"}\n', 1, None),
        ("".join(f'{{"k{n}": 1}}\n' for n in range(300)), 257, None),
        ("\n\n", 1, None),
    ],
    ids=[
        "a list",
        "an object in it",
        "a list in it",
        "not whole",
        "NaN",
        "a surrogate",
        "not UTF-8",
        "deep",
        "long",
        "many keys",
        "nothing",
    ],
)
def test_json_lines_that_make_no_table_are_refused_with_their_line(
    bulk: Bulk, text: str | bytes, line: int, column: str | None
) -> None:
    refused = failure(bulk, text, "x.jsonl")
    assert refused["code"] == "BAD_SOURCE"
    assert refused["details"] == {"line": line, "column": column}
