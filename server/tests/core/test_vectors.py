# SPDX-License-Identifier: Apache-2.0
"""Every vector of schema/vectors, in both directions (schema/vectors/README.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from longcall_server.core.canonical import canonical_json
from longcall_server.core.codec import MessageBounds, decode_client_message
from longcall_server.core.errors import MessageError
from longcall_server.core.messages import ServerMessage

FOLDER = Path(__file__).parents[3] / "schema" / "vectors"
FILES = (
    "bounds",
    "codes",
    "envelope",
    "i-json",
    "messages-client",
    "messages-server",
    "values",
)
VECTORS: list[dict[str, Any]] = [
    vector for file in FILES for vector in json.loads((FOLDER / f"{file}.json").read_text())
]
SERVER_MESSAGE: TypeAdapter[ServerMessage] = TypeAdapter(ServerMessage)


def _of(direction: str) -> list[Any]:
    chosen = [vector for vector in VECTORS if vector["direction"] == direction]
    return [pytest.param(vector, id=vector["name"]) for vector in chosen]


def test_no_file_of_vectors_is_left_out() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(FILES)
    assert len(VECTORS) >= 600


@pytest.mark.clause(
    "2.3.5", "2.3.6", "2.3.7", "2.3.8", "2.3.9", "2.3.12", "2.3.15", "2.4.4", "2.5.1", "2.5.5",
    "2.5.7", "4.3.3", "4.3.4", "4.3.5", "4.3.6", "4.6.3", "5.1.2", "10.46.3",
)  # fmt: skip
@pytest.mark.parametrize("vector", _of("client"))
def test_a_client_text_is_taken_or_refused_as_the_vector_says(vector: dict[str, Any]) -> None:
    outcome = _decode(vector["text"])
    if isinstance(outcome, MessageError):
        assert not vector["valid"] or vector.get("outcome") == "either"
        assert outcome.code == vector["error"]["code"]
        assert outcome.pointer == vector["error"].get("pointer")
        assert json.loads(outcome.info.model_dump_json())["code"] == outcome.code
    else:
        assert vector["valid"] or vector.get("outcome") == "either"
        if vector["valid"]:
            assert canonical_json(outcome).decode() == vector["canonical"]


def _decode(text: str) -> MessageError | dict[str, Any]:
    try:
        message = decode_client_message(text, MessageBounds(1 << 20, 64))
    except MessageError as refusal:
        return refusal
    dumped: dict[str, Any] = json.loads(message.model_dump_json())
    return dumped


@pytest.mark.parametrize("vector", _of("server"))
def test_a_server_text_passes_through_the_models_unchanged(vector: dict[str, Any]) -> None:
    if not vector["valid"]:
        return
    message = SERVER_MESSAGE.validate_json(vector["text"], by_alias=True, by_name=False)
    assert canonical_json(json.loads(message.model_dump_json())).decode() == vector["canonical"]
