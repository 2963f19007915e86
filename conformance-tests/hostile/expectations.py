# SPDX-License-Identifier: Apache-2.0
"""What the protocol says of what a hostile client sends: from PROTOCOL.md and schema/, and from
nothing of the server."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from jsonschema import Draft202012Validator

MAX_INTEGER = 2**53 - 1
_BUNDLE: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "schema" / "bundle.json").read_text("utf-8")
)
_HELLO = Draft202012Validator({"$ref": "#/$defs/HelloMessage", "$defs": _BUNDLE["$defs"]})
_SERVER_MESSAGE = Draft202012Validator({"$ref": "#/$defs/ServerMessage", "$defs": _BUNDLE["$defs"]})
KNOWN = frozenset(
    ("hello", "refresh", "request", "attach", "detach", "cancel", "list", "ping", "pong")
)


@dataclass(frozen=True)
class Fate:
    """What must become of one message."""

    ends: frozenset[int] = frozenset()
    """The connection ends with one of these; empty: it survives."""
    is_refused: bool = False
    """It is surely answered with VALIDATION_ERROR or UNSUPPORTED_TYPE."""
    is_welcomed: bool = False


SURVIVES = Fate()


def of_text(data: bytes, max_bytes: int) -> Fate:
    """A text message on a connection that is open (PROTOCOL 2.2.4, 2.6.3, 4.3.8)."""
    if len(data) > max_bytes:
        return Fate(frozenset({1009}))
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return Fate(frozenset({1007}))
    document = _parsed(text)
    if not isinstance(document, dict):
        return Fate(is_refused=True)
    kind = document.get("type")
    # What a message of a known type lacks, the schema would say; what surely is none, is told here.
    return Fate(is_refused=not isinstance(kind, str) or kind not in KNOWN)


def of_first(data: bytes, max_bytes: int, good_tokens: frozenset[str]) -> Fate:
    """The first message of a connection (PROTOCOL 4.2.3, 4.2.5, 4.2.6)."""
    fate = of_text(data, max_bytes)
    if fate.ends:
        return fate
    document = _parsed(data.decode())
    if fate.is_refused or document["type"] != "hello":
        return Fate(frozenset({4400}))
    wrong = {str(next(iter(error.absolute_path), "")) for error in _HELLO.iter_errors(document)}
    if wrong - {"token"}:
        return Fate(frozenset({4400}))
    token = document.get("token")
    is_good = isinstance(token, str) and token in good_tokens
    if _is_questionable(document) or _repeats_keys(data):
        # Numbers, depth, sizes: refused, or within what this server takes.
        return Fate(frozenset({4400, 4401}), is_welcomed=is_good)
    return Fate(is_welcomed=True) if is_good else Fate(frozenset({4401}))


def is_server_message(message: Any) -> bool:
    """Whether the schema allows it."""
    return bool(_SERVER_MESSAGE.is_valid(message))


def _parsed(text: str) -> Any:
    """The last of equal keys counts; None for what is not JSON, or nests too deep to be read."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_int=_integer)
    except (ValueError, RecursionError):
        return None


def _integer(text: str) -> int | float:
    return int(text) if len(text) < 20 else math.inf


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _repeats_keys(data: bytes) -> bool:
    """What counts is the last of equal keys, but a server may look at all (PROTOCOL 2.3.11)."""
    repeated = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal repeated
        repeated = repeated or len(dict(pairs)) < len(pairs)

    json.loads(data, object_pairs_hook=look)
    return repeated


def _is_questionable(value: Any, depth: int = 1) -> bool:
    if isinstance(value, str):
        return len(value) > 16_384 or any("\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, int | float):
        return abs(value) > MAX_INTEGER
    if not isinstance(value, dict | list):
        return False
    inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
    return depth > 60 or len(inner) > 1000 or any(_is_questionable(one, depth + 1) for one in inner)
