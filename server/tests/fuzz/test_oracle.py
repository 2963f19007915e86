# SPDX-License-Identifier: Apache-2.0
"""The oracle is itself held to the vectors: it agrees with every one of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fuzz.oracle import Bounds, judge
from fuzz.strict_json import equal, parse, plain, resolve

FOLDER = Path(__file__).parents[3] / "schema" / "vectors"
VECTORS: list[dict[str, Any]] = [
    vector
    for path in sorted(FOLDER.glob("*.json"))
    for vector in json.loads(path.read_text())
    if vector["direction"] == "client"
]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["name"]))
def test_the_oracle_says_what_the_vector_says(vector: dict[str, Any]) -> None:
    verdict = judge(vector["text"], Bounds(max_bytes=1 << 20, max_depth=64))
    if vector.get("outcome") == "either":
        assert verdict.may_refuse or not verdict.is_accepted or vector["valid"]
        return
    assert verdict.is_accepted == vector["valid"]
    if not vector["valid"]:
        assert verdict.codes == {vector["error"]["code"]}
        assert verdict.is_unread or vector["error"].get("pointer") in verdict.pointers
    else:
        kept = json.loads(vector["canonical"], parse_int=float)
        sent = plain(verdict.document)
        assert all(equal(kept[key], sent[key]) for key in kept if key != "client")


@pytest.mark.parametrize(
    ("pointer", "leads"),
    [
        ("", True),
        ("/a", True),
        ("/a/1", True),
        ("/a/2", False),
        ("/b", True),
        ("/b/c", False),
        ("/~1~0/x", True),
        ("/a/x", False),
    ],
)
def test_a_pointer_leads_to_a_value_or_to_a_member_that_is_not_there(
    pointer: str, leads: bool
) -> None:
    assert resolve(parse('{"a":[1,2],"/~":{},"a":7}'), pointer) == leads
