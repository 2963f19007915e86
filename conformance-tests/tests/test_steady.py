# SPDX-License-Identifier: Apache-2.0
"""Runs of the same plays against each other."""

from __future__ import annotations

from longcall_conformance.runner.results import Results
from longcall_conformance.runner.steady import differences
from longcall_conformance.runner.verdict import Result, Verdict


def played(**verdicts: Verdict) -> Results:
    """A run; the plays of one subject by their labels."""
    return Results(
        [
            Result(
                case="client/a/b", label=label, control=False, title="t", level="MUST",
                requires=(), subject="js", verdict=verdict, seconds=1.0,
            )
            for label, verdict in verdicts.items()
        ]
    )  # fmt: skip


def test_the_same_verdicts_are_no_difference_whatever_they_are() -> None:
    run = played(a=Verdict.PASS, b=Verdict.FAIL)
    assert differences([run, run, run]) == []


def test_a_verdict_that_changes_is_told_with_the_run_where_it_did() -> None:
    good, bad = played(a=Verdict.PASS, b=Verdict.PASS), played(a=Verdict.PASS, b=Verdict.HANG)
    assert differences([good, good, bad]) == [
        "js b: pass 2 of 3, hang 1 of 3 (run 3 differs from those before it)"
    ]


def test_a_play_that_a_run_lacks_is_a_difference() -> None:
    assert differences([played(a=Verdict.PASS), played()]) == [
        "js a: pass 1 of 2, not played 1 of 2"
    ]
