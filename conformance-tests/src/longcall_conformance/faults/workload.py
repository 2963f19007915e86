# SPDX-License-Identifier: Apache-2.0
"""What a driver asks for, and what must come of it: computed here from the payload, by nobody else.

Everything is an action of the suite's handlers, so that any server under test can be asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

JsonObject = dict[str, Any]
Moment = Literal["acknowledged", "progress"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. Its name is also that of its counter and of its gate."""

    verb: Literal["submit", "call"]
    action: str
    payload: Any
    expect: JsonObject
    """As `referee.observations` says."""
    executions: int | None = None
    """How often the server must say that it has begun; None: it does not count them.

    The counter of a request that ends with an error may also stand at 0: it never began.
    """
    is_durable: bool = True
    """Stored before it runs; a quick one may run a second time when its answer was lost."""
    cancel_at: Moment | None = None
    release_at: Moment | None = None
    watched: bool = False
    """Another client of its owner reads it too."""


@dataclass(frozen=True, slots=True)
class _Script:
    """Steps of `conf.script`, with what they give."""

    steps: list[JsonObject] = field(default_factory=list)
    chunks: list[Any] = field(default_factory=list)

    def chunk(self, rng: Random) -> None:
        if rng.random() < 0.1:
            size = rng.randint(1_000, 8_000)
            self.steps.append({"large_bytes": size})
            self.chunks.append("a" * (size - 2))
        else:
            value = [len(self.chunks), _text(rng)]
            self.steps.append({"chunk": value})
            self.chunks.append(value)

    def progress(self, percentage: float) -> None:
        self.steps.append({"progress": {"percentage": percentage}})

    def finished(self, rng: Random, *, percentage: bool) -> tuple[JsonObject, JsonObject]:
        """The payload and what is expected of it."""
        result = {"text": _text(rng), "chunks": len(self.chunks)}
        expect: JsonObject = {"result": result, "chunks": self.chunks}
        if percentage:
            self.progress(100)
            expect["percentage"] = 100
        self.steps.append({"result": result})
        return {"steps": self.steps}, expect


def _begun(name: str) -> _Script:
    return _Script([{"count": name}])


def _echo(rng: Random, name: str) -> Asked:
    payload = _value(rng, name)
    return Asked("call", "echo", payload, {"result": payload}, is_durable=False)


def _echo_async(rng: Random, name: str) -> Asked:
    payload = _value(rng, name)
    return Asked(_verb(rng), "echo_async", payload, {"result": payload})


def _stream(rng: Random, name: str) -> Asked:
    script = _begun(name)
    count = rng.randint(1, 12)
    for number in range(count):
        script.chunk(rng)
        if rng.random() < 0.5:
            script.progress(round(100 * number / count, 1))
    payload, expect = script.finished(rng, percentage=True)
    action = rng.choice(("conf.script", "conf.once"))
    verb = _verb(rng)
    watched = verb == "submit" and rng.random() < 0.25
    return Asked(verb, action, payload, expect, executions=1, watched=watched)


def _retried(rng: Random, name: str) -> Asked:
    """Its first attempt fails in the middle: what it wrote is void."""
    script = _begun(name)
    for _ in range(rng.randint(1, 4)):
        script.chunk(rng)
    script.steps.append({"fail": {"attempts": 1, "retryable": True}})
    script.chunk(rng)
    payload, expect = script.finished(rng, percentage=False)
    return Asked("submit", "conf.script", payload, expect, executions=2, watched=_seldom(rng))


def _failed(rng: Random, name: str) -> Asked:
    script = _begun(name)
    script.chunk(rng)
    script.steps.append({"fail": {"message": "The script says so."}})
    expect = {"codes": ["HANDLER_ERROR"]}
    return Asked(_verb(rng), "conf.once", {"steps": script.steps}, expect, executions=1)


def _promoted(rng: Random, name: str) -> Asked:
    """Quick, until it takes too long; it goes on when its caller has been told so much."""
    script = _begun(name)
    script.progress(1)
    script.steps.append({"hold": name})
    script.chunk(rng)
    payload, expect = script.finished(rng, percentage=True)
    return Asked(
        "call", "conf.promoted", payload, expect, executions=1, is_durable=False,
        release_at="progress",
    )  # fmt: skip


def _cancelled(rng: Random, name: str) -> Asked:
    """Ends by its cancel and by nothing else."""
    script = _begun(name)
    script.chunk(rng)
    script.progress(1)
    script.steps.append({"hold": name})
    return Asked(
        "submit", "conf.script", {"steps": script.steps}, {"codes": ["CANCELLED"]}, executions=1,
        cancel_at=rng.choice(("acknowledged", "progress")), watched=_seldom(rng),
    )  # fmt: skip


def _cancelled_in_time_or_not(rng: Random, name: str) -> Asked:
    script = _begun(name)
    for _ in range(rng.randint(1, 10)):
        script.chunk(rng)
    payload, expect = script.finished(rng, percentage=False)
    return Asked(
        "submit", "conf.once", payload, {**expect, "codes": ["CANCELLED"]}, executions=1,
        cancel_at="acknowledged",
    )  # fmt: skip


_MIX: tuple[tuple[int, Callable[[Random, str], Asked]], ...] = (
    (6, _echo),
    (4, _echo_async),
    (10, _stream),
    (2, _retried),
    (1, _failed),
    (1, _promoted),
    (1, _cancelled),
    (1, _cancelled_in_time_or_not),
)


def mixed(rng: Random, name: str) -> Asked:
    """A request of any kind, under a name that no other has."""
    (make,) = rng.choices([make for _, make in _MIX], [weight for weight, _ in _MIX])
    return make(rng, name)


def _verb(rng: Random) -> Literal["submit", "call"]:
    return "submit" if rng.random() < 0.6 else "call"


def _seldom(rng: Random) -> bool:
    return rng.random() < 0.25


def _value(rng: Random, name: str) -> JsonObject:
    return {"name": name, "text": _text(rng), "number": rng.randint(-(2**53), 2**53)}


def _text(rng: Random) -> str:
    return "".join(rng.choices('abcdefgh "\\é日😀\n', k=rng.randint(0, 40)))
