# SPDX-License-Identifier: Apache-2.0
"""Values of handlers as JSON text that every SDK reads back as an equal value (PROTOCOL 2)."""

from __future__ import annotations

import math
from typing import Any, Final

from pydantic import JsonValue, TypeAdapter
from pydantic_core import PydanticSerializationError

from longcall_server.core.errors import JsonDefect
from longcall_server.core.ijson import check_json, is_suspicious
from longcall_server.handlers.errors import NotJson

ANY: Final[TypeAdapter[Any]] = TypeAdapter(Any)


class Unset:
    """The type of `UNSET`."""

    _instance: Unset | None = None

    def __new__(cls) -> Unset:
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


UNSET: Final = Unset()
"""Marks an argument that was not given, where None is a value (JSON null)."""


def encode(value: object, adapter: TypeAdapter[Any] = ANY, *, max_depth: int) -> str:
    """The compact JSON text of a value. Raises `NotJson`, which says what is wrong and where."""
    try:
        text = adapter.dump_json(value, warnings="error")
    except PydanticSerializationError as error:
        raise NotJson(_reason(error)) from error
    if b"null" in text or b"NaN" in text or b"Infinity" in text:
        # pydantic writes what JSON has no number for as null, or as such a word: see which it is.
        _check_finite(adapter.dump_python(value, warnings=False), "")
    # A number that stands alone is not what `is_suspicious` looks for.
    if text[:1] in b"-0123456789" or is_suspicious(text, max_depth):
        try:
            check_json(text.decode(), max_depth=max_depth)
        except JsonDefect as defect:
            raise NotJson(str(defect)) from None
    return text.decode()


def _reason(error: PydanticSerializationError) -> str:
    text = str(error).removeprefix("Pydantic serializer warnings:").strip()
    text = text.removeprefix("Error serializing to JSON: ")
    if "surrogates not allowed" in text:
        return "a string holds a lone surrogate, which UTF-8 cannot carry"
    return text


def _check_finite(value: object, pointer: str) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotJson(f"{value} at {pointer or 'the top'} is not a JSON number")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_finite(item, f"{pointer}/{key}")
    elif isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(value):
            _check_finite(item, f"{pointer}/{index}")


__all__ = ["ANY", "UNSET", "JsonValue", "NotJson", "Unset", "encode"]
