# SPDX-License-Identifier: Apache-2.0
"""What the words of the command line do; each returns an exit code."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from .faults import command as fault_run
from .runner.baseline import Baseline
from .runner.case import Case, load_cases
from .runner.drivers import DriverCommand
from .runner.lint import CaseRefused
from .runner.manifest import Manifest
from .runner.places import SUITE, clause_texts
from .runner.reports import junit, matrix
from .runner.results import Results
from .runner.run import Plan, run_plan
from .runner.steady import differences
from .runner.suite import load_suite
from .runner.under_test import ServerFailed
from .runner.verdict import GREEN, Result, Verdict

DEFAULT_DRIVERS: Final = SUITE / "drivers.yaml"
DEFAULT_MANIFEST: Final = SUITE / "manifests" / "longcall-server.yaml"
SMOKE: Final = (
    "client/quick/answered-at-once",
    "client/progress/older-is-dropped",
    "client/resume/drop-before-first-event",
    "client/cancel/running",
    "server/handshake/welcome",
    "server/handshake/no-token",
    "server/quick/not-stored",
    "server/durable/whole-log",
    "server/cancel/while-running",
    "e2e/quick/echo",
    "e2e/attach/from-a-new-client",
)
"""One of each kind, none that takes long."""


def run(options: argparse.Namespace) -> int:
    """Plays cases, writes what came of it, and shows it."""
    every = load_cases(options.cases)
    return _run(options, every, _selected(every, options.only))


def smoke(options: argparse.Namespace) -> int:
    """Plays a handful, and says what the subjects are."""
    every = load_cases(options.cases)
    return _run(options, every, [case for case in every if case.name in SMOKE])


def faults(options: argparse.Namespace) -> int:
    """Has each driver ask for thousands of things through the fault proxy."""
    manifest = _manifest(options)
    if manifest is None:
        raise ServerFailed("a server is needed: --server MANIFEST, or --url URL")
    drivers, skipped = _drivers(options.driver)
    for reason in skipped:
        print(f"skipped {reason}")
    return fault_run.run(options, drivers, manifest, _folder(options))


def list_cases(options: argparse.Namespace) -> int:
    """Shows cases."""
    cases = _selected(load_cases(options.cases), options.only)
    for case in cases:
        print(f"{_on_a_line(case.label)}\n    {case.title} ({', '.join(case.requires)})")
    names = {case.name for case in cases}
    controls = sum(case.control for case in cases)
    print(f"{len(names)} cases, {len(cases) - controls} with their variants, {controls} controls")
    return 0


def explain(options: argparse.Namespace) -> int:
    """Says what a case does, in the order in which it does it; or which cases prove a clause."""
    every = load_cases(options.cases)
    if re.fullmatch(r"\d+(\.\d+)*", options.case):
        return _explain_clauses(options.case, every)
    cases = [case for case in every if case.name == options.case]
    if not cases:
        raise CaseRefused(f"there is no case {options.case}")
    first, texts = cases[0], clause_texts()
    print(f"{first.name} ({first.level})\n{first.title}\n\nIt proves")
    for number in first.requires:
        print(f"  {number}  {texts.get(number, '(see PROTOCOL.md)')}")
    if first.server:
        print(f"\nThe server runs with {json.dumps(first.server)}")
    if first.features:
        print(f"\nThe driver needs the features {', '.join(sorted(first.features))}")
    _explain_steps("Steps", first)
    print("\nThen")
    for check in first.checks:
        kind = next(key for key in check if key != "check")
        print(f"  {check['check']}: {kind} {_short(check[kind])}")
    for fault in first.fired:
        print(f"  {fault} must have happened")
    controls = [case for case in cases if case.control]
    if controls:
        _explain_steps("Without the defect, where the last step must fail", controls[0])
    print("\nIt is played as")
    for case in cases:
        print(f"  {_on_a_line(case.label)}")
    return 0


def _explain_clauses(number: str, every: Sequence[Case]) -> int:
    """Clauses under a number, each with its cases."""
    proven: dict[str, set[str]] = {}
    for case in every:
        for clause in case.requires:
            proven.setdefault(clause, set()).add(case.name)
    texts = clause_texts()
    numbers = [
        clause
        for clause in sorted({*proven, *texts}, key=lambda clause: [*map(int, clause.split("."))])
        if clause == number or clause.startswith(f"{number}.")
    ]
    if not numbers:
        raise CaseRefused(f"there is no clause {number}")
    for clause in numbers:
        print(f"{clause}  {texts.get(clause, '(see PROTOCOL.md)')}")
        for name in sorted(proven.get(clause, {"no case"})):
            print(f"    {name}")
    return 0


def where(_: argparse.Namespace) -> int:
    """Says where the suite is: `PYTHONPATH=$(longcall-conformance where)/handlers …`."""
    print(SUITE)
    return 0


def report(options: argparse.Namespace) -> int:
    """Shows the results of a run that is over; returns what the run itself returned."""
    return _report(options.results, options.junit)


def _explain_steps(title: str, case: Case) -> None:
    print(f"\n{title}")
    for number, step in enumerate(case.steps, 1):
        print(f"  {number:2}  {step.verb} {_short(step.arguments)}")


def _short(arguments: Any) -> str:
    text = json.dumps(arguments, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:300]} …"


def _selected(cases: Sequence[Case], prefixes: Sequence[str]) -> list[Case]:
    if not prefixes:
        return list(cases)
    for prefix in prefixes:
        if not any(case.name.startswith(prefix) for case in cases):
            raise CaseRefused(f"no case begins with {prefix}")
    return [case for case in cases if case.name.startswith(tuple(prefixes))]


def _run(options: argparse.Namespace, every: Sequence[Case], cases: Sequence[Case]) -> int:
    plan = _plan(options, every, cases)
    path = options.out / "results.json"
    asyncio.run(run_plan(plan, _show)).write(path)
    return _report(path, options.junit)


def steady(options: argparse.Namespace) -> int:
    """Plays everything several times, and says which verdicts were not always the same."""
    every = load_cases(options.cases)
    plan = _plan(options, every, _selected(every, options.only))
    runs = []
    for number in range(1, options.times + 1):
        results = asyncio.run(run_plan(plan, _show_unless_good))
        results.write(options.out / "steady" / f"results-{number}.json")
        print(f"run {number}: {results.closing_line}, {results.seconds:.0f} s", flush=True)
        runs.append(results)
    different = differences(runs)
    for text in different:
        print(f"not steady: {text}")
    plays = {(result.subject, result.label) for results in runs for result in results.results}
    same = len(plays) - len(different)
    print(f"{len(plays)} plays in {options.times} runs: {same} steady, {len(different)} not")
    return max(bool(different), *(results.exit_code for results in runs))


def _plan(options: argparse.Namespace, every: Sequence[Case], cases: Sequence[Case]) -> Plan:
    needed = any(case.uses_driver for case in cases)
    drivers, skipped = _drivers(options.driver) if needed else ([], [])
    return Plan(
        cases=cases,
        every_case=every,
        drivers=drivers,
        manifest=_manifest(options),
        folder=_folder(options),
        fixtures=options.out / "fixtures",
        jobs=options.jobs,
        baseline=Baseline.load(options.known_failing),
        skipped=skipped,
    )


def _manifest(options: argparse.Namespace) -> Manifest | None:
    if options.url is not None:
        handlers = dict.fromkeys(options.handlers or ("conf",), "")
        return Manifest.of_url(options.url, handlers, options.secret_env)
    path = options.server or (DEFAULT_MANIFEST if DEFAULT_DRIVERS.exists() else None)
    return None if path is None else Manifest.load(path)


def _drivers(given: Sequence[str]) -> tuple[list[DriverCommand], list[str]]:
    """The drivers that were named, or those of the checkout."""
    if DEFAULT_DRIVERS.exists() and not any("=" in text for text in given):
        suite = load_suite(DEFAULT_DRIVERS, given)
        return list(suite.drivers), list(suite.skipped)
    drivers = []
    for text in given:
        name, separator, command = text.partition("=")
        if not separator or not name or not command:
            raise CaseRefused(f"--driver takes NAME=COMMAND, not {text}")
        drivers.append(DriverCommand(name, command))
    if len({driver.name for driver in drivers}) != len(drivers):
        raise CaseRefused("two drivers have one name")
    return drivers, []


def _folder(options: argparse.Namespace) -> Path:
    """Where drivers are started: those of the checkout have their place."""
    given = any("=" in text for text in options.driver)
    return Path(options.folder or (Path() if given else SUITE))


def _report(path: Path, junit_path: Path | None) -> int:
    """What people are told, from the file alone."""
    results = Results.read(path)
    if junit_path is not None:
        junit_path.parent.mkdir(parents=True, exist_ok=True)
        junit_path.write_text(junit(results), "utf-8")
    print(f"\n{matrix(results)}\n")
    for name, about in results.subjects.items():
        if about:
            print(f"{name}: {', '.join(_told(about))}")
    reasons = sorted(
        {
            f"{result.subject}: {finding}"
            for result in results.results
            if result.verdict is Verdict.NOT_APPLICABLE
            for finding in result.findings
        }
    )
    for reason in reasons:
        print(f"not applicable: {reason}")
    for reason in results.skipped:
        print(f"skipped {reason}")
    for problem in results.stale:
        print(f"stale: {problem}")
    print(results.closing_line)
    return results.exit_code


def _told(about: dict[str, Any]) -> list[str]:
    told = [str(about[name]) for name in ("sdk", "version", "language", "url") if name in about]
    return [*told, *(f"+{feature}" for feature in about.get("features", ()))]


def _show(result: Result) -> None:
    label = _on_a_line(result.label)
    print(f"{result.verdict:<13} {result.seconds:7.2f} s  {result.subject:<8} {label}")
    if result.reason is not None:
        print(f"    known: {result.reason}")
    if result.verdict not in (Verdict.PASS, Verdict.NOT_APPLICABLE):
        for finding in result.findings:
            print("    " + finding.replace("\n", "\n    "))
    sys.stdout.flush()


def _show_unless_good(result: Result) -> None:
    if result.verdict not in GREEN:
        _show(result)


def _on_a_line(label: str) -> str:
    """A variant may hold any text."""
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in label)
    return shown if len(shown) <= 150 else f"{shown[:150]} …"
