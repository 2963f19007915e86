# SPDX-License-Identifier: Apache-2.0
"""The command `longcall-conformance`: cases against drivers and servers, and what came of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import __version__, commands
from .faults import command as faults
from .referee.checker import check
from .referee.fault_proxy import command as fault_proxy
from .runner.lint import CaseRefused
from .runner.places import SUITE
from .runner.results import ResultsRefused
from .runner.suite import BuildFailed
from .runner.under_test import ServerFailed

USAGE_ERROR = 2
EXIT_CODES = (
    "Exit codes: 0 passed; 1 failed, or the list of known failures is stale; 2 the harness, the "
    "driver's way to talk, or the use of this command is wrong; 3 incomplete, or nothing judged."
)
DRIVER = (
    "an SDK's driver; several times for several. COMMAND is a command line that talks over stdin "
    "and stdout; with {connect} in it, one that dials back to there (HOST:PORT); or "
    "listen:HOST:PORT, for a driver that you start yourself (default: those of drivers.yaml, in a "
    "checkout, and NAME alone is one of those)"
)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code (see `run --help`)."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.do(options))
    except (CaseRefused, ServerFailed, BuildFailed, ResultsRefused, OSError) as error:
        print(f"longcall-conformance: {error}", file=sys.stderr)
        return USAGE_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="longcall-conformance", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    add = parser.add_subparsers(dest="command", required=True).add_parser
    run = add("run", help="play cases", epilog=EXIT_CODES)
    run.set_defaults(do=commands.run)
    smoke = add("smoke", help="play a handful: is the driver or the server worth a run?")
    smoke.set_defaults(do=commands.smoke)
    steady = add("steady", help="play cases several times: are the verdicts always the same?")
    steady.set_defaults(do=commands.steady)
    steady.add_argument("--times", type=int, default=10, metavar="N", help="default: %(default)s")
    for command in (run, smoke, steady):
        _add_subjects(command)
        _add_verdicts(command)
        _add_cases(command)
    for command in (run, steady):
        _add_only(command)
    for command in (run, smoke):
        command.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML there")
    through = add("faults", help="thousands of requests through all faults", epilog=faults.CODES)
    through.set_defaults(do=commands.faults)
    _add_subjects(through)
    faults.add_arguments(through)
    listing = add("list", help="show cases")
    listing.set_defaults(do=commands.list_cases)
    _add_cases(listing)
    _add_only(listing)
    explain = add("explain", help="what a case does, and which cases prove a clause")
    explain.set_defaults(do=commands.explain)
    explain.add_argument(
        "case", metavar="CASE|CLAUSE", help="client/resume/drop-mid-stream, or 10.26"
    )
    _add_cases(explain)
    where = add("where", help="the folder of cases, handlers and manifests")
    where.set_defaults(do=commands.where)
    report = add("report", help="reports of a run that is over", epilog=EXIT_CODES)
    report.set_defaults(do=commands.report)
    report.add_argument("results", type=Path, metavar="RESULTS", help="a results.json")
    report.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML there")
    proxy = add("proxy", help="make faults between clients and a server", epilog=fault_proxy.CODES)
    proxy.set_defaults(do=fault_proxy.run)
    fault_proxy.add_arguments(proxy)
    judge = add("judge", help="what is wrong with a run, by the observation files of its clients")
    judge.set_defaults(do=_judge)
    judge.add_argument("files", nargs="+", type=Path, metavar="FILE")
    return parser


def _add_subjects(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--driver", action="append", default=[], metavar="NAME=COMMAND", help=DRIVER
    )
    server = command.add_mutually_exclusive_group()
    server.add_argument(
        "--server",
        type=Path,
        metavar="MANIFEST",
        help="the server under test (default: manifests/longcall-server.yaml, in a checkout)",
    )
    server.add_argument(
        "--url", metavar="URL", help="a server that runs already: ws://HOST:PORT/v1/connect"
    )
    command.add_argument(
        "--secret-env",
        default="LONGCALL_JWT_SECRET",
        metavar="NAME",
        help="with --url: the variable that holds the key of its tokens (default: %(default)s)",
    )
    command.add_argument(
        "--handlers",
        action="append",
        choices=("conf", "demo"),
        help="with --url: the handlers that it runs with (default: conf)",
    )
    command.add_argument("--out", type=Path, default=Path("out"), help="default: %(default)s")
    command.add_argument("--folder", type=Path, default=None, help="where drivers are started")


def _add_verdicts(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--known-failing",
        type=Path,
        default=Path("known-failing.yaml"),
        metavar="FILE",
        help="failures that are known, why, and until when (default: %(default)s, if it is there)",
    )
    command.add_argument(
        "--jobs", type=int, default=4, choices=range(1, 33), metavar="N", help="plays at a time"
    )


def _add_cases(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--cases", type=Path, default=SUITE / "cases", help="default: those of the suite"
    )


def _add_only(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--only", action="append", default=[], metavar="PREFIX", help="e.g. client/resume"
    )


def _judge(options: argparse.Namespace) -> int:
    report = check(options.files)
    for finding in report.findings:
        print(finding)
    for name, count in sorted(report.counts.items()):
        print(f"{count:8} {name}")
    wrong = {finding.request_id for finding in report.findings}
    judged = max(report.counts["requests"], len(wrong))
    print(f"{judged - len(wrong)} passed, {len(wrong)} failed")
    return 0 if judged and not wrong else 1 if judged else 3


if __name__ == "__main__":
    sys.exit(main())
