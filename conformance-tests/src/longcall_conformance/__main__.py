# SPDX-License-Identifier: Apache-2.0
"""The command `longcall-conformance`: `run` plays cases, `list` shows them, `judge` judges."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from .referee.checker import check
from .runner.case import Case, load_cases
from .runner.lint import CaseRefused
from .runner.manifest import Manifest
from .runner.run import DriverCommand, Plan, run_plan
from .runner.suite import BuildFailed, load_suite
from .runner.under_test import ServerFailed
from .runner.verdict import Result, Verdict, closing_line, exit_code, matrix, write_results

USAGE_ERROR = 2
DEFAULT_DRIVERS = Path("drivers.yaml")
DEFAULT_MANIFEST = Path("manifests/longcall-server.yaml")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code (see `run --help`)."""
    options = _parser().parse_args(arguments)
    if options.command == "judge":
        return _judge(options.files)
    try:
        cases = _selected(load_cases(options.cases), options.only)
        if options.command == "list":
            return _list(cases)
        return _run(cases, options)
    except (CaseRefused, ServerFailed, BuildFailed, OSError) as error:
        print(f"longcall-conformance: {error}", file=sys.stderr)
        return USAGE_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="longcall-conformance", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="play cases",
        epilog="Exit codes: 0 passed, 1 failed, 2 the harness or its use is wrong, 3 nothing ran.",
    )
    run.add_argument(
        "--driver",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="an SDK's driver; may be given several times (default: those of drivers.yaml)",
    )
    run.add_argument(
        "--server",
        type=Path,
        metavar="MANIFEST",
        help="the server under test (default: manifests/longcall-server.yaml, if it is there)",
    )
    run.add_argument("--out", type=Path, default=Path("out"), help="default: %(default)s")
    run.add_argument("--folder", type=Path, default=Path(), help="where drivers are started")
    run.add_argument(
        "--jobs", type=int, default=2, choices=range(1, 17), metavar="N", help="plays at a time"
    )
    judge = commands.add_parser(
        "judge", help="say what is wrong with a run, by the observation files of its clients"
    )
    judge.add_argument("files", nargs="+", type=Path, metavar="FILE")
    for command in (run, commands.add_parser("list", help="show cases")):
        command.add_argument("--cases", type=Path, default=Path("cases"), help="default: cases")
        command.add_argument(
            "--only", action="append", default=[], metavar="PREFIX", help="e.g. client/resume"
        )
    return parser


def _judge(files: list[Path]) -> int:
    report = check(files)
    for finding in report.findings:
        print(finding)
    for name, count in sorted(report.counts.items()):
        print(f"{count:8} {name}")
    wrong = {finding.request_id for finding in report.findings}
    judged = max(report.counts["requests"], len(wrong))
    print(f"{judged - len(wrong)} passed, {len(wrong)} failed")
    return 0 if judged and not wrong else 1 if judged else 3


def _selected(cases: list[Case], prefixes: list[str]) -> list[Case]:
    if not prefixes:
        return cases
    found = [case for case in cases if case.name.startswith(tuple(prefixes))]
    for prefix in prefixes:
        if not any(case.name.startswith(prefix) for case in found):
            raise CaseRefused(f"no case begins with {prefix}")
    return found


def _list(cases: list[Case]) -> int:
    for case in cases:
        print(f"{case.label}\n    {case.title} ({', '.join(case.requires)})")
    print(f"{len({case.name for case in cases})} cases, {len(cases)} with their variants")
    return 0


def _run(cases: list[Case], options: argparse.Namespace) -> int:
    drivers, skipped = _drivers(options.driver)
    if not drivers and any(case.uses_driver for case in cases):
        raise CaseRefused("these cases need a driver: name one with --driver")
    manifest = options.server or (DEFAULT_MANIFEST if DEFAULT_MANIFEST.exists() else None)
    plan = Plan(
        cases=cases,
        drivers=drivers,
        manifest=Manifest.load(manifest) if manifest else None,
        folder=options.folder,
        fixtures=options.out / "fixtures",
        jobs=options.jobs,
    )
    results = asyncio.run(run_plan(plan, _show))
    write_results(options.out / "results.json", results)
    print()
    print(matrix(results))
    print()
    for reason in skipped:
        print(f"skipped {reason}")
    print(closing_line(results))
    return exit_code(results)


def _drivers(given: list[str]) -> tuple[list[DriverCommand], list[str]]:
    """The drivers that were named, or those of the checkout."""
    if not given and DEFAULT_DRIVERS.exists():
        suite = load_suite(DEFAULT_DRIVERS)
        return list(suite.drivers), list(suite.skipped)
    drivers = []
    for text in given:
        name, separator, command = text.partition("=")
        if not separator or not command:
            raise CaseRefused(f"--driver takes NAME=COMMAND, not {text}")
        drivers.append(DriverCommand(name, command))
    return drivers, []


def _show(result: Result) -> None:
    print(f"{result.verdict:<13} {result.seconds:7.2f} s  {result.driver:<8} {result.label}")
    if result.verdict is not Verdict.PASS:
        for finding in result.findings:
            print("    " + finding.replace("\n", "\n    "))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
