# SPDX-License-Identifier: Apache-2.0
"""Compares what was seen with what a case asks for."""

from __future__ import annotations

from typing import Any

JsonObject = dict[str, Any]


def select(value: Any, path: str) -> Any:
    """Follows `$.a.b.0`; raises `KeyError` where the value has no such place."""
    current = value
    for part in path.removeprefix("$").split("."):
        if not part:
            continue
        if isinstance(current, list):
            current = current[int(part)]
        elif isinstance(current, dict):
            current = current[part]
        else:
            raise KeyError(part)
    return current


def matches(value: Any, pattern: Any) -> bool:
    """Objects match member by member, others must be equal; true and 1 are not equal."""
    if isinstance(pattern, dict):
        if not isinstance(value, dict):
            return False
        return all(key in value and matches(value[key], item) for key, item in pattern.items())
    if isinstance(pattern, list):
        return (
            isinstance(value, list)
            and len(value) == len(pattern)
            and all(matches(one, other) for one, other in zip(value, pattern, strict=True))
        )
    return isinstance(value, bool) == isinstance(pattern, bool) and value == pattern


def difference(value: JsonObject, pattern: JsonObject) -> str:
    """Says in words where an object does not match."""
    for key, wanted in pattern.items():
        if key not in value:
            return f"{key} is missing"
        if not matches(value[key], wanted):
            if isinstance(wanted, dict) and isinstance(value[key], dict):
                return f"{key}: {difference(value[key], wanted)}"
            return f"{key} is {value[key]!r}, not {wanted!r}"
    return "it matches"
