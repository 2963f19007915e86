# SPDX-License-Identifier: Apache-2.0
"""Runs all checks and tests, goes on after a failure, and ends with a table.

Checks, and everything in the fast loop, run two at a time and are shown when they are done; tests
run one by one and are watched live. A missing language is a skip with its reason, or a failure
where CI=true.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from time import monotonic

import environment
import needs
import node
from execution import run_part
from parts import Part, all_parts
from report import Result, Verdict, table


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if no part failed, 1 if one did."""
    options = parse(arguments)
    parts = choose(all_parts(), options.only, fast=options.fast)
    absent = Verdict.FAILED if os.environ.get("CI") == "true" else Verdict.SKIPPED
    results = set_up(parts, absent, fast=options.fast)
    missing = {name: needs.missing(name) for part in parts for name in part.needs}
    for alone, batch in groupby(parts, key=lambda part: part.alone):
        results += run_batch(list(batch), missing, absent, live=alone)
    print(table(results), flush=True)
    return int(any(result.verdict is Verdict.FAILED for result in results))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only",
        type=lambda words: words.split(","),
        default=[],
        metavar="NAME,…",
        help="only the parts of these names or groups (lint, types, generated, api, test, …)",
    )
    parser.add_argument("--fast", action="store_true", help="the loop of under a minute")
    return parser.parse_args(arguments)


def choose(parts: Sequence[Part], only: Sequence[str], *, fast: bool) -> list[Part]:
    """The parts asked for. Exits with 2 on a word that names none."""
    known = {word for part in parts for word in (part.name, part.group)}
    if unknown := sorted(set(only) - known):
        print(
            f"no part or group is named {', '.join(unknown)}; there are: {', '.join(sorted(known))}"
        )
        raise SystemExit(2)
    wanted = [part for part in parts if not only or {part.name, part.group} & set(only)]
    if not fast:
        return wanted
    return [replace(part, commands=part.fast, alone=False) for part in wanted if part.fast]


def set_up(parts: Sequence[Part], absent: Verdict, *, fast: bool) -> list[Result]:
    """Installs what the parts need; one row each. The fast loop does without system packages."""
    rows = [set_up_one("python packages", python_packages, Verdict.FAILED)]
    if any(needs.FUZZER in part.needs for part in parts):
        rows.append(set_up_one("fuzzing packages", fuzzing_packages, absent))
    if not fast and any(part.group in {"test", "conformance", "proofs"} for part in parts):
        rows.append(set_up_one("debian packages", needs.install_debian_packages, absent))
    node_parts = [part for part in parts if "node" in part.needs + part.wants]
    if node_parts and not needs.missing_language("node"):
        rows.append(set_up_one("npm packages", node.ensure, Verdict.FAILED))
    return rows


def python_packages() -> None:
    """The environment with everything in it."""
    environment.ensure("dev")


def fuzzing_packages() -> str | None:
    """What not every machine can install."""
    try:
        environment.ensure("fuzz")
    except subprocess.CalledProcessError:
        return needs.missing_fuzzer()
    return None


def set_up_one(name: str, work: Callable[[], str | None], otherwise: Verdict) -> Result:
    """Does one piece of setting up; `work` returns what is missing, or raises."""
    started = monotonic()
    try:
        missing = work()
    except (OSError, subprocess.CalledProcessError) as error:
        missing = str(error)
    verdict = otherwise if missing else Verdict.PASSED
    return Result(name, verdict, monotonic() - started, [missing] if missing else [])


def run_batch(
    batch: Sequence[Part], missing: dict[str, str | None], absent: Verdict, *, live: bool
) -> list[Result]:
    """Runs parts one by one, watched live, or two at a time, each shown whole when it is done."""

    def work(part: Part) -> Result:
        lacks = {need: why for need in part.needs if (why := missing[need])}
        if lacks:
            verdict = Verdict.SKIPPED if needs.ELSEWHERE.issuperset(lacks) else absent
            return Result(part.name, verdict, 0.0, list(lacks.values()))
        if live:
            print(heading(part), flush=True)
            return run_part(part, lambda line: print(line, end="", flush=True))
        lines: list[str] = []
        result = run_part(part, lines.append)
        print(f"{heading(part)}\n{''.join(lines)}", end="", flush=True)
        return result

    with ThreadPoolExecutor(max_workers=1 if live else 2) as pool:
        return list(pool.map(work, batch))


def heading(part: Part) -> str:
    """What stands above the output of a part."""
    return f"\n──── {part.name} {'─' * (72 - len(part.name))}"


if __name__ == "__main__":
    sys.exit(main())
