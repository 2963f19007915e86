# SPDX-License-Identifier: Apache-2.0
"""Verdicts, and what is written down of a run: `results.json`, a matrix, the closing line."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path


class Verdict(StrEnum):
    """What became of one case with one driver. Only `pass` is green."""

    PASS = "pass"
    FAIL = "fail"
    CRASH = "crash"
    HARNESS_ERROR = "harness-error"


@dataclass(frozen=True)
class Result:
    """One case, one choice of its variants, one driver (`-` where none takes part)."""

    case: str
    label: str
    title: str
    requires: tuple[str, ...]
    driver: str
    verdict: Verdict
    seconds: float
    findings: tuple[str, ...] = field(default=())


def exit_code(results: list[Result]) -> int:
    """0 all passed, 1 something failed, 2 the harness itself broke, 3 nothing was run."""
    if not results:
        return 3
    if any(result.verdict is Verdict.HARNESS_ERROR for result in results):
        return 2
    return 0 if all(result.verdict is Verdict.PASS for result in results) else 1


def write_results(path: Path, results: list[Result]) -> None:
    """Writes everything that is known of a run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"version": 1, "results": [asdict(result) for result in results]}
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def matrix(results: list[Result]) -> str:
    """A table: groups of cases against drivers, passed of all."""
    drivers = sorted({result.driver for result in results})
    groups: dict[str, dict[str, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        groups[result.case.rsplit("/", 1)[0]][result.driver].append(result)
    width = max(len(group) for group in groups)
    lines = [" " * width + "".join(f"  {driver:>8}" for driver in drivers)]
    for group, row in sorted(groups.items()):
        cells = [_cell(row[driver]) for driver in drivers]
        lines.append(f"{group:<{width}}" + "".join(f"  {cell:>8}" for cell in cells))
    return "\n".join(lines)


def _cell(results: list[Result]) -> str:
    if not results:
        return ""
    return f"{sum(result.verdict is Verdict.PASS for result in results)}/{len(results)}"


def closing_line(results: list[Result]) -> str:
    """`N passed, N failed`, as test runners close."""
    passed = sum(result.verdict is Verdict.PASS for result in results)
    return f"{passed} passed, {len(results) - passed} failed"
