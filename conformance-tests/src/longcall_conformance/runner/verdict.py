# SPDX-License-Identifier: Apache-2.0
"""Verdicts: what became of a play."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """What became of one case with one subject."""

    PASS = "pass"
    ALTERNATIVE = "pass-alternative"
    """Passed by something that the case permits and does not prefer; the findings say what."""
    FAIL = "fail"
    WARN = "warn"
    """A SHOULD that does not hold."""
    NOT_APPLICABLE = "not-applicable"
    """Driver or server lacks what the case needs; the findings say what."""
    UNTESTABLE = "untestable"
    """Nothing was shown: a fault did not fire, or the control was not accepted. As bad as fail."""
    KNOWN_FAIL = "known-fail"
    """Failed as `known-failing.yaml` says."""
    HARNESS_ERROR = "harness-error"
    """The runner, a case, the server's description, or the driver's way to talk is wrong."""
    CRASH = "crash"
    """The driver ended in the middle."""
    HANG = "hang"
    """The driver no longer answers."""


GREEN = frozenset(
    (Verdict.PASS, Verdict.ALTERNATIVE, Verdict.WARN, Verdict.NOT_APPLICABLE, Verdict.KNOWN_FAIL)
)
JUDGED = frozenset(Verdict) - {Verdict.NOT_APPLICABLE}
FAILED = frozenset((Verdict.FAIL, Verdict.UNTESTABLE, Verdict.CRASH, Verdict.HANG))


@dataclass(frozen=True)
class Result:
    """One case, one choice of its variants, one subject: a driver's name, or the server's."""

    case: str
    label: str
    control: bool
    title: str
    level: str
    requires: tuple[str, ...]
    subject: str
    verdict: Verdict
    seconds: float
    findings: tuple[str, ...] = field(default=())
    reason: str | None = None
    """Of a known failure."""
