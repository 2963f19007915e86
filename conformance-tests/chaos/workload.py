# SPDX-License-Identifier: Apache-2.0
"""What clients ask for, and what they must get: computed here from the payload, by nobody else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    action: str
    payload: JsonObject
    expect: JsonObject
    """As `longcall_conformance.referee.observations` says."""
    is_quick: bool = False
    deadline_s: float | None = None
    cancelled: bool = False
    """Another client is to cancel it."""
    watched: bool = False
    """Another client is to read it too."""


def expected(payload: JsonObject, *, chunks: bool = True) -> JsonObject:
    """The chain of a payload: its links as chunks, its end as result."""
    state, links = 0, []
    for number in range(payload.get("steps", 1)):
        state = (1_103_515_245 * state + payload["seed"]) & 0x7FFFFFFF
        links.append([number, state])
    result = {"steps": len(links), "state": state}
    return {"result": result, "chunks": links} if chunks else {"result": result}


def _chain(rng: Random) -> Asked:
    payload = {
        **_seeded(rng),
        "steps": rng.randint(2, 24),
        "pause_ms": rng.randint(0, 60),
        "every": rng.choice((1, 1, 3, 5)),
    }
    return Asked("chain", payload, {**expected(payload), "percentage": 100}, watched=_one_in(rng))


def _stream(rng: Random) -> Asked:
    payload = {**_seeded(rng), "steps": rng.randint(1, 12), "pause_ms": rng.randint(0, 20)}
    return Asked("stream", payload, {**expected(payload), "percentage": 100}, watched=_one_in(rng))


def _threaded(rng: Random) -> Asked:
    payload = {**_seeded(rng), "steps": rng.randint(1, 10), "pause_ms": rng.randint(0, 30)}
    return Asked(rng.choice(("threaded", "computed")), payload, expected(payload))


def _flaky(rng: Random) -> Asked:
    payload = {**_seeded(rng), "failures": rng.randint(0, 3)}
    return Asked("flaky", payload, expected(payload))


def _measure(rng: Random) -> Asked:
    payload = {**_seeded(rng), "steps": rng.randint(100, 600), "pause_ms": rng.randint(0, 40)}
    return Asked("measure", payload, {**expected(payload, chunks=False), "percentage": 100})


def _quick(rng: Random) -> Asked:
    payload = _seeded(rng)
    return Asked("quick", payload, expected(payload, chunks=False), is_quick=True)


def _promoted(rng: Random) -> Asked:
    payload = {**_seeded(rng), "pause_ms": rng.choice((5, 18, 20, 22, 60, 200))}
    return Asked("promoted", payload, expected(payload, chunks=False), is_quick=True)


def _document(rng: Random) -> Asked:
    payload = {**_seeded(rng), "steps": rng.randint(1, 20)}
    expect = expected(payload)
    content = "".join(f"{state}\n" for _, state in expect.pop("chunks"))
    digest = hashlib.sha256(content.encode()).hexdigest()
    return Asked("document", payload, {**expect, "files": {"chain.txt": digest}})


def _cancelled(rng: Random) -> Asked:
    return Asked("wait", _seeded(rng), {"codes": ["CANCELLED"]}, cancelled=True)


def _cancelled_in_time_or_not(rng: Random) -> Asked:
    payload = {**_seeded(rng), "steps": rng.randint(2, 10), "pause_ms": rng.randint(0, 20)}
    expect = {**expected(payload), "codes": ["CANCELLED"]}
    return Asked("chain", payload, expect, cancelled=True)


def _too_late(rng: Random) -> Asked:
    deadline = rng.uniform(0.05, 1.5)
    return Asked("wait", _seeded(rng), {"codes": ["TIMEOUT"]}, deadline_s=deadline)


def _perhaps_too_late(rng: Random) -> Asked:
    payload = {**_seeded(rng), "steps": 10, "pause_ms": rng.randint(0, 100)}
    expect = {**expected(payload), "codes": ["TIMEOUT"]}
    return Asked("chain", payload, expect, deadline_s=rng.uniform(0.3, 2.0))


_MIX: tuple[tuple[int, Callable[[Random], Asked]], ...] = (
    (6, _chain),
    (4, _stream),
    (3, _threaded),
    (2, _flaky),
    (3, _measure),
    (4, _quick),
    (3, _promoted),
    (2, _document),
    (1, _cancelled),
    (1, _cancelled_in_time_or_not),
    (1, _too_late),
    (1, _perhaps_too_late),
)


def mixed(rng: Random) -> Asked:
    """A request of any kind."""
    (make,) = rng.choices([make for _, make in _MIX], [weight for weight, _ in _MIX])
    return make(rng)


def once(rng: Random) -> Asked:
    """A request that may be tried once, and takes about as long as a server waits at its end."""
    payload = {
        **_seeded(rng),
        "steps": rng.randint(3, 12),
        "pause_ms": rng.randint(20, 200),
        "every": rng.choice((1, 1, 2, 4)),
    }
    return Asked("once", payload, {**expected(payload), "percentage": 100})


def _seeded(rng: Random) -> JsonObject:
    return {"seed": rng.randrange(1_000_000)}


def _one_in(rng: Random, count: int = 8) -> bool:
    return rng.randrange(count) == 0
