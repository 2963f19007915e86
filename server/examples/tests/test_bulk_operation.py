# SPDX-License-Identifier: Apache-2.0
"""Going through the items: results in order, errors that name them, and going on after a kill."""

import hashlib
from typing import Any

import pytest
from conftest import Killed, Runner

from longcall_demo.bulk.params import BulkResult
from longcall_server import HandlerError

Bulk = Runner[BulkResult]
FILES = {
    "a.csv": "n,word\n1,x\n2,y\n",
    "b.jsonl": '{"n": 1, "word": "x"}\n{"n": 2}\n',
    "bad.csv": "n\n1\n1,2\n",
    "c.csv": "n\n3\n",
    "d.json": '{"n": 5}',
}
GOOD = ["a.csv", "b.jsonl", "c.csv"]
SOME = ["a.csv", "bad.csv", "no.csv", "b.jsonl", "c.csv"]
NUMBERS = {"properties": {"n": {"type": "integer"}}}


@pytest.fixture(autouse=True)
def files(bulk: Bulk) -> None:
    for name, text in FILES.items():
        bulk.source(text, name)


def test_hashes_are_those_of_the_files(bulk: Bulk) -> None:
    names = [*FILES, "a.csv"]
    result, recorder = bulk(operation="hash", items=names)
    assert result.model_dump() == {
        "operation": "hash",
        "items": 6,
        "ok": 6,
        "failed": 0,
    }
    for index, (name, chunk) in enumerate(zip(names, recorder.chunks, strict=True)):
        content = FILES[name].encode()
        output = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        assert (chunk["index"], chunk["item"], chunk["output"]) == (index, name, output)
        assert (chunk["ok"], chunk["error"]) == (True, None)
    assert recorder.percentages[-1] == 100


def test_the_first_bad_item_fails_the_request_by_its_name(bulk: Bulk) -> None:
    recorder = bulk.recorder()
    with pytest.raises(HandlerError) as failed:
        bulk.run({"operation": "convert", "items": SOME}, recorder)
    assert [chunk["item"] for chunk in recorder.chunks] == ["a.csv"]
    error = failed.value
    assert (error.code, error.retryable) == ("ITEM_FAILED", False)
    assert "item 1, 'bad.csv': line 3" in error.message
    assert error.details == {
        "index": 1,
        "item": "bad.csv",
        "code": "BAD_SOURCE",
        "details": {"line": 3, "column": None},
    }


def test_it_goes_on_after_bad_items_where_that_is_asked_and_counts_them(bulk: Bulk) -> None:
    result, recorder = bulk(operation="convert", items=SOME, continue_on_error=True)
    assert (result.items, result.ok, result.failed) == (5, 3, 2)
    assert [chunk["ok"] for chunk in recorder.chunks] == [True, False, False, True, True]
    codes = [chunk["error"] and chunk["error"]["code"] for chunk in recorder.chunks]
    assert codes == [None, "BAD_SOURCE", "SOURCE_NOT_FOUND", None, None]
    assert list(recorder.files) == ["0001-a.jsonl", "0004-b.csv", "0005-c.jsonl"]
    for chunk in recorder.chunks:
        if chunk["ok"]:
            content = recorder.files[chunk["output"]["file"]]
            assert chunk["output"]["sha256"] == hashlib.sha256(content).hexdigest()
            assert chunk["output"]["bytes"] == len(content)


CASES: list[dict[str, Any]] = [
    {"operation": "hash", "items": SOME, "continue_on_error": True},
    {"operation": "hash", "items": GOOD},
    {"operation": "convert", "items": SOME, "continue_on_error": True},
    {"operation": "convert", "items": GOOD},
    {
        "operation": "validate",
        "items": SOME,
        "continue_on_error": True,
        "rules": [{"column": "n", "type": "number", "max": 2}],
    },
    {"operation": "validate", "items": ["b.jsonl", "d.json"], "schema": NUMBERS},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_killed_after_any_item_it_goes_on_with_the_next(bulk: Bulk, case: dict[str, Any]) -> None:
    unbroken = bulk.resumed_everywhere(**case)
    assert len(unbroken.chunks) == len(case["items"])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_cancel_is_seen_at_the_next_step_wherever_it_comes(
    bulk: Bulk, case: dict[str, Any]
) -> None:
    bulk.cancelled_everywhere(**case)


def test_what_was_done_is_not_done_again(bulk: Bulk) -> None:
    first = bulk.recorder()
    first.kill_after = 2
    case = {"operation": "hash", "items": GOOD}
    with pytest.raises(Killed):
        bulk.run(case, first)
    (bulk.data / "a.csv").unlink()
    second = bulk.recorder(first.checkpoints[-1])
    assert bulk.run(case, second).ok == 3
    assert [chunk["index"] for chunk in second.chunks] == [2]


@pytest.mark.parametrize("text", ["n,word\n1,x\n2,z\n", None], ids=["other", "gone"])
def test_a_file_that_changed_after_it_was_converted_is_refused(
    bulk: Bulk, text: str | None
) -> None:
    case = {"operation": "convert", "items": GOOD, "continue_on_error": True}
    first = bulk.recorder()
    first.kill_after = 2
    with pytest.raises(Killed):
        bulk.run(case, first)
    if text is None:
        (bulk.data / "a.csv").unlink()
    else:
        bulk.source(text, "a.csv")
    second = bulk.recorder(first.checkpoints[-1])
    with pytest.raises(HandlerError) as failed:
        bulk.run(case, second)
    assert (failed.value.code, failed.value.retryable) == ("SOURCE_CHANGED", False)
    assert second.chunks == []


@pytest.mark.parametrize("name", ["../secret.csv", "linked.csv", "/etc/hostname"])
def test_what_lies_outside_of_the_data_folder_is_refused_unseen(bulk: Bulk, name: str) -> None:
    outside = bulk.data.parent / "secret.csv"
    outside.write_text("n\n1\n")
    (bulk.data / "linked.csv").symlink_to(outside)
    refused = bulk.failure(operation="hash", items=[name])
    assert isinstance(refused.details, dict)
    assert refused.details["code"] == "SOURCE_NOT_ALLOWED"


H, C, V = "hash", "convert", "validate"
RULES = {"operation": V, "items": ["a"], "rules": [{"column": "n"}]}


def rule(**fields: Any) -> dict[str, Any]:
    return {"operation": V, "items": ["a"], "rules": [{"column": "n"} | fields]}


def schema(value: Any) -> dict[str, Any]:
    return {"operation": V, "items": ["a"], "schema": value}


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        ({}, ()),
        ({"operation": "delete", "items": ["a"]}, ()),
        ({"operation": H}, (H, "items")),
        ({"operation": H, "items": []}, (H, "items")),
        ({"operation": H, "items": ["a"] * 1_001}, (H, "items")),
        ({"operation": H, "items": ["a", ""]}, (H, "items", 1)),
        ({"operation": H, "items": ["a", 5]}, (H, "items", 1)),
        (
            {"operation": H, "items": ["a"], "continue_on_error": "perhaps"},
            (H, "continue_on_error"),
        ),
        ({"operation": H, "items": ["a"], "to": "csv"}, (H, "to")),
        ({"operation": C, "items": ["a"], "to": "xml"}, (C, "to")),
        ({"operation": V, "items": ["a"]}, (V,)),
        (RULES | {"schema": True}, (V,)),
        (RULES | {"rules": []}, (V, "rules")),
        (rule(column=""), (V, "rules", 0, "column")),
        (rule(type="empty"), (V, "rules", 0, "type")),
        (rule(min=1), (V, "rules", 0)),
        (rule(type="number", min=2, max=1), (V, "rules", 0)),
        (rule(max_length=-1), (V, "rules", 0, "max_length")),
        (rule(one_of=[]), (V, "rules", 0, "one_of")),
        (rule(unique="often"), (V, "rules", 0, "unique")),
        (rule(pattern="a"), (V, "rules", 0, "pattern")),
        (schema([]), (V, "schema", "dict[str,any]")),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_with_its_place(
    bulk: Bulk, payload: dict[str, Any], place: tuple[int | str, ...]
) -> None:
    found, _ = bulk.refusal(**payload)
    assert found == place


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"type": "nope"}, "/type: "),
        ({"properties": {"a": {"maximum": "5"}}}, "/properties/a/maximum: "),
        ({"items": {"$ref": "#"}}, "/items/$ref: references are not supported"),
        ({"allOf": [{"$dynamicRef": "#a"}]}, "/allOf/0/$dynamicRef: references"),
        ({"$ref": "http://127.0.0.1:9/schema"}, "/$ref: references are not supported"),
        ({"pattern": "(?=look)"}, "/pattern: "),
        ({"$schema": "http://127.0.0.1:9/schema"}, "meta-schema"),
    ],
    ids=str,
)
def test_a_bad_schema_is_refused_with_its_place(bulk: Bulk, bad: Any, says: str) -> None:
    place, found = bulk.refusal(**schema(bad))
    assert place == (V, "schema")
    assert says in found
