# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from longcall_conformance.runner.case import fill, load_cases, load_yaml, parse_case
from longcall_conformance.runner.lint import CaseRefused

CASES = Path(__file__).parent.parent / "cases"


STEPS: list[dict[str, Any]] = [
    {"driver.connect": {"as": "A"}},
    {"peer.accept": {"as": "c1"}},
    {"peer.expect": {"on": "c1", "type": "hello", "bind": {"token": "$.token"}}},
]
THEN = [{"check": "one", "frames": {"type": "hello", "match": {"token": "${token}"}, "count": 1}}]
END = {"peer.expect_end": {"on": "c1"}}
REFUSES = {"peer.expect_end": {"on": "c1", "code": 4400}}


def rejection(
    *,
    control: dict[str, Any] | None = None,
    accepted: dict[str, Any] | None = {"type": "pong"},  # noqa: B006 - it is not changed
    late: bool = False,
) -> dict[str, Any]:
    """The changes that make a case one that pins a rejection."""
    bad = {"peer.send_text": {"on": "c1", "text": "${text}"}}
    refuses = {"peer.expect_end": {"on": "c1", "code": 4400}}
    if accepted is not None:
        refuses["peer.expect_end"]["accepted"] = accepted
    again = [{"peer.accept": {"as": "c1"}}, bad]
    return {
        "steps": [*STEPS, refuses, *again] if late else [*STEPS, bad, refuses],
        "defect": {"text": "bad"},
        "control": control or {"text": "good"},
    }


def document(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "case": "client/group/name",
        "title": "A title that is long enough",
        "level": "MUST",
        "requires": ["1.1.1"],
        "steps": STEPS,
        "then": THEN,
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
        ({"then": [{"check": "a", "frames": {"type": "hello"}}]}, "asks for nothing"),
        (
            {"steps": [*STEPS, END, {"peer.expect": {"on": "c1", "type": "request"}}]},
            "step 5 (peer.expect): is never reached: c1 ended in step 4 (peer.expect_end)",
        ),
        (
            {"then": [{"check": "one", "frames": {"type": "hello", "count": 1}}]},
            "step 3 (peer.expect): nothing uses token, which it binds",
        ),
        ({"steps": [*STEPS, REFUSES]}, "step 4: a rejection needs `defect` and `control`"),
        ({"defect": {"x": 1}, "control": {"x": 2}}, "nothing uses x"),
        (rejection(control={"text": "bad"}), "control: is the defect itself"),
        (rejection(control={"text": "good", "more": 1}), "with the same variables"),
        (rejection(accepted=None), "exactly one step says `accepted`"),
        (rejection(accepted={"what": 1}), "`accepted` is {type, on, match}"),
        (
            {"steps": [*STEPS, {"peer.expect_end": {"on": "c1", "or": [{"colour": 1}]}}]},
            "`or` is a list of other arguments",
        ),
        (rejection(late=True), "the defect text comes only after what rejects it"),
    ],
)
def test_what_could_never_matter_is_refused(changes: dict[str, Any], complaint: str) -> None:
    assert complaint in refusal(document(**changes))


def test_variants_make_one_case_each_and_keep_the_type_of_their_values() -> None:
    first = {"driver.connect": {"as": "A", "tuning": {"backoff_max_ms": "${wait}"}}}
    changed = document(variants={"wait": [1, 20]}, steps=[first, *STEPS[1:]])
    cases = list(parse_case(changed, "client/group/name"))
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


def test_a_rejection_with_its_control_is_taken_as_two() -> None:
    cases = list(parse_case(document(**rejection()), "client/group/name"))
    assert [case.control for case in cases] == [False, True]


def written(folder: Path, name: str, **changes: Any) -> None:
    path = folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document(case=name, **changes)))


def test_two_cases_with_the_same_steps_and_checks_are_refused(tmp_path: Path) -> None:
    written(tmp_path, "client/group/one")
    written(tmp_path, "client/group/two", title="Another title, and nothing else")
    with pytest.raises(CaseRefused, match="client/group/two: has the steps and the checks of"):
        load_cases(tmp_path)


def test_two_cases_that_differ_in_their_variants_alone_are_refused(tmp_path: Path) -> None:
    steps = [*STEPS, {"peer.send": {"on": "c1", "message": {"type": "${type}"}}}]
    written(tmp_path, "client/group/one", steps=steps, variants={"type": ["a"]})
    written(tmp_path, "client/group/two", steps=steps, variants={"type": ["b"]})
    with pytest.raises(CaseRefused, match="differs from client/group/one in its variants alone"):
        load_cases(tmp_path)


def test_texts_of_any_size_and_depth_are_made() -> None:
    assert fill("${text.3}", {}) == "aaa"
    assert fill('{"x":${nested.2}}', {}) == '{"x":[[]]}'


def test_every_case_of_the_suite_loads() -> None:
    cases = load_cases(CASES)
    assert len({case.name for case in cases}) >= 64
    assert any(case.control for case in cases)


def test_steps_are_repeated_with_the_number_of_each_turn() -> None:
    again = {
        "repeat": {
            "as": "i", "from": 2, "to": 1,
            "steps": [{"peer.send": {"on": "c1", "message": {"n": "${i}", "x": "x${i} ${token}"}}}],
        }
    }  # fmt: skip
    (case,) = parse_case(document(steps=[*STEPS, again]), "client/group/name")
    assert [step.arguments["message"] for step in case.steps[3:]] == [
        {"n": 2, "x": "x2 ${token}"},
        {"n": 1, "x": "x1 ${token}"},
    ]


def test_what_is_bound_in_each_turn_has_a_name_of_its_own() -> None:
    def again(step: dict[str, Any]) -> dict[str, Any]:
        return {"repeat": {"as": "i", "from": 1, "to": 2, "steps": [step]}}

    bind = again({"peer.expect": {"on": "c1", "type": "request", "bind": {"id${i}": "$.id"}}})
    use = again({"peer.send": {"on": "c1", "message": {"type": "x", "request_id": "${id#{i}}"}}})
    (case,) = parse_case(document(steps=[*STEPS, bind, use]), "client/group/name")
    assert [step.arguments.get("bind") for step in case.steps[3:5]] == [
        {"id1": "$.id"},
        {"id2": "$.id"},
    ]
    assert case.steps[6].arguments["message"]["request_id"] == "${id2}"
    assert "nothing uses id1, which it binds" in refusal(document(steps=[*STEPS, bind]))


def test_a_repetition_without_use_of_its_number_is_refused() -> None:
    again = {"repeat": {"as": "i", "from": 1, "to": 2, "steps": [{"peer.accept": {"as": "c2"}}]}}
    assert "step 4 (repeat): nothing uses i" in refusal(document(steps=[*STEPS, again]))
