# SPDX-License-Identifier: Apache-2.0
"""Checks that the parsers share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsonschema

from .errors import SchemaError
from .model import Json


def check_against(document: Json, schema: Json, path: Path) -> None:
    """Raises `SchemaError` naming file and place when `document` does not fit `schema`."""
    validator = jsonschema.Draft202012Validator(schema)
    for error in sorted(validator.iter_errors(document), key=lambda item: item.json_path):
        raise SchemaError(f"{path.name}: {at(error.absolute_path)}: {error.message}")


def refuse_repeats(names: Iterable[str], place: str) -> None:
    """Raises `SchemaError` when a name stands in a table twice."""
    for name, count in Counter(names).items():
        if count > 1:
            raise SchemaError(f"{place}: {name} stands there twice")


def at(path: Iterable[Any]) -> str:
    """Returns a place in a document as a JSON Pointer fragment."""
    return "#" + "".join(f"/{part}" for part in path)
