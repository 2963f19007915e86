# SPDX-License-Identifier: Apache-2.0
"""Runs cases: every case that needs an SDK once for each driver, the others once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .case import Case
from .checks import run_check
from .driver import CommandFailed, Driver, DriverCrash
from .lint import CaseRefused
from .manifest import Manifest
from .play import Play, StepFailed
from .servers import ServerPool
from .trace import violations
from .under_test import ServerFailed
from .verdict import Result, Verdict

NO_DRIVER = "-"


@dataclass(frozen=True)
class DriverCommand:
    """A driver: the name in the tables and the command that starts it."""

    name: str
    command: str


@dataclass(frozen=True)
class Plan:
    """What a run is made of."""

    cases: Sequence[Case]
    drivers: Sequence[DriverCommand]
    manifest: Manifest | None
    folder: Path
    """Where drivers are started."""
    fixtures: Path
    """Where files that cases need are made, once."""
    jobs: int = 2
    """How many plays go on at a time; each has its own peers, and tenants of its own."""


async def run_plan(plan: Plan, on_result: Callable[[Result], None]) -> list[Result]:
    """Runs everything, `jobs` plays at a time; hands out each result as it comes."""
    turns = asyncio.Semaphore(plan.jobs)
    async with ServerPool(plan.manifest, plan.fixtures) as servers:

        async def play(case: Case, driver: DriverCommand | None) -> Result:
            async with turns:
                result = await run_case(plan, case, driver, servers)
                on_result(result)
                return result

        plays = [
            play(case, driver)
            for case in plan.cases
            for driver in (plan.drivers if case.uses_driver else (None,))
        ]
        return list(await asyncio.gather(*plays))


async def run_case(
    plan: Plan, case: Case, command: DriverCommand | None, servers: ServerPool
) -> Result:
    """Plays one case with fresh peers and a fresh driver, and judges it."""
    started = time.monotonic()
    try:
        findings = await _play(plan, case, command, servers)
        verdict = Verdict.FAIL if findings else Verdict.PASS
    except DriverCrash as error:
        findings, verdict = [str(error)], Verdict.CRASH
    except (CaseRefused, ServerFailed, OSError) as error:
        findings, verdict = [f"{type(error).__name__}: {error}"], Verdict.HARNESS_ERROR
    return Result(
        case=case.name,
        label=case.label,
        title=case.title,
        requires=case.requires,
        driver=command.name if command else NO_DRIVER,
        verdict=verdict,
        seconds=round(time.monotonic() - started, 3),
        findings=tuple(findings),
    )


async def _play(
    plan: Plan, case: Case, command: DriverCommand | None, servers: ServerPool
) -> list[str]:
    driver = Driver(command.command, cwd=plan.folder) if command is not None else None
    async with servers.server_for(case) as server:
        play = Play(case, driver, server, servers.secret, servers.claims)
        findings: list[str] = []
        try:
            if driver is not None:
                await driver.start()
            await play.run()
            # The checks count only when every step came true; what a step missed is said instead.
            findings = [
                f"{check['check']}: {wrong}"
                for check in case.checks
                if (wrong := await asyncio.to_thread(run_check, play, check)) is not None
            ]
        except (StepFailed, CommandFailed) as error:
            findings = [str(error), *_context(driver)]
        except DriverCrash as error:
            raise DriverCrash("\n".join([str(error), *_context(driver)])) from None
        finally:
            leaks = await driver.stop() if driver is not None else []
            await play.end()
        findings += [f"left behind: {leak}" for leak in leaks]
        findings += violations(play.trace, list(play.tokens.values()))
        findings += [
            f"{fault} never fired" for fault in case.fired if fault not in play.trace.marks
        ]
        if server is not None and not server.is_running:
            findings.append(f"the server is not running:\n{server.log()[-2_000:]}")
        return findings


def _context(driver: Driver | None) -> list[str]:
    if driver is None or not driver.stderr():
        return []
    return [f"the driver wrote:\n{driver.stderr()[-2_000:]}"]
