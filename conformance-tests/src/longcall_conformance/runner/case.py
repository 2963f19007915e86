# SPDX-License-Identifier: Apache-2.0
"""A case: loaded from YAML, refused when anything in it could never matter (see `lint`).

A case that pins a rejection says what the defect is, and what stands there when it is right. It is
read as two: the case, and its control, which ends at the step that is rejected and demands that
the same thing without the defect is accepted there.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from .lint import VARIABLE, CaseRefused, lint
from .matching import select
from .vocabulary import VERBS

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One step: its verb and what it needs."""

    verb: str
    arguments: JsonObject


@dataclass(frozen=True)
class Case:
    """One case with its variants filled in: `variant` names the choice that was made."""

    name: str
    title: str
    level: str
    requires: tuple[str, ...]
    steps: tuple[Step, ...]
    checks: tuple[JsonObject, ...]
    server: JsonObject = field(default_factory=dict)
    variant: dict[str, Any] = field(default_factory=dict)
    fired: tuple[str, ...] = ()
    seconds: int = 30
    needs: tuple[str, ...] = ()
    control: bool = False
    """Whether the defect is switched off: played to the step that rejects, which must not."""

    @property
    def kind(self) -> str:
        """`client`, `server` or `e2e`."""
        return self.name.split("/", 1)[0]

    @property
    def features(self) -> frozenset[str]:
        """What a driver must have for it, beyond what all have."""
        named = (VERBS[step.verb].feature for step in self.steps)
        return frozenset(self.needs) | {feature for feature in named if feature is not None}

    @property
    def uses_driver(self) -> bool:
        """Whether it must be played once for each driver."""
        return any(step.verb.startswith("driver.") for step in self.steps)

    @property
    def ends_servers(self) -> bool:
        """Whether it needs a server of its own, since it kills it."""
        return any(step.verb.startswith("server.") for step in self.steps)

    @property
    def body(self) -> str:
        """What it does, as text: two with the same body are one."""
        return json.dumps([self.server, self.steps, self.checks], default=vars, sort_keys=True)

    @property
    def label(self) -> str:
        """The name with its variant; `(control)` where the defect is switched off."""
        chosen = ",".join(f"{key}={value}" for key, value in self.variant.items())
        label = f"{self.name}[{chosen}]" if chosen else self.name
        return f"{label} (control)" if self.control else label


def load_cases(folder: Path) -> list[Case]:
    """Reads every case below a folder; raises `CaseRefused` for the first that is wrong."""
    cases: list[Case] = []
    bodies: dict[str, str] = {}
    for path in sorted(folder.rglob("*.yaml")):
        document = load_yaml(path)
        expected = path.relative_to(folder).with_suffix("").as_posix()
        for case in parse_case(document, expected):
            other = bodies.setdefault(case.body, case.name)
            if other != case.name and not case.control:
                raise CaseRefused(f"{case.name}: has the steps and the checks of {other}")
            cases.append(case)
        template = json.dumps([document["steps"], document["then"]])
        if bodies.setdefault(template, expected) != expected:
            raise CaseRefused(f"{expected}: differs from {bodies[template]} in its variants alone")
    if not cases:
        raise CaseRefused(f"{folder}: no case")
    return cases


# The parser in C where PyYAML has it: three hundred cases are read in a second.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]  # one of two
    """YAML 1.2 as far as cases need it: `on` and `no` are words, a time is text."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":timestamp"))
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def load_yaml(path: Path) -> Any:
    """Reads a YAML file; raises `CaseRefused` where it is none."""
    try:
        # The loader constructs nothing but plain values: it is the safe one with fewer words.
        return yaml.load(path.read_text("utf-8"), Loader=_Loader)
    except yaml.YAMLError as error:
        raise CaseRefused(f"{path}: not YAML: {error}") from None


def parse_case(document: Any, expected_name: str) -> Iterator[Case]:
    """Yields the case once for each choice of its variants, then each control that is different."""
    for error in _schema().iter_errors(document):
        place = "/".join(map(str, error.absolute_path))
        raise CaseRefused(f"{expected_name}: at /{place}: {error.message[:200]}")
    if document["case"] != expected_name:
        raise CaseRefused(f"{expected_name}: calls itself {document['case']}")
    document = {**document, "steps": _unrolled(document["steps"], expected_name)}
    lint(document)
    axes = document.get("variants", {})
    variants = [
        dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())
    ]
    for variant in variants:
        yield _case(document, variant, control=False)
    if "control" in document:
        controls = [_case(document, variant, control=True) for variant in variants]
        yield from {case.body: case for case in reversed(controls)}.values()


def _unrolled(steps: list[JsonObject], name: str) -> list[JsonObject]:
    """Writes out `repeat: {as: i, from: 1, to: 100, steps: […]}`: `${i}` is a number in each copy.

    It counts down where `to` is the smaller one.
    """
    written: list[JsonObject] = []
    for number, step in enumerate(steps, 1):
        if "repeat" not in step:
            written.append(step)
            continue
        again = step["repeat"]
        first, last = again["from"], again["to"]
        body = json.dumps(again["steps"])
        if f"{{{again['as']}}}" not in body:
            raise CaseRefused(f"{name}: step {number} (repeat): nothing uses {again['as']}")
        for turn in range(first, last + 1) if first <= last else range(first, last - 1, -1):
            written += _turned(again["steps"], again["as"], turn)
    return written


def _turned(node: Any, name: str, turn: int) -> Any:
    """A copy with the number in its texts and in its keys; text that is the number alone is one."""
    if isinstance(node, dict):
        return {_numbered(key, name, turn): _turned(one, name, turn) for key, one in node.items()}
    if isinstance(node, list):
        return [_turned(one, name, turn) for one in node]
    if node == f"${{{name}}}":
        return turn
    return _numbered(node, name, turn) if isinstance(node, str) else node


def _numbered(text: str, name: str, turn: int) -> str:
    # `#{i}` stands within the name of a variable: ${id#{i}}.
    return text.replace(f"${{{name}}}", str(turn)).replace(f"#{{{name}}}", str(turn))


def _case(document: JsonObject, variant: JsonObject, *, control: bool) -> Case:
    chosen = document.get("control" if control else "defect", {})
    variables = {**variant, **fill(chosen, variant, partial=True)}
    filled = fill(document["steps"], variables, partial=True)
    steps = [Step(*next(iter(step.items()))) for step in filled]
    for number, step in enumerate(steps, 1):
        inspect = VERBS[step.verb].inspect
        try:
            if inspect is not None:
                inspect(step.arguments)
        except ValueError as error:
            where = f"{document['case']}: step {number} ({step.verb})"
            raise CaseRefused(f"{where}: {error}") from None
    if control:
        rejecting = next(n for n, step in enumerate(steps, 1) if "accepted" in step.arguments)
        del steps[rejecting:]
    return Case(
        name=document["case"],
        title=document["title"],
        level=document["level"],
        requires=tuple(document["requires"]),
        steps=tuple(steps),
        checks=() if control else tuple(fill(document["then"], variables, partial=True)),
        server=document.get("server", {}),
        variant=variant,
        fired=() if control else tuple(document.get("fired", ())),
        seconds=document.get("seconds", 30),
        needs=tuple(document.get("needs", ())),
        control=control,
    )


_MADE: dict[str, Callable[[int], str]] = {
    "text": lambda size: "a" * size,
    "nested": lambda levels: "[" * levels + "]" * levels,
}


def fill(node: Any, variables: JsonObject, *, partial: bool = False) -> Any:
    """Replaces `${name}` and `${name.place}`; text that is one variable takes its value as it is.

    Raises `CaseRefused` for an unknown variable, unless `partial`.
    """
    if isinstance(node, dict):
        return {key: fill(value, variables, partial=partial) for key, value in node.items()}
    if isinstance(node, list):
        return [fill(item, variables, partial=partial) for item in node]
    if not isinstance(node, str):
        return node
    whole = VARIABLE.fullmatch(node)
    if whole is not None:
        return _value(whole, variables, partial)
    return VARIABLE.sub(lambda match: str(_value(match, variables, partial)), node)


def _value(match: re.Match[str], variables: JsonObject, partial: bool) -> Any:
    name = match.group(1)
    if name in variables:
        return variables[name]
    root, _, path = name.partition(".")
    if root in variables:
        return select(variables[root], path)
    if root in _MADE:
        return _MADE[root](int(path))
    if partial:
        return match.group(0)
    raise CaseRefused(f"nothing binds {match.group(0)}")


@cache
def _schema() -> Draft202012Validator:
    text = resources.files("longcall_conformance").joinpath("case.schema.json").read_text("utf-8")
    return Draft202012Validator(json.loads(text))
