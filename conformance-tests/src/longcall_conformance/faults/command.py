# SPDX-License-Identifier: Apache-2.0
"""`longcall-conformance faults`: what it takes, and what people are told."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
from pathlib import Path
from typing import Final

from ..referee.checker import Report
from ..referee.verdicts import Verdicts
from ..runner.drivers import DriverCommand
from ..runner.manifest import Manifest
from .outcome import Outcome, judge
from .run import Order, run_driver

REQUESTS: Final = 10_000
_SHOWN: Final = 30
CODES: Final = (
    "Exit codes: 0 passed; 1 something was lost, came twice, ran twice or was left behind, or a "
    "kind of fault was never made; 2 the use of this command is wrong; 3 nothing was run."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes beside drivers and the server."""
    parser.add_argument("--requests", type=int, default=REQUESTS, help="default: %(default)s")
    parser.add_argument("--seed", type=int, help="default: a fresh one, printed")
    parser.add_argument(
        "--jobs", type=int, default=1, choices=range(1, 33), metavar="N", help="drivers at a time"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=90,
        metavar="SECONDS",
        help="what is open is given up when nothing has come for so long (default: %(default)s)",
    )


def run(
    options: argparse.Namespace, drivers: list[DriverCommand], manifest: Manifest, folder: Path
) -> int:
    """Runs the drivers, all with the same seed; returns the exit code."""
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    order = Order(
        manifest=manifest,
        requests=options.requests,
        seed=seed,
        folder=folder,
        out=options.out / "faults",
        secret=manifest.secret() or secrets.token_hex(32),
        patience=options.patience,
        tell=_say,
    )
    _say(f"{order.requests} requests of {order.clients} clients, SEED={seed}")
    results = asyncio.run(_run(order, drivers, options.jobs))
    failed = results.count(False)
    _say(f"{len(results) - failed} passed, {failed} failed")
    return 3 if not results else 1 if failed else 0


async def _run(order: Order, drivers: list[DriverCommand], jobs: int) -> list[bool]:
    turns = asyncio.Semaphore(jobs)

    async def one(command: DriverCommand) -> bool:
        async with turns:
            outcome = await run_driver(order, command)
        verdicts, report = await asyncio.to_thread(judge, outcome)
        _show(command.name, outcome, verdicts, report)
        await asyncio.to_thread(_write, order, command.name, outcome, verdicts, report)
        return verdicts.passed

    return await asyncio.gather(*map(one, drivers))


def _show(name: str, outcome: Outcome, verdicts: Verdicts, report: Report) -> None:
    for finding in verdicts.findings[:_SHOWN]:
        _say(f"  {finding}")
    if len(verdicts.findings) > _SHOWN:
        _say(f"  and {len(verdicts.findings) - _SHOWN} more")
    counts, kinds = report.counts, outcome.proxy.get("kinds", {})
    ends = [f"{counts['completed']} completed"]
    ends += [
        f"{count} {what}" for what, count in sorted(counts.items()) if what.startswith("error")
    ]
    _say(
        f"{name}: {counts['requests']} requests ({', '.join(ends)}), {counts['events']} events,"
        f" {counts['readings']} readings, {len(outcome.counters)} executions counted"
    )
    made = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
    _say(f"{name}: {sum(kinds.values())} faults: {made}")
    _say(
        f"{name}: {outcome.lost_connections} connections lost,"
        f" {outcome.proxy.get('counts', {}).get('websockets', 0)} opened, {outcome.seconds:.0f} s,"
        f" demands: {verdicts.closing_line()}"
    )


def _write(order: Order, name: str, outcome: Outcome, verdicts: Verdicts, report: Report) -> None:
    told = {
        "driver": name,
        "seed": order.seed,
        "requests": order.requests,
        "passed": verdicts.passed,
        "findings": verdicts.findings,
        "counts": dict(report.counts),
        "lost_connections": outcome.lost_connections,
        "seconds": round(outcome.seconds, 1),
        "proxy": outcome.proxy,
    }
    path = order.out / name / "report.json"
    path.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


def _say(text: str) -> None:
    print(text)
    sys.stdout.flush()
