# SPDX-License-Identifier: Apache-2.0
"""What the schema names is exercised: computed from the cases, not claimed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from longcall_conformance.runner.case import Case, load_cases

SUITE = Path(__file__).parent.parent
SCHEMA = SUITE.parent / "schema"
CODES = json.loads((SCHEMA / "codes.json").read_text())


def played() -> list[Case]:
    return [case for case in load_cases(SUITE / "cases") if not case.control]


def values(node: Any) -> Iterator[Any]:
    """Every value in a document, texts of JSON among them read as what they say."""
    if isinstance(node, dict):
        yield from (value for item in node.values() for value in values(item))
    elif isinstance(node, list):
        yield from (value for item in node for value in values(item))
    elif isinstance(node, str) and node.startswith("{"):
        try:
            yield from values(json.loads(node))
        except ValueError:
            yield node
    else:
        yield node


def exercised(*kinds: str) -> set[Any]:
    """What stands in the steps of cases of these kinds."""
    return {
        value
        for case in played()
        if case.kind in kinds
        for step in case.steps
        for value in values(step.arguments)
        if isinstance(value, str | int)
    }


def types(direction: str) -> set[str]:
    union = json.loads((SCHEMA / f"{direction}-message.json").read_text())
    return {Path(member["$ref"]).stem for member in union["oneOf"]}


def test_every_type_of_message_is_sent_to_an_sdk_and_expected_of_it() -> None:
    assert types("client") | types("server") <= exercised("client")


def test_every_type_that_a_client_sends_is_sent_to_a_server() -> None:
    assert types("client") <= exercised("server")


def test_every_error_code_and_status_is_seen() -> None:
    seen = exercised("client", "server", "e2e")
    statuses = {status["status"] for status in CODES["request_statuses"]}
    assert {code["code"] for code in CODES["error_codes"]} | statuses <= seen


def test_every_close_code_reaches_an_sdk() -> None:
    codes = {entry["code"] for entry in CODES["close_codes"]}
    sent = {
        int(value.removeprefix("close_"))
        for value in exercised("client", "e2e")
        if isinstance(value, str) and value.startswith("close_")
    }
    assert codes <= sent
