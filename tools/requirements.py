# SPDX-License-Identifier: Apache-2.0
"""What stands for each requirement of the protocol: a case, a test, the second part, a reason.

usage: requirements.py check

Cases and tests are computed from their markers (clause_markers.py); what cannot be computed stands
in conformance-tests/requirements.yaml. A MUST or SHOULD that neither accounts for is an error, and
so is one of the fifty rules without a case, an invariant of the simulation, or tests with the
reason why there can be no case.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from clause_markers import CASES, Marker, collect
from protocol_text import Clause, clauses
from sources import ROOT, tracked

TEXT = Path("schema/PROTOCOL.md")
LIST = Path("conformance-tests/requirements.yaml")
SIMULATION = Path("docs/simulation.md")
RULES = 50
SHORTEST_REASON = 30
LARGEST_SHARE = 0.05
ROW = re.compile(r"^\| ([^|]+) \| ([\d., ]+) \|$", re.MULTILINE)


@dataclass(frozen=True)
class Requirements:
    """The list."""

    part_two: Sequence[str]
    excluded: Mapping[str, str]
    rules: Mapping[str, Mapping[str, str]]


def read(text: str) -> Requirements:
    """The list from its text; raises ValueError where it is none."""
    document = yaml.safe_load(text)
    if not isinstance(document, dict) or set(document) != {"part_two", "excluded", "rules"}:
        raise ValueError(f"{LIST}: has part_two, excluded and rules")
    for rule, told in document["rules"].items():
        if not isinstance(told, dict) or set(told) not in ({"invariant"}, {"tests"}):
            raise ValueError(f"{LIST}: {rule} has an invariant, or tests with the reason")
    return Requirements(document["part_two"], document["excluded"], document["rules"])


def invariants(text: str) -> dict[str, list[str]]:
    """The invariants of the simulation, each with the clauses and sections that it judges."""
    return {name.strip(): numbers.split(", ") for name, numbers in ROW.findall(text)}


def under(number: str, section: str) -> bool:
    """Whether a clause or section is a section, or stands in it."""
    return number == section or number.startswith(f"{section}.")


def problems(
    known: Sequence[Clause],
    markers: Sequence[Marker],
    listed: Requirements,
    judged: Mapping[str, Sequence[str]],
) -> Iterator[str]:
    """One line for each thing that is wrong."""
    checked = {marker.clause for marker in markers}
    required = [clause for clause in known if re.search(r"\b(MUST|SHOULD)\b", clause.words)]
    for clause in required:
        number = clause.number
        second = any(under(number, section) for section in listed.part_two)
        if not (number in checked or second or number in listed.excluded):
            yield f"{TEXT}: nothing stands for {number}: {clause.words}"
    yield from exclusions(required, checked, listed)
    yield from rules(known, markers, listed, judged)


def exclusions(
    required: Sequence[Clause], checked: set[str], listed: Requirements
) -> Iterator[str]:
    """What is wrong with what is left out."""
    numbers = {clause.number for clause in required}
    for number, reason in listed.excluded.items():
        if number not in numbers:
            yield f"{LIST}: {number} is no requirement of {TEXT}"
        elif number in checked:
            yield f"{LIST}: {number} has a check now: take it off"
        if len(reason) < SHORTEST_REASON:
            yield f"{LIST}: {number} needs a reason in words"
    if len(listed.excluded) > LARGEST_SHARE * len(required):
        yield f"{LIST}: {len(listed.excluded)} of {len(required)} left out is more than a twentieth"
    for section in listed.part_two:
        if not any(under(number, section) for number in numbers):
            yield f"{LIST}: there is no requirement under {section} in {TEXT}"


def rules(
    known: Sequence[Clause],
    markers: Sequence[Marker],
    listed: Requirements,
    judged: Mapping[str, Sequence[str]],
) -> Iterator[str]:
    """What is wrong with what stands for the rules of chapter 10."""
    every = [f"10.{n}" for n in range(1, RULES + 1)]
    cases = {marker.clause for marker in markers if marker.path.is_relative_to(CASES)}
    tests = {marker.clause for marker in markers}
    for rule in every:
        if not any(under(clause.number, rule) for clause in known):
            yield f"{TEXT}: there is no rule {rule}"
        told = listed.rules.get(rule)
        if told is None:
            if not any(under(number, rule) for number in cases) and rule not in listed.part_two:
                yield f"{LIST}: the rule {rule} has neither a case nor an invariant"
        elif "invariant" in told:
            numbers = judged.get(told["invariant"])
            if numbers is None:
                yield f"{LIST}: {rule}: {SIMULATION} has no invariant: {told['invariant']}"
            elif not any(under(number, rule) for number in numbers):
                yield f"{LIST}: {rule}: {SIMULATION} does not say that this judges it"
        elif len(told["tests"]) < SHORTEST_REASON:
            yield f"{LIST}: {rule} needs a reason in words"
        elif not any(under(number, rule) for number in tests):
            yield f"{LIST}: {rule} has no test"
    for rule in listed.rules.keys() - set(every):
        yield f"{LIST}: {rule} is none of the {RULES} rules"


def main(words: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Prints what is wrong; 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("verb", choices=["check"])
    parser.parse_args(words)
    known = list(clauses((root / TEXT).read_text(encoding="utf-8")))
    listed = read((root / LIST).read_text(encoding="utf-8"))
    judged = invariants((root / SIMULATION).read_text(encoding="utf-8"))
    markers = collect(root, tracked(root)).markers
    wrong = list(problems(known, markers, listed, judged))
    for line in wrong:
        print(line)
    required = [clause for clause in known if re.search(r"\b(MUST|SHOULD)\b", clause.words)]
    cases = {marker.clause for marker in markers if marker.path.is_relative_to(CASES)}
    by_case = sum(clause.number in cases for clause in required)
    print(f"requirements: {len(required)}, by a case: {by_case}, problems: {len(wrong)}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
