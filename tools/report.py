# SPDX-License-Identifier: Apache-2.0
"""What became of each part, and the table that says so."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """How a part ended."""

    PASSED = "passed"
    FAILED = "FAILED"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Result:
    """One row; `notes` are why it failed, or what it skipped and why."""

    name: str
    verdict: Verdict
    seconds: float
    notes: Sequence[str] = ()


# pytest: `SKIPPED [2] tests/test_x.py:7: no strace here`; vitest: `Tests  9 passed | 1 skipped`.
PYTEST_SKIP = re.compile(r"^SKIPPED \[(\d+)\] (.+)$")
VITEST_SKIP = re.compile(r"^\s*Tests\s.*?(\d+) (?:skipped|todo)")


def skipped_tests(lines: Sequence[str]) -> list[str]:
    """What the runners say that they left out, with their reasons where they give one."""
    pytest = [
        f"{found[1]} skipped: {found[2]}" for line in lines if (found := PYTEST_SKIP.match(line))
    ]
    vitest = [f"{found[1]} skipped" for line in lines if (found := VITEST_SKIP.match(line))]
    return pytest + vitest


def table(results: Sequence[Result]) -> str:
    """One row a part; further notes of a part stand below its first."""
    width = max((len(result.name) for result in results), default=0)
    rows = [f"\n{'part':{width}}  {'result':7}  seconds  skipped, and why"]
    for result in results:
        first, *more = result.notes or [""]
        row = f"{result.name:{width}}  {result.verdict.value:7}  {result.seconds:7.1f}  {first}"
        rows.append(row.rstrip())
        rows += [f"{'':{width}}  {'':7}  {'':7}  {note}" for note in more]
    counts = [
        f"{sum(result.verdict is verdict for result in results)} {verdict.value.lower()}"
        for verdict in Verdict
    ]
    return "\n".join([*rows, ", ".join(counts)])
