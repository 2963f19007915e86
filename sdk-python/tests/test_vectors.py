# SPDX-License-Identifier: Apache-2.0
"""The codec agrees with every vector of schema/vectors, as its README says for an SDK."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from longcall.codec import (
    ClientMessageModel,
    MalformedMessage,
    UnknownMessage,
    canonical_json,
    decode,
    encode,
    find_defect,
)
from longcall.messages import ClientMessage

VECTORS = Path(__file__).parents[2] / "schema" / "vectors"
CLIENT_MESSAGE: TypeAdapter[ClientMessageModel] = TypeAdapter(ClientMessage)


def vectors(direction: str) -> list[Any]:
    """Returns all vectors of a direction, each with a readable id."""
    found = []
    for path in sorted(VECTORS.glob("*.json")):
        for vector in json.loads(path.read_text(encoding="utf-8")):
            if vector["direction"] == direction:
                found.append(pytest.param(vector, id=f"{path.stem}: {vector['name']}"))
    return found


def canonical(text: str) -> str:
    return canonical_json(json.loads(text))


def test_all_vectors_are_there() -> None:
    assert len(vectors("server")) + len(vectors("client")) >= 667
    assert min(len(vectors("server")), len(vectors("client"))) >= 250


@pytest.mark.clause("2.3.13", "2.3.14", "2.5.1", "2.5.2", "2.5.7", "2.5.8")
@pytest.mark.parametrize("vector", vectors("server"))
def test_sdk_reads_what_a_server_writes(vector: dict[str, Any]) -> None:
    outcome = vector.get("outcome")
    try:
        message = decode(vector["text"])
    except MalformedMessage:
        assert not vector["valid"] or outcome == "either"
        return
    if isinstance(message, UnknownMessage):
        assert outcome in ("ignored", "either")
    elif vector["valid"]:
        assert canonical(message.model_dump_json()) == vector["canonical"]
    else:
        assert outcome == "either"


def is_written(vector: dict[str, Any]) -> bool:
    return bool(vector["valid"]) and "outcome" not in vector


@pytest.mark.clause("2.3.14", "2.4.3")
@pytest.mark.parametrize(
    "vector", [param for param in vectors("client") if is_written(param.values[0])]
)
def test_sdk_writes_what_a_server_reads(vector: dict[str, Any]) -> None:
    value = json.loads(vector["text"])
    assert find_defect(value) is None
    text = encode(CLIENT_MESSAGE.validate_python(value))
    assert canonical(text) == vector["canonical"]
