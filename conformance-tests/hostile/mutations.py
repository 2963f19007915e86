# SPDX-License-Identifier: Apache-2.0
"""What is done to a good message: to its structure, or to the bytes of its text."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from random import Random
from typing import Any

import vocabulary
from vocabulary import JsonObject, Stock

_STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1.5, 2**53, -(2**63), 10**40, 1e308, "", " ", "x", [], {}, [[]]),
    *(
        "\ud800",
        "\udfff\ud800",
        "a\x00b",
        "\u202eabc",
        "é" * 600,
        "x" * 41_000,
        "../..",
        ".",
        "..",
        "/",
    ),
    *("1", "null", "NaN", '"', "\\", "__proto__", "$ref", "' OR 1=1 --", "\u2028", "\ufeff"),
    *({"$ref": "#"}, {"": {"": {}}}, [None] * 40, {"a": 1e-320}, "9007199254740993"),
)
_KEYS = (
    "type",
    "id",
    "request_id",
    "action",
    "payload",
    "seq",
    "reply_to",
    "token",
    "sub",
    "",
    "é",
)
_TYPES = (*vocabulary.KINDS, "welcome", "complete", "subscribe", "REQUEST", "x" * 65, "\ud800", "")
_RAW = (
    "1e400",
    "-1E+999",
    "01",
    "1.",
    "NaN",
    "Infinity",
    "9" * 400,
    "-",
    "0x1",
    "'a'",
    "undefined",
)
_MARK = "\ue000mark\ue000"
"""Stands where raw text is put in."""


def structural(rng: Random, message: JsonObject, stock: Stock) -> bytes:
    """The text of the message with one to three places changed."""
    made = copy.deepcopy(message)
    raw: str | None = None
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        change = rng.choice(_CHANGES)
        found = change(rng, made, stock)
        raw = found or raw
    text = json.dumps(made, ensure_ascii=rng.random() < 0.3)
    if raw is not None:
        text = text.replace(json.dumps(_MARK), raw).replace(f'"{_MARK}"', raw)
    if rng.random() < 0.05:
        text = text[:-1] + f', "{rng.choice(_KEYS)}": {json.dumps(rng.choice(_STRANGE))}' + "}"
    # A lone surrogate cannot be sent as UTF-8: it travels as an escape.
    return text.encode("utf-8", "backslashreplace")


def _strange(rng: Random) -> Any:
    """A value of its own: what is drawn here may be changed after."""
    return copy.deepcopy(rng.choice(_STRANGE))


def _place(rng: Random, message: JsonObject) -> tuple[Any, Any]:
    """An object or array somewhere in the message, and a key of it."""
    container: Any = message
    while True:
        keys = list(container) if isinstance(container, dict) else list(range(len(container)))
        key = rng.choice(keys) if keys else None
        if key is None or not isinstance(container[key], dict | list) or rng.random() < 0.3:
            return container, key
        if not container[key]:
            return container, key
        container = container[key]


def _replace(rng: Random, message: JsonObject, stock: Stock) -> None:
    container, key = _place(rng, message)
    if key is not None:
        container[key] = _strange(rng)


def _remove(rng: Random, message: JsonObject, stock: Stock) -> None:
    container, key = _place(rng, message)
    if key is not None:
        del container[key]


def _add(rng: Random, message: JsonObject, stock: Stock) -> None:
    container, _ = _place(rng, message)
    if isinstance(container, dict):
        container[rng.choice(_KEYS)] = _strange(rng)
    else:
        container.append(_strange(rng))


def _rename(rng: Random, message: JsonObject, stock: Stock) -> None:
    key = rng.choice(list(message) or ["type"])
    message[rng.choice((key.upper(), key + "_", rng.choice(_KEYS)))] = message.pop(key, None)


def _retype(rng: Random, message: JsonObject, stock: Stock) -> None:
    message["type"] = rng.choice(_TYPES)


def _number(rng: Random, message: JsonObject, stock: Stock) -> str:
    container, key = _place(rng, message)
    if key is not None:
        container[key] = _MARK
    return rng.choice(_RAW)


def _nest(rng: Random, message: JsonObject, stock: Stock) -> str:
    container, key = _place(rng, message)
    if key is not None:
        container[key] = _MARK
    depth = rng.choice((5, 60, 63, 64, 70, 1000, 20_000))
    return rng.choice(("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth))


def _widen(rng: Random, message: JsonObject, stock: Stock) -> str:
    container, key = _place(rng, message)
    if key is not None:
        container[key] = _MARK
    return "[" + ",".join("1" * rng.choice((33, 500, 5_000))) + "]"


def _swap_id(rng: Random, message: JsonObject, stock: Stock) -> None:
    message[rng.choice(("id", "request_id"))] = rng.choice((*stock.foreign_ids, "never", "l1"))


def _merge(rng: Random, message: JsonObject, stock: Stock) -> None:
    message.update(vocabulary.message(rng, stock))


def _payload(rng: Random, message: JsonObject, stock: Stock) -> None:
    """What any server takes: another payload, or a member that nobody knows."""
    key = "payload" if message.get("type") == "request" else "later"
    message[key] = vocabulary.value(rng, 4)


_CHANGES: tuple[Callable[[Random, JsonObject, Stock], str | None], ...] = (
    *(_replace, _replace, _replace, _remove, _remove, _add, _rename, _retype),
    *(_number, _nest, _widen, _swap_id, _swap_id, _merge, *[_payload] * 6),
)


def bytewise(rng: Random, text: bytes, other: bytes) -> bytes:
    """The text flipped, cut, joined with another, or with something put in."""
    data = bytearray(text)
    at, to = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)
    match rng.randrange(9):
        case 0 | 1 | 2 if at < len(data):
            # The eighth bit makes what is not UTF-8, which ends a connection: seldom.
            data[at] ^= 1 << rng.choice((0, 1, 2, 3, 4, 5, 6, 6, 5, 4, 3, 2, 1, 0, 7))
        case 3:
            del data[at:]
        case 4:
            del data[min(at, to) : max(at, to)]
        case 5:
            data[at:] = other[rng.randrange(len(other) + 1) :]
        case 6:
            data[at:at] = data[min(at, to) : max(at, to)]
        case 7:
            data[at:at] = bytes(rng.randrange(128) for _ in range(rng.randrange(1, 5)))
        case _:
            data += rng.choice((b"", b" ", b"\n\t", b"{}", b"\x00", b",", text))
    return bytes(data)
