# SPDX-License-Identifier: Apache-2.0
"""Good messages, drawn from a seed: what the hostile client begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

JsonObject = dict[str, Any]

ACTIONS = ("h.echo", "h.keep", "h.count", "h.slow", "h.fail")
KINDS = ("request", "attach", "cancel", "detach", "list", "refresh", "hello", "ping", "pong")
_WEIGHTS = (30, 16, 10, 6, 10, 4, 3, 12, 3)


@dataclass(frozen=True)
class Stock:
    """What a connection knows."""

    token: str
    foreign_tokens: Sequence[str]
    """Good ones, of others."""
    bad_tokens: Sequence[str]
    own_ids: Sequence[str]
    foreign_ids: Sequence[str]
    """Of other owners: those of the honest among them."""


def message(rng: Random, stock: Stock) -> JsonObject:
    """A message that the schema allows, of any kind."""
    (kind,) = rng.choices(KINDS, _WEIGHTS)
    return of_kind(kind, rng, stock)


def of_kind(kind: str, rng: Random, stock: Stock) -> JsonObject:
    """A message of this kind."""
    match kind:
        case "request":
            return _request(rng, stock)
        case "attach":
            follow = rng.choice(({}, {"follow": True}, {"follow": False}))
            return {**_named(kind, rng, stock), "after_seq": rng.choice((0, 0, 1, 2, 9)), **follow}
        case "cancel":
            return {**_named(kind, rng, stock), **rng.choice(({}, {"reason": "hostile"}))}
        case "detach":
            return _named(kind, rng, stock)
        case "list":
            return _list(rng)
        case "refresh":
            return {"type": kind, "token": _any_token(rng, stock)}
        case "hello":
            return {
                "type": kind,
                "token": _any_token(rng, stock),
                "client": {"name": "hostile", "version": "1"},
            }
    return {"type": kind, **rng.choice(({}, {"nonce": f"n{rng.randrange(100)}"}))}


def _request(rng: Random, stock: Stock) -> JsonObject:
    action = rng.choice(ACTIONS)
    made: JsonObject = {"type": "request", "id": rng.choice(stock.own_ids), "action": action}
    if action == "h.count":
        made["payload"] = rng.randrange(6)
    elif rng.random() < 0.8:
        made["payload"] = value(rng, 3)
    more: tuple[tuple[str, Any], ...] = (
        ("metadata", {"k": "v", "tenant_id": "acme", "sub": "alice"}),
        ("deadline_ms", rng.choice((1, 50, 60_000))),
        ("delay_ms", rng.choice((0, 10, 100))),
        ("priority", rng.randrange(10)),
        ("resend", True),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    )
    for key, given in more:
        if rng.random() < 0.15:
            made[key] = given
    return made


def _list(rng: Random) -> JsonObject:
    made: JsonObject = {"type": "list", "id": f"l{rng.randrange(20)}", "limit": 5}
    if rng.random() < 0.4:
        made["status"] = rng.sample(("queued", "processing", "failed", "completed", "new_one"), 2)
    if rng.random() < 0.3:
        made["action"] = rng.choice(ACTIONS)
    if rng.random() < 0.1:
        made["sub"] = "alice"
    if rng.random() < 0.2:
        made["cursor"] = "bm90IG9uZSBvZiBvdXJz"
    return made


def _named(kind: str, rng: Random, stock: Stock) -> JsonObject:
    ids = stock.own_ids if rng.random() < 0.7 else stock.foreign_ids
    return {"type": kind, "request_id": rng.choice(ids)}


def _any_token(rng: Random, stock: Stock) -> str:
    if rng.random() < 0.5:
        return stock.token
    return rng.choice((*stock.foreign_tokens, *stock.bad_tokens))


def value(rng: Random, depth: int) -> Any:
    """Any JSON value that I-JSON has."""
    match rng.randrange(9 if depth else 7):
        case 0:
            return None
        case 1:
            return rng.random() < 0.5
        case 2:
            return rng.choice((0, -1, 2**53 - 1, -(2**53) + 1, rng.randrange(10**6)))
        case 3:
            return rng.choice((0.5, -1e-300, 1.7976931348623157e308, 5e-324, rng.random()))
        case 4 | 5 | 6:
            return rng.choice(("", "text", "é\u2028\U0001f600", "\x00\x1f\x7f", "x" * 300))
        case 7:
            return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {f"k{number}": value(rng, depth - 1) for number in range(rng.randrange(4))}
