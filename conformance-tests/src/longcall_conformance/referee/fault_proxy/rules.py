# SPDX-License-Identifier: Apache-2.0
"""What the fault proxy does, and when: rules as data (their form is `proxy.schema.json`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import yaml
from jsonschema import Draft202012Validator

JsonObject = dict[str, Any]


class RulesRefused(Exception):
    """The rules are not such; the text says which one is wrong, where, and why."""


class Direction(StrEnum):
    """Where a frame goes."""

    TO_SERVER = "to_server"
    TO_CLIENT = "to_client"


class Fault(StrEnum):
    """What can be done to a frame, or to its connection because of it."""

    FIN = "fin"
    """Both sides are closed in order."""
    RESET = "reset"
    """Both sides get a RST."""
    BLACKHOLE = "blackhole"
    """Nothing passes any more, in either direction; both sides stay open and are read."""
    MID_FRAME = "mid-frame"
    """A part of the frame passes, then the connection ends."""
    STALL = "stall"
    """Nothing passes any more in this direction, and its sender is not read."""
    DELAY = "delay"
    """The frame, and all behind it in its direction, come later."""
    HOLD = "hold"
    """The same, until somebody releases them."""
    DUPLICATE = "duplicate"
    CORRUPT = "corrupt"
    SLICE = "slice"
    """The frame is written in small pieces."""
    THROTTLE = "throttle"
    """The frame is written slowly."""
    DROP = "drop"
    """The frame is left out."""


_OPTIONS: Final[Mapping[Fault, frozenset[str]]] = {
    Fault.FIN: frozenset({"after"}),
    Fault.RESET: frozenset({"after"}),
    Fault.BLACKHOLE: frozenset({"after", "ms"}),
    Fault.STALL: frozenset({"after", "ms"}),
    Fault.MID_FRAME: frozenset({"bytes", "how"}),
    Fault.DELAY: frozenset({"ms", "jitter_ms"}),
    Fault.HOLD: frozenset({"until"}),
    Fault.DUPLICATE: frozenset({"copies"}),
    Fault.CORRUPT: frozenset({"what"}),
    Fault.SLICE: frozenset({"bytes"}),
    Fault.THROTTLE: frozenset({"bytes_per_second"}),
    Fault.DROP: frozenset(),
}
_WHEN: Final = ("nth", "from", "every", "probability")


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame on its way: what rules are matched against."""

    connection: int
    direction: Direction
    number: int
    """Of the frames of its connection and direction, from 1."""
    type: str
    message: JsonObject | None
    """None of what is not a whole message in one frame."""
    size: int


@dataclass(frozen=True, slots=True)
class Place:
    """Which frames are meant."""

    direction: Direction
    type: str | None = None
    match: Mapping[str, Any] = field(default_factory=dict)
    connection: int | None = None
    nth: int = 1

    def fits(self, seen: Seen) -> bool:
        """Whether a frame is such."""
        message = seen.message or {}
        return (
            seen.direction is self.direction
            and self.type in (None, seen.type)
            and self.connection in (None, seen.connection)
            and all(key in message and message[key] == item for key, item in self.match.items())
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """One fault: where, when and what."""

    name: str
    fault: Fault
    place: Place
    when: str = "nth"
    """`nth`, `from`, `every` or `probability`."""
    number: float = 1
    times: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    until: Place | None = None

    def option(self, name: str, default: Any) -> Any:
        """What the rule says, or the default."""
        return self.options.get(name, default)


@dataclass(frozen=True, slots=True)
class RandomFaults:
    """Faults by lot."""

    requests_per_fault: int
    kinds: tuple[JsonObject, ...]
    every_kind: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a proxy is to do."""

    rules: tuple[Rule, ...] = ()
    random: RandomFaults | None = None


def load_plan(path: Path) -> Plan:
    """Reads rules from a YAML or JSON file; raises `RulesRefused`."""
    try:
        return parse_plan(yaml.safe_load(path.read_text("utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RulesRefused(f"{path}: not YAML: {error}") from None
    except RulesRefused as error:
        raise RulesRefused(f"{path}: {error}") from None


def parse_plan(document: Any) -> Plan:
    """Reads rules from what YAML or JSON gives; raises `RulesRefused`."""
    _check("", document)
    rules = tuple(_rule(one) for one in document.get("rules", ()))
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise RulesRefused(f"two rules are called {name}")
    by_lot = None
    if "random" in document:
        kinds = tuple(document["random"]["kinds"])
        for kind in kinds:
            if kind["fault"] == Fault.HOLD:
                raise RulesRefused("/random/kinds: nobody would release a hold")
            _check_options("/random/kinds", kind)
        by_lot = RandomFaults(**{**document["random"], "kinds": kinds})
    return Plan(rules, by_lot)


def parse_rules(documents: Iterable[JsonObject]) -> tuple[Rule, ...]:
    """Reads rules alone; raises `RulesRefused`."""
    return parse_plan({"rules": list(documents)}).rules


def random_rule(kind: JsonObject, place: Place) -> Rule:
    """The rule that a lot is."""
    options = {key: value for key, value in kind.items() if key != "fault"}
    return Rule(f"random/{kind['fault']}", Fault(kind["fault"]), place, options=options)


def _rule(document: JsonObject) -> Rule:
    when = [name for name in _WHEN if name in document]
    if len(when) > 1:
        raise RulesRefused(f"{document['name']}: {' and '.join(when)} exclude each other")
    named = when[0] if when else "nth"
    _check_options(document["name"], document)
    options = {key: document[key] for key in _OPTIONS[Fault(document["fault"])] & set(document)}
    until = options.pop("until", None)
    return Rule(
        name=document["name"],
        fault=Fault(document["fault"]),
        place=_place(document),
        when=named,
        number=document.get(named, 1),
        times=document.get("times", 1 if named == "nth" else None),
        options=options,
        until=None if until is None else _place(until),
    )


def _place(document: JsonObject) -> Place:
    return Place(
        direction=Direction(document["direction"]),
        type=document.get("type"),
        match=document.get("match", {}),
        connection=document.get("connection"),
        nth=document.get("nth", 1),
    )


def _check_options(where: str, document: JsonObject) -> None:
    fault = Fault(document["fault"])
    every = frozenset().union(*_OPTIONS.values())
    for name in sorted(every & set(document) - _OPTIONS[fault]):
        raise RulesRefused(f"{where}: {fault} does not know {name}")


def _check(where: str, document: Any) -> None:
    for error in _validator().iter_errors(document):
        place = "/".join(map(str, error.absolute_path))
        raise RulesRefused(f"at {where}/{place}: {error.message[:200]}")


@cache
def _validator() -> Draft202012Validator:
    text = resources.files("longcall_conformance").joinpath("proxy.schema.json").read_text("utf-8")
    return Draft202012Validator(json.loads(text))
