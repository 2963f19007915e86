# SPDX-License-Identifier: Apache-2.0
"""The vectors are true: each agrees with the schema and with the rules of PROTOCOL 2.3."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from reference_reader import Ignored, ReferenceReader, Refused

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "schema"
FILES = sorted((SCHEMA / "vectors").glob("*.json"))
BUNDLE = json.loads((SCHEMA / "bundle.json").read_text(encoding="utf-8"))
CODES = json.loads((SCHEMA / "codes.json").read_text(encoding="utf-8"))
VECTORS = [vector for file in FILES for vector in json.loads(file.read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def reader() -> ReferenceReader:
    return ReferenceReader(BUNDLE)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_file_has_the_form_of_the_vectors(file: Path) -> None:
    form = json.loads((SCHEMA / "vectors.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(form)
    jsonschema.validate(json.loads(file.read_text(encoding="utf-8")), form)


def test_names_are_unique_over_all_files() -> None:
    repeated = [name for name, count in Counter(v["name"] for v in VECTORS).items() if count > 1]
    assert repeated == []


def test_there_are_enough_of_them() -> None:
    assert len(VECTORS) >= 600


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_vector_agrees_with_schema_and_protocol(
    vector: dict[str, Any], reader: ReferenceReader
) -> None:
    told: dict[str, Any] = {
        key: vector[key] for key in ("valid", "canonical", "error") if key in vector
    }
    if vector.get("outcome") == "either" and vector["valid"]:
        del told["error"]  # what a reader may answer that refuses the text
    if vector.get("outcome") == "ignored":
        told["ignored"] = True
    assert told == _read(reader, vector["text"], vector["direction"])


def _read(reader: ReferenceReader, text: str, direction: str) -> dict[str, Any]:
    try:
        return {"valid": True, "canonical": reader.read(text, direction)}
    except Ignored:
        return {"valid": False, "ignored": True}
    except Refused as refused:
        pointer = {} if refused.pointer is None else {"pointer": refused.pointer}
        return {"valid": False, "error": {"code": refused.code, **pointer}}


@pytest.mark.parametrize("direction", ["client", "server"])
@pytest.mark.parametrize("valid", [True, False])
def test_each_message_type_is_covered(direction: str, valid: bool) -> None:
    union = {"client": "ClientMessage", "server": "ServerMessage"}[direction]
    types = {
        BUNDLE["$defs"][member["$ref"].removeprefix("#/$defs/")]["properties"]["type"]["const"]
        for member in BUNDLE["$defs"][union]["oneOf"]
    }
    covered = {
        kind
        for vector in VECTORS
        if vector["direction"] == direction and vector["valid"] is valid
        for kind in types
        if f'"type":"{kind}"' in vector["text"]
    }
    # Over both directions every ping and pong is the same model.
    assert types - covered <= ({"ping", "pong"} if direction == "server" else set())


def test_each_error_code_status_and_side_occurs() -> None:
    texts = "\n".join(vector["text"] for vector in VECTORS if vector["valid"])
    words = [
        *(row["code"] for row in CODES["error_codes"]),
        *(row["status"] for row in CODES["request_statuses"]),
        *(row["side"] for row in CODES["heartbeat_sides"]),
    ]
    assert [word for word in words if f':"{word}"' not in texts] == []


def test_both_codes_of_a_refusal_occur() -> None:
    codes = {vector["error"]["code"] for vector in VECTORS if "error" in vector}
    assert codes == {"VALIDATION_ERROR", "UNSUPPORTED_TYPE"}
