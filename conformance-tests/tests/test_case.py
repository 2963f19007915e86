# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from longcall_conformance.runner.case import CaseRefused, fill, load_cases, load_yaml, parse_case

CASES = Path(__file__).parent.parent / "cases"


def document(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "case": "client/group/name",
        "title": "A title that is long enough",
        "level": "MUST",
        "requires": ["1.1.1"],
        "steps": [
            {"driver.connect": {"as": "A"}},
            {"peer.accept": {"as": "c1"}},
            {"peer.expect": {"on": "c1", "type": "hello", "bind": {"token": "$.token"}}},
        ],
        "then": [{"check": "one", "frames": {"type": "hello", "count": 1}}],
    }
    return {**made, **changes}


def refusal(case: dict[str, Any]) -> str:
    with pytest.raises(CaseRefused) as error:
        list(parse_case(case, "client/group/name"))
    return str(error.value)


def test_a_sound_case_is_taken_as_it_is() -> None:
    (case,) = parse_case(document(), "client/group/name")
    assert [step.verb for step in case.steps] == ["driver.connect", "peer.accept", "peer.expect"]
    assert case.uses_driver
    assert case.label == "client/group/name"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"colour": "blue"}, "colour"),
        ({"case": "client/group/other"}, "calls itself"),
        ({"requires": []}, "/requires"),
        ({"requires": ["1.1"]}, "/requires/0"),  # a whole section is proven by no case
        ({"then": []}, "/then"),
        ({"steps": [{"driver.dance": {}}]}, "there is no such verb"),
        ({"steps": [{"peer.accept": {}}]}, "lacks as"),
        ({"steps": [{"peer.accept": {"as": "c", "colour": 1}}]}, "does not know colour"),
        ({"steps": [{"peer.send": {"on": "c9", "message": {}}}]}, "nothing defines c9"),
        (
            {"steps": [{"driver.connect": {"as": "A", "url": "${nowhere}"}}]},
            "nothing binds ${nowhere}",
        ),
        ({"variants": {"drop": ["fin"]}}, "nothing uses the variant drop"),
        ({"fired": ["peer.drop"]}, "no step makes the fault peer.drop"),
        ({"then": [{"check": "one", "miracles": {}}]}, "there is no check miracles"),
        ({"then": [{"check": "one", "frames": {"count": 1}}]}, "lacks type"),
        (
            {"then": [{"check": "a", "frames": {"type": "x", "count": 1}}] * 2},
            "two checks share a name",
        ),
        (
            {"then": [{"check": "a", "frames": {"type": "${never}", "count": 1}}]},
            "nothing binds ${never}",
        ),
    ],
)
def test_what_could_never_matter_is_refused(changes: dict[str, Any], complaint: str) -> None:
    assert complaint in refusal(document(**changes))


def test_variants_make_one_case_each_and_keep_the_type_of_their_values() -> None:
    steps = [{"driver.connect": {"as": "A", "tuning": {"backoff_max_ms": "${wait}"}}}]
    cases = list(parse_case(document(variants={"wait": [1, 20]}, steps=steps), "client/group/name"))
    assert [case.label for case in cases] == [
        "client/group/name[wait=1]",
        "client/group/name[wait=20]",
    ]
    assert cases[1].steps[0].arguments["tuning"] == {"backoff_max_ms": 20}


def test_a_variable_may_name_a_place_inside_a_value() -> None:
    variables = {"pair": [7, {"a": "x"}]}
    assert fill(["${pair.0}", "is ${pair.1.a}"], variables) == [7, "is x"]


def test_an_unknown_variable_is_refused_when_it_is_needed() -> None:
    with pytest.raises(CaseRefused, match="nothing binds"):
        fill("${x}", {})


def test_on_and_no_are_words_and_times_are_text(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("{on: no, at: 2026-01-01, yes: true}")
    assert load_yaml(path) == {"on": "no", "at": "2026-01-01", "yes": True}


def test_every_case_of_the_suite_loads_and_no_two_are_alike() -> None:
    cases = load_cases(CASES)
    names = {case.name for case in cases}
    assert len(names) >= 15
    bodies = {(case.steps.__repr__(), case.checks.__repr__()) for case in cases}
    assert len(bodies) == len(cases)
