# SPDX-License-Identifier: Apache-2.0
"""I-JSON (RFC 7493) and bounds: what a JSON parser takes and the protocol does not (PROTOCOL 2).

Almost no text has such a defect, and looking at each value in Python would cost more than all the
rest. So `is_suspicious` looks at the bytes with a few C-speed searches and may cry wolf, but never
misses one; only then `find_defect` reads the text carefully.

A text of two bytes a value can take seventy times its size as objects: `has_more_values` counts
before anybody makes them.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable
from functools import cache
from typing import Any, Final, NamedTuple, NoReturn

from longcall_server.core.errors import JsonDefect

MAX_INTEGER: Final = 2**53 - 1

_TOO_BIG: Final = "an integer beyond ±(2^53 - 1) must travel as a string"
_OVERFLOW: Final = "a number that a double cannot hold"
_SURROGATE: Final = "a lone surrogate is not Unicode text"

# All digits become 0 and E becomes e, so that a plain substring search finds digit patterns.
_SHAPES: Final = bytes.maketrans(b"123456789E", b"000000000e")
# The same two patterns as in `is_suspicious`, but only where a number token can begin: ids are
# full of digits.
_NUMBER: Final = re.compile(rb"[:\[,\s]-?(?:[0-9]{16}|[0-9.]+[eE]\+?[0-9]{3})")
_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
# Strings, runs of one kind of bracket, and what is between.
_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\[+|\]+|\{+|\}+|[^"\[\]{}]+')
_LONE_CANDIDATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_WHITE_SPACE: Final = b" \t\n\r"


def is_suspicious(data: bytes, max_depth: int, max_string_length: int | None = None) -> bool:
    """Whether the text may have a defect; False means it has none, if it is JSON at all.

    A double overflows only with 16 digits before the point or an exponent of three digits, and
    each level of depth takes a bracket.
    """
    if data.count(b"[") + data.count(b"{") > max_depth and _nests_deeper(data, max_depth):
        return True
    if max_string_length is not None and _may_be_longer(data, max_string_length):
        return True
    if b"\\u" in data and _LONE_CANDIDATE.search(data):
        return True
    if b"NaN" in data or b"Infinity" in data:
        return True
    shapes = data.translate(_SHAPES)
    if b"0000000000000000" in shapes or b"0e000" in shapes or b"0e+000" in shapes:
        return _NUMBER.search(data) is not None
    return False


def has_more_values(data: bytes, max_values: int) -> bool:
    """Whether a JSON text holds more values, itself included; anything for other texts.

    Each value but the outermost stands behind a comma or an opening bracket, so almost every text
    is counted without a look at its strings.
    """
    if _separators(data) < max_values:
        return False
    outside_of_strings = b'"'.join(_outside_of_strings(data)).translate(None, _WHITE_SPACE)
    empty = outside_of_strings.count(b"[]") + outside_of_strings.count(b"{}")
    return _separators(outside_of_strings) - empty >= max_values


def has_constants(data: bytes) -> bool:
    """Whether a text that is JSON but for `NaN` and `Infinity` has any; anything for others."""
    if b"NaN" not in data and b"Infinity" not in data:
        return False
    # Outside of its strings, JSON has neither of these letters.
    return any(b"N" in part or b"I" in part for part in _outside_of_strings(data))


def most_values(text: str) -> int:
    """No fewer than the values of a JSON text: what it takes as objects goes by it."""
    return text.count(",") + text.count("[") + text.count("{") + 1


def find_defect(
    root: Any, max_depth: int, max_string_length: int | None = None
) -> JsonDefect | None:
    """The first defect, in the order of the text, of what `parse` returned; None if there is none.

    Repeated keys are all looked at.
    """
    path: list[str | int] = []
    longest = sys.maxsize if max_string_length is None else max_string_length
    found = _find((("", root),), path, 1, _Bounds(max_depth, longest))
    if found is None:
        return None
    # The first token stands for the document itself.
    return JsonDefect("".join(f"/{escape_pointer(str(token))}" for token in path[1:]), found)


def check_json(text: str, *, max_depth: int) -> None:
    """Raises `JsonDefect` if the text is not I-JSON or nests deeper than `max_depth`."""
    defect = find_defect(parse(text, max_depth), max_depth)
    if defect is not None:
        raise defect


class _Bounds(NamedTuple):
    depth: int
    string_length: int


class Members(list[tuple[str, Any]]):
    """The members of an object in order, repeated keys included."""

    def last(self, key: str) -> Any:
        """The value that counts, as every parser here takes the last; None if there is none."""
        return next((value for name, value in reversed(self) if name == key), None)


class Number(str):
    """A number as it was written."""

    __slots__ = ()


def parse(text: str, max_depth: int) -> Any:
    """Parses JSON into `Members`, lists, strings, `Number`s, booleans and None.

    What lies far beyond `max_depth` may be left out, never the first that does. Raises `JsonDefect`
    without a pointer if the text is not JSON (NaN and Infinity are not).
    """
    try:
        try:
            return _load(text)
        except RecursionError:
            return _load(_pruned(text, max_depth + 1))
    except ValueError as error:
        raise JsonDefect(None, f"not JSON: {_reason(error)}") from None


def escape_pointer(token: str) -> str:
    """One reference token of a JSON Pointer (RFC 6901)."""
    return token.replace("~", "~0").replace("/", "~1")


def has_lone_surrogate(text: str) -> bool:
    """Whether the text cannot be written as UTF-8."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _load(text: str) -> Any:
    return json.loads(
        text,
        parse_int=Number,
        parse_float=Number,
        parse_constant=_refuse_constant,
        object_pairs_hook=Members,
    )


def _pruned(text: str, max_depth: int) -> str:
    """The text without what is nested deeper than `max_depth`."""
    kept: list[str] = []
    depth = 0
    for match in _BRACKETS.finditer(text):
        token = match[0]
        if token[0] in "[{":
            kept.append(token[: max(0, max_depth - depth)])
            depth += len(token)
        elif token[0] in "]}":
            depth -= len(token)
            kept.append(token[: max(0, min(len(token), max_depth - depth))])
        elif depth < max_depth:
            kept.append(token)
    return "".join(kept)


def _nests_deeper(data: bytes, max_depth: int) -> bool:
    """Whether a JSON text nests deeper; anything for other texts. Innermost pairs are taken away
    once a level, all at C speed."""
    skeleton = b"".join(_outside_of_strings(data)).translate(_SQUARE, delete=_NO_BRACKETS)
    for _ in range(max_depth):
        size = len(skeleton)
        skeleton = skeleton.replace(b"[]", b"")
        if len(skeleton) == size:
            break
    return bool(skeleton)


def _outside_of_strings(data: bytes) -> list[bytes]:
    """What a JSON text has before, between and behind its strings."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    return data.split(b'"')[::2]


def _separators(data: bytes) -> int:
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def _may_be_longer(data: bytes, max_length: int) -> bool:
    """Whether there may be a string of more characters: no string has more than bytes."""
    if len(data) <= max_length:
        return False
    if b"\\" in data:
        data = data.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    return _longer_string(max_length).search(data) is not None


@cache
def _longer_string(max_length: int) -> re.Pattern[bytes]:
    return re.compile(rb'"[^"]{%d,}' % (max_length + 1))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        # Its own text quotes nothing of the document, but says where.
        return f"{error.msg} at character {error.pos}"
    return str(error)


def _find(
    members: Iterable[tuple[str | int, Any]], path: list[str | int], depth: int, bounds: _Bounds
) -> str | None:
    """The first problem among these and all below them; `path` then leads to it."""
    for token, value in members:
        kind = type(value)
        problem = None
        if kind is Number:
            if len(value) > 15 or "e" in value or "E" in value:
                problem = _number_problem(value)
        elif kind is str:
            problem = _string_problem(value, bounds)
        elif kind is list or kind is Members:
            path.append(token)
            problem = _container_problem(value, path, depth, bounds)
            if problem is not None:
                return problem
            path.pop()
            continue
        if problem is not None:
            path.append(token)
            return problem
    return None


def _container_problem(
    value: list[Any], path: list[str | int], depth: int, bounds: _Bounds
) -> str | None:
    if depth > bounds.depth:
        return f"nested deeper than {bounds.depth} levels"
    if not isinstance(value, Members):
        return _find(enumerate(value), path, depth + 1, bounds)
    for key, _ in value:
        # A key that is not text cannot stand in a pointer, and a long one has no place there: its
        # object is named.
        problem = _string_problem(key, bounds)
        if problem is not None:
            return problem
    return _find(value, path, depth + 1, bounds)


def _string_problem(value: str, bounds: _Bounds) -> str | None:
    if len(value) > bounds.string_length:
        return f"a string of more than {bounds.string_length} characters"
    return _SURROGATE if has_lone_surrogate(value) else None


def _number_problem(token: str) -> str | None:
    if token.lstrip("-").isdigit():
        digits = token.lstrip("-")
        if len(digits) > 16 or int(digits) > MAX_INTEGER:
            return _TOO_BIG
        return None
    return None if math.isfinite(float(token)) else _OVERFLOW
