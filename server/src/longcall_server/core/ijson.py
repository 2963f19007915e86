# SPDX-License-Identifier: Apache-2.0
"""I-JSON (RFC 7493) and depth: what a JSON parser takes and the protocol does not (PROTOCOL 2).

Almost no text has such a defect, and looking at each value in Python would cost more than all the
rest. So `is_suspicious` looks at the bytes with a few C-speed searches and may cry wolf, but never
misses one; only then `find_defect` reads the text carefully.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, Final, NoReturn

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


def is_suspicious(data: bytes, max_depth: int) -> bool:
    """Whether the text may have a defect; False means it has none, if it is JSON at all.

    A double overflows only with 16 digits before the point or an exponent of three digits, and
    each level of depth takes a bracket.
    """
    if data.count(b"[") + data.count(b"{") > max_depth and _nests_deeper(data, max_depth):
        return True
    if b"\\u" in data and _LONE_CANDIDATE.search(data):
        return True
    if b"NaN" in data or b"Infinity" in data:
        return True
    shapes = data.translate(_SHAPES)
    if b"0000000000000000" in shapes or b"0e000" in shapes or b"0e+000" in shapes:
        return _NUMBER.search(data) is not None
    return False


def find_defect(root: Any, max_depth: int) -> JsonDefect | None:
    """The first defect, in the order of the text, of what `parse` returned; None if there is none.

    Repeated keys are all looked at.
    """
    path: list[str | int] = []
    found = _find((("", root),), path, 1, max_depth)
    if found is None:
        return None
    # The first token stands for the document itself.
    return JsonDefect("".join(f"/{escape_pointer(str(token))}" for token in path[1:]), found)


def check_json(text: str, *, max_depth: int) -> None:
    """Raises `JsonDefect` if the text is not I-JSON or nests deeper than `max_depth`."""
    defect = find_defect(parse(text, max_depth), max_depth)
    if defect is not None:
        raise defect


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
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside_of_strings = b"".join(data.split(b'"')[::2])
    skeleton = outside_of_strings.translate(_SQUARE, delete=_NO_BRACKETS)
    for _ in range(max_depth):
        size = len(skeleton)
        skeleton = skeleton.replace(b"[]", b"")
        if len(skeleton) == size:
            break
    return bool(skeleton)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        # Its own text quotes nothing of the document, but says where.
        return f"{error.msg} at character {error.pos}"
    return str(error)


def _find(
    members: Iterable[tuple[str | int, Any]], path: list[str | int], depth: int, max_depth: int
) -> str | None:
    """The first problem among these and all below them; `path` then leads to it."""
    for token, value in members:
        kind = type(value)
        problem = None
        if kind is Number:
            if len(value) > 15 or "e" in value or "E" in value:
                problem = _number_problem(value)
        elif kind is str:
            if has_lone_surrogate(value):
                problem = _SURROGATE
        elif kind is list or kind is Members:
            path.append(token)
            problem = _container_problem(value, path, depth, max_depth)
            if problem is not None:
                return problem
            path.pop()
            continue
        if problem is not None:
            path.append(token)
            return problem
    return None


def _container_problem(
    value: list[Any], path: list[str | int], depth: int, max_depth: int
) -> str | None:
    if depth > max_depth:
        return f"nested deeper than {max_depth} levels"
    if not isinstance(value, Members):
        return _find(enumerate(value), path, depth + 1, max_depth)
    # A key that is not text cannot stand in a pointer: its object is named.
    if any(has_lone_surrogate(key) for key, _ in value):
        return _SURROGATE
    return _find(value, path, depth + 1, max_depth)


def _number_problem(token: str) -> str | None:
    if token.lstrip("-").isdigit():
        digits = token.lstrip("-")
        if len(digits) > 16 or int(digits) > MAX_INTEGER:
            return _TOO_BIG
        return None
    return None if math.isfinite(float(token)) else _OVERFLOW
