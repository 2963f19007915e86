# SPDX-License-Identifier: Apache-2.0
"""A case: loaded from YAML, refused when anything in it could never matter.

Refused are unknown keys and verbs, variables that nothing binds, names that nothing defines,
variants that nothing uses, checks with the same name, and faults in `fired` that no step makes.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from .matching import select
from .vocabulary import CHECKS, PREDEFINED, VERBS

JsonObject = dict[str, Any]

_VARIABLE = re.compile(r"\$\{([^}]*)\}")


class CaseRefused(Exception):
    """The case says something that cannot be, or that could never matter."""


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
    seconds: int = 20

    @property
    def kind(self) -> str:
        """`client`, `server` or `e2e`."""
        return self.name.split("/", 1)[0]

    @property
    def uses_driver(self) -> bool:
        """Whether it must be played once for each driver."""
        return any(step.verb.startswith("driver.") for step in self.steps)

    @property
    def ends_servers(self) -> bool:
        """Whether it needs a server of its own, since it kills it."""
        return any(step.verb.startswith("server.") for step in self.steps)

    @property
    def label(self) -> str:
        """The name with its variant."""
        chosen = ",".join(f"{key}={value}" for key, value in self.variant.items())
        return f"{self.name}[{chosen}]" if chosen else self.name


def load_cases(folder: Path) -> list[Case]:
    """Reads every case below a folder; raises `CaseRefused` for the first that is wrong."""
    cases: list[Case] = []
    names: set[str] = set()
    for path in sorted(folder.rglob("*.yaml")):
        document = load_yaml(path)
        variants = list(parse_case(document, path.relative_to(folder).with_suffix("").as_posix()))
        if variants[0].name in names:
            raise CaseRefused(f"{path}: the case {variants[0].name} is there twice")
        names.add(variants[0].name)
        cases.extend(variants)
    if not cases:
        raise CaseRefused(f"{folder}: no case")
    return cases


class _Loader(yaml.SafeLoader):
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
    """Yields the case once for each choice of its variants."""
    for error in _schema().iter_errors(document):
        place = "/".join(map(str, error.absolute_path))
        raise CaseRefused(f"{expected_name}: at /{place}: {error.message[:200]}")
    if document["case"] != expected_name:
        raise CaseRefused(f"{expected_name}: calls itself {document['case']}")
    _lint(document)
    axes = document.get("variants", {})
    for choice in itertools.product(*axes.values()):
        variant = dict(zip(axes, choice, strict=True))
        steps = fill(document["steps"], variant, partial=True)
        yield Case(
            name=document["case"],
            title=document["title"],
            level=document["level"],
            requires=tuple(document["requires"]),
            steps=tuple(Step(*next(iter(step.items()))) for step in steps),
            checks=tuple(fill(document["then"], variant, partial=True)),
            server=document.get("server", {}),
            variant=variant,
            fired=tuple(document.get("fired", ())),
            seconds=document.get("seconds", 20),
        )


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
    whole = _VARIABLE.fullmatch(node)
    if whole is not None:
        return _value(whole, variables, partial)
    return _VARIABLE.sub(lambda match: str(_value(match, variables, partial)), node)


def _value(match: re.Match[str], variables: JsonObject, partial: bool) -> Any:
    name = match.group(1)
    if name in variables:
        return variables[name]
    root, _, path = name.partition(".")
    if root in variables:
        return select(variables[root], path)
    if partial:
        return match.group(0)
    raise CaseRefused(f"nothing binds {match.group(0)}")


@cache
def _schema() -> Draft202012Validator:
    text = resources.files("longcall_conformance").joinpath("case.schema.json").read_text("utf-8")
    return Draft202012Validator(json.loads(text))


def _lint(document: JsonObject) -> None:
    name = document["case"]
    bound = set(PREDEFINED) | set(document.get("variants", {}))
    defined: set[str] = set()
    _check_variables(f"{name}: variants", document.get("variants", {}), set(PREDEFINED))
    for number, step in enumerate(document["steps"], 1):
        (verb, arguments), *_ = step.items()
        where = f"{name}: step {number} ({verb})"
        if verb not in VERBS:
            raise CaseRefused(f"{where}: there is no such verb")
        _check_arguments(where, arguments, VERBS[verb].required, VERBS[verb].optional)
        _check_variables(where, arguments, bound)
        for key in VERBS[verb].uses:
            if key in arguments and arguments[key] not in defined:
                raise CaseRefused(f"{where}: nothing defines {arguments[key]}")
        defined.update(arguments[key] for key in VERBS[verb].defines if key in arguments)
        bound.update(arguments.get("bind", {}))
    _lint_checks(document, bound)
    for axis in document.get("variants", {}):
        if not re.search(rf"\$\{{{axis}[.}}]", json.dumps([document["steps"], document["then"]])):
            raise CaseRefused(f"{name}: nothing uses the variant {axis}")
    verbs = {next(iter(step)) for step in document["steps"]}
    for fault in document.get("fired", ()):
        if fault not in verbs:
            raise CaseRefused(f"{name}: no step makes the fault {fault}")


def _lint_checks(document: JsonObject, bound: set[str]) -> None:
    names = [check["check"] for check in document["then"]]
    if len(set(names)) != len(names):
        raise CaseRefused(f"{document['case']}: two checks share a name")
    for check in document["then"]:
        where = f"{document['case']}: check {check['check']}"
        kind = next(key for key in check if key != "check")
        if kind not in CHECKS:
            raise CaseRefused(f"{where}: there is no check {kind}")
        _check_arguments(where, check[kind], CHECKS[kind].required, CHECKS[kind].optional)
        _check_variables(where, check[kind], bound)


def _check_arguments(
    where: str, arguments: Any, required: tuple[str, ...], optional: tuple[str, ...]
) -> None:
    if not isinstance(arguments, dict):
        raise CaseRefused(f"{where}: needs an object")
    for key in required:
        if key not in arguments:
            raise CaseRefused(f"{where}: lacks {key}")
    for key in arguments:
        if key not in required and key not in optional:
            raise CaseRefused(f"{where}: does not know {key}")


def _check_variables(where: str, arguments: Any, bound: set[str]) -> None:
    for variable in _VARIABLE.findall(json.dumps(arguments)):
        if variable not in bound and variable.partition(".")[0] not in bound:
            raise CaseRefused(f"{where}: nothing binds ${{{variable}}}")
