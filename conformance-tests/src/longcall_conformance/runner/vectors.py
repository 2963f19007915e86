# SPDX-License-Identifier: Apache-2.0
"""The vectors of the schema: texts, and what a reader makes of them (schema/vectors/README.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from .places import SUITE

JsonObject = dict[str, Any]

FOLDER: Final = SUITE / "vectors"


@dataclass(frozen=True)
class Vector:
    """One text."""

    name: str
    text: str
    accepted: bool | None
    """Whether it must be taken; None: as the reader likes."""
    kind: str | None
    """Its type, where it is a message."""
    error: JsonObject
    """What a server answers where it refuses: `code`, and `pointer` if it has one."""


def load_vectors(file: str, direction: str) -> list[Vector]:
    """Those of a file that the `direction`, `client` or `server`, sends.

    Raises `ValueError` where there are none.
    """
    chosen = [_vector(one) for one in _read(file) if one["direction"] == direction]
    if not chosen:
        raise ValueError(f"no vector of {file} is sent by a {direction}")
    return chosen


@cache
def _read(file: str) -> list[JsonObject]:
    path = FOLDER / f"{file}.json"
    if not path.is_file():
        raise ValueError(f"there are no vectors {file}, but {', '.join(files())}")
    return list(json.loads(path.read_text("utf-8")))


def files() -> list[str]:
    """The names of all files."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def _vector(document: JsonObject) -> Vector:
    outcome = document.get("outcome")
    accepted = document["valid"] or outcome == "ignored"
    kind = json.loads(document["canonical"])["type"] if "canonical" in document else None
    return Vector(
        name=document["name"],
        text=document["text"],
        accepted=None if outcome == "either" else accepted,
        kind=kind,
        error=document.get("error", {}),
    )
