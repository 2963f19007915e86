# SPDX-License-Identifier: Apache-2.0
"""What a hostile client does, as data: everything follows from the seed, the number of the
connection and the number of the play, so that any of it can be done again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import expectations
import mutations
import vocabulary
from expectations import SURVIVES, Fate
from vocabulary import Stock

from longcall_conformance.referee.frames import Opcode, close_payload, encode

VOLLEY = 25
"""Messages that are sent without waiting; a ping behind them tells that all were read."""


@dataclass(frozen=True)
class Shot:
    """One message, or what is none."""

    wire: bytes
    fate: Fate
    told: str
    """What it is, for a finding."""
    is_mutation: bool = True
    drops: bool = False
    """The client goes away behind it."""


@dataclass(frozen=True)
class Play:
    """The life of one connection."""

    first: Shot
    volleys: tuple[tuple[Shot, ...], ...]
    """Each is answered before the next; the last one may end with a shot that ends it all."""


def play(stock: Stock, max_bytes: int, seed: int, connection: int, number: int) -> Play:
    """One of the plays of a connection."""
    rng = Random(f"{seed}/{connection}/{number}")
    good = frozenset((stock.token, *stock.foreign_tokens))
    hello = json.dumps({"type": "hello", "token": stock.token}).encode()
    if rng.random() < 0.3:
        hello = _mutated(rng, stock, _first(rng, stock))
        fate = expectations.of_first(hello, max_bytes, good)
        first = _text(hello, fate)
        if not fate.is_welcomed:
            return Play(first, ())
    else:
        first = _text(hello, Fate(is_welcomed=True), is_mutation=False)
    return Play(first, tuple(_volleys(rng, stock, max_bytes)))


def _first(rng: Random, stock: Stock) -> vocabulary.JsonObject:
    kind = "hello" if rng.random() < 0.8 else rng.choice(vocabulary.KINDS)
    return vocabulary.of_kind(kind, rng, stock)


def _volleys(rng: Random, stock: Stock, max_bytes: int) -> Iterator[tuple[Shot, ...]]:
    ended = False
    for _ in range(rng.randrange(2, 30)):
        volley: list[Shot] = []
        while len(volley) < VOLLEY and not ended:
            shot = _shot(rng, stock, max_bytes)
            volley.append(shot)
            ended = bool(shot.fate.ends) or shot.drops
        yield tuple(volley)
        if ended:
            return
    yield (_ending(rng, max_bytes),)


def _shot(rng: Random, stock: Stock, max_bytes: int) -> Shot:
    chance = rng.random()
    if chance < 0.12:
        return _text(_json(rng, stock), SURVIVES, is_mutation=False)
    if chance < 0.13:
        return _fragmented(rng, _json(rng, stock))
    if chance < 0.132:
        return _ending(rng, max_bytes)
    data = _mutated(rng, stock, vocabulary.message(rng, stock))
    return _text(data, expectations.of_text(data, max_bytes))


def _mutated(rng: Random, stock: Stock, message: vocabulary.JsonObject) -> bytes:
    if rng.random() < 0.6:
        return mutations.structural(rng, message, stock)
    return mutations.bytewise(rng, json.dumps(message).encode(), _json(rng, stock))


def _json(rng: Random, stock: Stock) -> bytes:
    return json.dumps(vocabulary.message(rng, stock), ensure_ascii=False).encode()


def _text(data: bytes, fate: Fate, *, is_mutation: bool = True) -> Shot:
    return Shot(encode(Opcode.TEXT, data, mask=True), fate, _told(data), is_mutation)


def _fragmented(rng: Random, data: bytes) -> Shot:
    """PROTOCOL 2.2.5: any number of fragments, with control frames between them."""
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(1, 6)))
    parts = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    wire = b""
    for number, part in enumerate(parts):
        opcode = Opcode.CONTINUATION if number else Opcode.TEXT
        wire += encode(opcode, part, mask=True, fin=number == len(parts) - 1)
        if rng.random() < 0.5 and number < len(parts) - 1:
            wire += encode(Opcode.PING, b"between", mask=True)
    return Shot(wire, SURVIVES, f"{len(parts)} fragments of {_told(data)}")


def _ending(rng: Random, max_bytes: int) -> Shot:
    """What ends a connection by right, or the client's going away."""
    text = encode(Opcode.TEXT, b'{"type":"ping"}', mask=True)
    broken = frozenset({1002})
    endings = (
        Shot(encode(Opcode.BINARY, b"\x00", mask=True), Fate(frozenset({1003})), "binary"),
        Shot(
            encode(Opcode.TEXT, b"x" * (max_bytes + 1), mask=True), Fate(frozenset({1009})), "large"
        ),
        Shot(encode(Opcode.TEXT, b"\xff\xfe", mask=True), Fate(frozenset({1007})), "not UTF-8"),
        Shot(bytes([text[0] | 0x40]) + text[1:], Fate(broken), "a reserved bit"),
        Shot(bytes([0x83]) + text[1:], Fate(broken), "a reserved opcode"),
        Shot(encode(Opcode.CONTINUATION, b"x", mask=True), Fate(broken), "continues nothing"),
        Shot(encode(Opcode.TEXT, b"{}", mask=False), Fate(broken), "not masked"),
        Shot(encode(Opcode.PING, b"x" * 126, mask=True), Fate(broken), "a long ping"),
        Shot(encode(Opcode.PING, b"x", mask=True, fin=False), Fate(broken), "a ping in pieces"),
        Shot(
            encode(Opcode.CLOSE, close_payload(1005), mask=True), Fate(broken), "closes with 1005"
        ),
        Shot(
            encode(Opcode.CLOSE, close_payload(1000, "bye"), mask=True),
            Fate(frozenset({1000})),
            "closes",
        ),
        Shot(b"", SURVIVES, "goes away", drops=True),
        Shot(text[: rng.randrange(1, len(text))], SURVIVES, "breaks off in a frame", drops=True),
    )
    return rng.choice(endings)


def _told(data: bytes) -> str:
    text = data.decode("utf-8", "backslashreplace")
    return text if len(text) <= 400 else f"{text[:400]}… ({len(data)} bytes)"
