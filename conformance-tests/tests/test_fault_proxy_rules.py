# SPDX-License-Identifier: Apache-2.0
"""Rules that are wrong are refused with what is wrong in them, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from longcall_conformance.referee.fault_proxy import FaultProxy, RulesRefused, load_plan, parse_plan
from longcall_conformance.runner.case import parse_case
from longcall_conformance.runner.lint import CaseRefused

GOOD = {"name": "it", "direction": "to_client", "fault": "drop"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fault": "explode"}, r"at /rules/0/fault: 'explode' is not one of"),
        ({"direction": "up"}, r"at /rules/0/direction: 'up' is not one of"),
        ({"colour": "red"}, r"at /rules/0: Unevaluated properties .*'colour'"),
        ({"nth": 0}, r"at /rules/0/nth: 0 is less than"),
        ({"probability": 1.5}, r"at /rules/0/probability: 1.5 is greater"),
        ({"nth": 2, "every": 3}, "it: nth and every exclude each other"),
        ({"ms": 5}, "it: drop does not know ms"),
        ({"fault": "slice", "how": "fin"}, "it: slice does not know how"),
        ({"name": "It is"}, "at /rules/0/name"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(RulesRefused, match=message):
        parse_plan({"rules": [{**GOOD, **changed}]})


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(RulesRefused, match="two rules are called it"):
        parse_plan({"rules": [GOOD, GOOD]})


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ({"fault": "hold"}, "nobody would release a hold"),
        ({"fault": "fin", "copies": 2}, "/random/kinds: fin does not know copies"),
        ({"fault": "fin", "speed": 2}, "at /random/kinds/0: Unevaluated properties"),
    ],
)
def test_lots_that_cannot_be_are_refused(kind: dict[str, Any], message: str) -> None:
    with pytest.raises(RulesRefused, match=message):
        parse_plan({"random": {"requests_per_fault": 5, "kinds": [kind]}})


def test_a_file_is_named_in_what_is_wrong_with_it(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("rules: [")
    with pytest.raises(RulesRefused, match=r"rules\.yaml: not YAML"):
        load_plan(file)
    file.write_text("rules: [{name: a}]")
    with pytest.raises(RulesRefused, match=r"rules\.yaml: at /rules/0: 'fault' is a required"):
        load_plan(file)
    file.write_text("rules: [{name: a, direction: to_server, fault: delay, ms: 3, every: 7}]")
    (rule,) = load_plan(file).rules
    assert (rule.when, rule.number, rule.options) == ("every", 7, {"ms": 3})


def test_a_target_that_needs_tls_is_refused() -> None:
    with pytest.raises(ValueError, match="wss://x/ is no ws:// address"):
        FaultProxy("wss://x/")


def test_a_case_whose_rules_are_wrong_is_refused_when_it_is_loaded() -> None:
    start = {"as": "p", "bind": {"url": "$.url"}, "rules": [{**GOOD, "fault": "${how}"}]}
    case = {
        "case": "e2e/faults/wrong",
        "title": "A case whose rule is none",
        "level": "MUST",
        "requires": ["1.1.1"],
        "variants": {"how": ["drop", "explode"]},
        "steps": [{"proxy.start": start}, {"raw.open": {"as": "c", "url": "${url}"}}],
        "then": [{"check": "one", "proxied": {"on": "p", "total": 1}}],
    }
    with pytest.raises(CaseRefused, match=r"step 1 \(proxy.start\): at /rules/0/fault: 'explode'"):
        list(parse_case(case, "e2e/faults/wrong"))
