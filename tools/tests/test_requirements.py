# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from clause_markers import Marker
from protocol_text import Clause
from requirements import RULES, Requirements, invariants, main, problems, read

CASE = Path("conformance-tests/cases/client/a/b.yaml")
TEST = Path("server/tests/test_a.py")
INVARIANT = "a log is append-only"
JUDGED = {INVARIANT: ["1.1", "10.1"]}


def clause(number: str, words: str = "A server MUST do it.") -> Clause:
    return Clause(number, words, "section", "chapter")


KNOWN = [clause("1.1.1"), *(clause(f"10.{n}.1") for n in range(1, RULES + 1))]
MARKERS = [
    Marker("1.1.1", TEST, "test_it"),
    *(Marker(f"10.{n}.1", CASE, "client/a/b") for n in range(1, RULES + 1)),
]
NOTHING = Requirements((), {}, {})
REASON = "It takes a browser, and no driver runs in one."


def found(
    *more: Clause, markers: list[Marker] = MARKERS, listed: Requirements = NOTHING
) -> list[str]:
    return list(problems([*KNOWN, *more], markers, listed, JUDGED))


def test_what_cases_and_tests_prove_needs_no_list() -> None:
    assert found() == []


def test_a_requirement_that_nothing_stands_for_is_named() -> None:
    (problem,) = found(clause("2.1.1"))
    assert "nothing stands for 2.1.1" in problem
    assert found(clause("2.1.1", "A client MAY do it.")) == []
    assert found(clause("2.1.1", "A client SHOULD do it.")) != []


def test_the_second_part_and_a_reason_stand_for_requirements() -> None:
    assert found(clause("8.1.1"), listed=Requirements(["8"], {}, {})) == []
    assert found(clause("2.1.1"), listed=Requirements([], {"2.1.1": REASON}, {})) == []


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        (Requirements(["9"], {}, {}), "no requirement under 9"),
        (Requirements([], {"1.1.1": REASON}, {}), "1.1.1 has a check now"),
        (Requirements([], {"7.7.7": REASON}, {}), "7.7.7 is no requirement"),
        (Requirements([], {"2.1.1": "too hard"}, {}), "2.1.1 needs a reason"),
        (Requirements([], {f"2.1.{n}": REASON for n in range(1, 5)}, {}), "more than a twentieth"),
        (Requirements([], {}, {"10.51": {"tests": REASON}}), "10.51 is none of the 50 rules"),
        (Requirements([], {}, {"10.1": {"invariant": "none"}}), "has no invariant: none"),
        (Requirements([], {}, {"10.2": {"invariant": INVARIANT}}), "does not say that this judges"),
        (Requirements([], {}, {"10.2": {"tests": "too hard"}}), "10.2 needs a reason"),
    ],
)
def test_what_is_wrong_in_the_list_is_named(listed: Requirements, told: str) -> None:
    more = [clause(f"2.1.{n}") for n in range(1, 5)] if len(listed.excluded) > 1 else []
    if "2.1.1" in listed.excluded and not more:
        more = [clause("2.1.1")]
    assert any(told in problem for problem in found(*more, listed=listed))


def test_a_rule_needs_a_case_and_no_mere_test_or_an_invariant() -> None:
    by_test = [Marker("10.1.1", TEST, "test_it"), *MARKERS[:1], *MARKERS[2:]]
    (problem,) = found(markers=by_test)
    assert "the rule 10.1 has neither a case nor an invariant" in problem
    judged = Requirements([], {}, {"10.1": {"invariant": INVARIANT}})
    assert found(markers=by_test, listed=judged) == []
    tested = Requirements([], {}, {"10.1": {"tests": REASON}})
    assert found(markers=by_test, listed=tested) == []
    untested = [MARKERS[0], *MARKERS[2:]]
    assert any("10.1 has no test" in text for text in found(markers=untested, listed=tested))


@pytest.mark.parametrize(
    "text", ["[]", "part_two: []", "part_two: []\nexcluded: {}\nrules: {x: y}"]
)
def test_a_list_that_is_none_is_refused(text: str) -> None:
    with pytest.raises((ValueError, AttributeError)):
        read(text)


def test_invariants_are_rows_with_clauses() -> None:
    text = "| invariant | clauses |\n|---|---|\n| a log grows | 1.1, 10.1.2 |\n| no error | |\n"
    assert invariants(text) == {"a log grows": ["1.1", "10.1.2"]}


def test_the_list_of_this_repository_accounts_for_everything(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["check"]) == 0, capsys.readouterr().out
