# SPDX-License-Identifier: Apache-2.0
"""Bugs are planted into the shipped code, one at a time, and the simulation finds each of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from longcall_server.core import lifecycle
from longcall_server.core.codes import RequestStatus
from simulation.mutants import MUTANTS
from simulation.planting import Mutant, MutantDoesNotFit
from simulation.world import run

BOUND = 1_500
"""Schedules within which a bug must be found; most are found in the first twenty."""
ACCIDENTS = ("NameError", "AttributeError", "TypeError", "UnboundLocalError")
DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "simulation.md"


def names(mutant: Mutant) -> str:
    return mutant.name


# fmt: off
@pytest.mark.slow
@pytest.mark.clause(
    "1.1.1", "5.1.6", "5.4.2", "5.4.6", "5.4.8", "5.4.12", "5.4.14", "5.5.1",
    "5.5.2", "5.6.3", "5.6.4", "5.6.5", "5.7.1", "5.9.1", "10.1.1", "10.3.1",
    "10.5.1", "10.6.2", "10.8.2", "10.14.2", "10.14.3", "10.14.5", "10.14.6",
    "10.15.1", "10.16.1", "10.17.1", "10.17.3", "10.18.2", "10.18.3", "10.19.1",
    "10.20.2", "10.21.1", "10.22.1", "10.22.2", "10.23.1", "10.24.1", "10.24.2",
    "10.25.2", "10.29.1", "10.31.1", "10.31.2", "10.33.2", "10.34.1", "10.35.1",
    "10.35.2", "10.36.1", "10.44.3", "10.44.4", "10.45.1", "10.47.4",
)
@pytest.mark.parametrize("mutant", MUTANTS, ids=names)
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    with mutant.planted():
        for seed in range(BOUND):
            found = run(seed)
            if found.violations:
                break
    assert found.violations, f"{mutant.name}: {BOUND} schedules did not notice"
    first = found.violations[0]
    assert not any(word in first for word in ACCIDENTS), f"{mutant.name} is no sound bug: {first}"
    sound = run(found.seed)
    assert not sound.violations, sound.failure()
# fmt: on


@pytest.mark.parametrize("mutant", MUTANTS, ids=names)
def test_a_mutant_changes_what_it_is_planted_into(mutant: Mutant) -> None:
    function = mutant.function()
    sound, mutated = function.__code__, mutant.mutated().__code__
    assert any(
        getattr(sound, part) != getattr(mutated, part)
        for part in ("co_code", "co_consts", "co_names")
    )
    with mutant.planted():
        assert function.__code__ is not sound
    assert function.__code__ is sound


def test_there_are_enough_bugs_each_with_a_name_and_a_clause() -> None:
    assert len(MUTANTS) >= 20
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    for mutant in MUTANTS:
        assert re.fullmatch(r"\d+\.\d+\.\d+(, \d+\.\d+\.\d+)*", mutant.clause), mutant.name


def test_every_bug_stands_in_the_document() -> None:
    rows = re.findall(r"^\| (.+) \| ([\d., ]+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    listed = {(name, clause) for name, clause in rows}
    assert {(mutant.name, mutant.clause) for mutant in MUTANTS} <= listed


@pytest.mark.parametrize(
    ("target", "old"),
    [
        ("core.lifecycle:holds_attempt", "what is not there"),
        ("core.lifecycle:holds_attempt", "facts"),  # more than once
        ("core.lifecycle:no_such_function", "facts"),
        ("core.no_such_module:holds_attempt", "facts"),
        ("core.lifecycle:WAITING", "facts"),
    ],
)
def test_a_mutant_that_does_not_fit_is_an_error(target: str, old: str) -> None:
    mutant = Mutant("misfit", "1.1.1", target, old, "nothing")
    with pytest.raises(MutantDoesNotFit), mutant.planted():
        pass


def test_whoever_has_imported_a_function_runs_its_mutant() -> None:
    imported = lifecycle.is_finished
    mutant = Mutant(
        "nothing ends", "5.8.1", "core.lifecycle:is_finished", "status in FINISHED", "False"
    )
    with mutant.planted():
        assert imported(RequestStatus.COMPLETED) is False
    assert imported(RequestStatus.COMPLETED) is True
