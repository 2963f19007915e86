# SPDX-License-Identifier: Apache-2.0
"""JSON as it was written: equal keys stay, and a number tells whether I-JSON has it."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

MAX_INTEGER = 2**53 - 1


class Pairs(list[tuple[str, Any]]):
    """An object as it was written."""

    def last(self) -> dict[str, Any]:
        """What counts of it: the last of equal keys."""
        return dict(self)


class Unsafe(str):
    """A number that I-JSON does not have."""

    __slots__ = ()


class Whole(float):
    """An integer that was written with a fraction or an exponent: PROTOCOL 2.3.4 leaves it open."""

    __slots__ = ()


def parse(text: str) -> Any:
    """Strict JSON to `Pairs`, lists and scalars; raises ValueError, or RecursionError."""
    return json.loads(
        text,
        parse_int=_integer,
        parse_float=_float,
        parse_constant=_refuse,
        object_pairs_hook=Pairs,
    )


def plain(value: Any) -> Any:
    """The same without what tells how it was written."""
    if isinstance(value, Pairs):
        return {key: plain(item) for key, item in value}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return float(value) if isinstance(value, Whole) else value


def resolve(document: Any, pointer: str) -> bool:
    """Whether the pointer leads to a value, or to a member that an object lacks."""
    values = [document]  # more than one where keys are repeated
    tokens = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    for number, token in enumerate(tokens):
        parents = [value for value in values if isinstance(value, list)]
        values = [child for value in parents for key, child in children(value) if str(key) == token]
        if not values:
            return number == len(tokens) - 1 and any(isinstance(one, Pairs) for one in parents)
    return True


def equal(one: Any, other: Any) -> bool:
    """Whether two JSON values have one RFC 8785 form: 1 is 1.0 and -0, and none is true."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def _integer(text: str) -> int | Unsafe:
    if len(text) > 20:
        return Unsafe(text)
    value = int(text)
    return value if -MAX_INTEGER <= value <= MAX_INTEGER else Unsafe(text)


def _float(text: str) -> float | Unsafe:
    value = float(text)
    if math.isinf(value):
        return Unsafe(text)
    return Whole(value) if value.is_integer() else value


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def is_lone(text: str) -> bool:
    """Whether a surrogate stands in it, which is no Unicode."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def pointer_token(token: str | int) -> str:
    """One step of a JSON Pointer (RFC 6901)."""
    return "/" + str(token).replace("~", "~0").replace("/", "~1")


def children(value: Any) -> list[tuple[str | int, Any]]:
    """The members of an object, or the elements of an array by their index."""
    return list(value) if isinstance(value, Pairs) else list(enumerate(value))
