# SPDX-License-Identifier: Apache-2.0
"""Runs cases: every case that needs an SDK once for each driver, the others once."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .baseline import Baseline
from .case import Case
from .checks import run_check
from .driver import CommandFailed, Driver, DriverCrash, DriverHang, NoDriver, ProtocolBroken
from .drivers import DriverCommand, DriverPools
from .lint import CaseRefused
from .manifest import Manifest
from .play import Play, StepFailed
from .results import Results
from .servers import ServerPool
from .trace import violations
from .under_test import ServerFailed, ServerUnderTest
from .verdict import Result, Verdict

NOBODY = "-"
"""The subject of a case that nobody was given for."""


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
    baseline: Baseline = field(default_factory=lambda: Baseline(Path("known-failing.yaml")))
    every_case: Sequence[Case] = ()
    """All that there are, where `cases` are a selection."""
    skipped: Sequence[str] = ()

    def subjects(self, case: Case) -> list[str]:
        """Who plays a case: each driver, or the server; somebody at least."""
        if case.uses_driver:
            return [driver.name for driver in self.drivers] or [NOBODY]
        return [self.manifest.name if self.manifest is not None else NOBODY]


async def run_plan(plan: Plan, on_result: Callable[[Result], None]) -> Results:
    """Runs everything, `jobs` plays at a time; hands out each result as it comes.

    Cancelled, it returns what there is, as incomplete.
    """
    started, clock = time.time(), time.monotonic()
    turns = asyncio.Semaphore(plan.jobs)
    done: dict[int, Result] = {}
    asked = [(case, subject) for case in plan.cases for subject in plan.subjects(case)]
    servers = ServerPool(plan.manifest, plan.fixtures)
    pools = DriverPools(plan.drivers, plan.folder)
    async with servers, pools:

        async def play(number: int, case: Case, subject: str) -> None:
            async with turns:
                result = await run_case(plan, case, subject, servers, pools)
            (result,) = plan.baseline.apply([result])
            done[number] = result
            on_result(result)

        # What starts servers takes longest: begun first, it waits beside what is quick.
        order = sorted(range(len(asked)), key=lambda n: _turn(asked[n][0]))
        tasks = [asyncio.create_task(play(n, *asked[n])) for n in order]
        try:
            await asyncio.gather(*tasks)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        ends = [_bad_end(subject, wrong) for subject, wrong in (await pools.stop()).items()]
    for result in ends:
        on_result(result)
    results = [*(done[number] for number in sorted(done)), *ends]
    every = plan.every_case or plan.cases
    plays = [(case.label, subject) for case in every for subject in plan.subjects(case)]
    today = datetime.datetime.now(datetime.UTC).date()
    return Results(
        results=results,
        complete=len(done) == len(asked),
        subjects=_subjects(plan, pools),
        skipped=plan.skipped,
        stale=plan.baseline.stale(plays, results, today),
        started_at=started,
        seconds=time.monotonic() - clock,
    )


def _turn(case: Case) -> tuple[bool, bool]:
    return not case.ends_servers, case.kind != "e2e"


def _bad_end(subject: str, wrong: Sequence[str]) -> Result:
    """A driver that does not end as it should: of no case, and not passed over."""
    return Result(
        case="client/driver/bye",
        label="client/driver/bye",
        control=False,
        title="The driver ends after bye, with nothing left behind",
        level="MUST",
        requires=(),
        subject=subject,
        verdict=Verdict.FAIL,
        seconds=0.0,
        findings=tuple(wrong),
    )


def _subjects(plan: Plan, pools: DriverPools) -> dict[str, object]:
    told: dict[str, object] = {driver.name: pools[driver.name].about for driver in plan.drivers}
    if plan.manifest is not None:
        told[plan.manifest.name] = {"url": plan.manifest.url} if plan.manifest.url else {}
    return told


@dataclass(frozen=True)
class _Outcome:
    verdict: Verdict
    findings: Sequence[str] = ()


async def run_case(
    plan: Plan, case: Case, subject: str, servers: ServerPool, pools: DriverPools
) -> Result:
    """Plays one case with fresh peers and a driver that is as good as new, and judges it."""
    started = time.monotonic()
    try:
        outcome = await _outcome(plan, case, subject, servers, pools)
    except DriverHang as error:
        outcome = _Outcome(Verdict.HANG, [str(error)])
    except (DriverCrash, NoDriver) as error:
        outcome = _Outcome(Verdict.CRASH, [str(error)])
    except (ProtocolBroken, CaseRefused, ServerFailed, OSError) as error:
        outcome = _Outcome(Verdict.HARNESS_ERROR, [f"{type(error).__name__}: {error}"])
    if outcome.verdict is Verdict.FAIL and case.level == "SHOULD":
        outcome = replace(outcome, verdict=Verdict.WARN)
    return Result(
        case=case.name,
        label=case.label,
        control=case.control,
        title=case.title,
        level=case.level,
        requires=case.requires,
        subject=subject,
        verdict=outcome.verdict,
        seconds=round(time.monotonic() - started, 3),
        findings=tuple(outcome.findings),
    )


async def _outcome(
    plan: Plan, case: Case, subject: str, servers: ServerPool, pools: DriverPools
) -> _Outcome:
    if case.uses_driver and not plan.drivers:
        return _Outcome(Verdict.NOT_APPLICABLE, ["no driver was given"])
    if case.kind != "client":
        if plan.manifest is None:
            return _Outcome(Verdict.NOT_APPLICABLE, ["no server was given"])
        if (reason := plan.manifest.lacks(case)) is not None:
            return _Outcome(Verdict.NOT_APPLICABLE, [reason])
    async with servers.server_for(case) as server:
        if not case.uses_driver:
            return await _play(case, None, server, servers)
        async with pools[subject].driver() as driver:
            missing = sorted(case.features - driver.features)
            if missing:
                text = f"the driver has not the features {', '.join(missing)}"
                return _Outcome(Verdict.NOT_APPLICABLE, [text])
            return await _play(case, driver, server, servers)


async def _play(
    case: Case, driver: Driver | None, server: ServerUnderTest | None, servers: ServerPool
) -> _Outcome:
    play = Play(case, driver, server, servers.secret, servers.claims)
    try:
        wrong = await _steps_and_checks(play)
        leaks = await driver.reset() if driver is not None else []
    except (DriverCrash, DriverHang, ProtocolBroken) as error:
        raise type(error)("\n".join([str(error), *_context(driver)])) from None
    finally:
        await play.end()
    findings = [f"left behind: {leak}" for leak in leaks]
    findings += violations(play.trace, list(play.tokens.values()))
    if server is not None and not server.is_running:
        findings.append(f"the server is not running:\n{server.log()[-2_000:]}")
    unfired = [f"{fault} never fired" for fault in case.fired if fault not in play.trace.marks]
    if findings or (wrong and not case.control):
        context = _context(driver) if wrong else []
        return _Outcome(Verdict.FAIL, [*wrong, *findings, *unfired, *context])
    if wrong or unfired:
        return _Outcome(Verdict.UNTESTABLE, [*wrong, *unfired])
    if play.alternatives:
        return _Outcome(Verdict.ALTERNATIVE, play.alternatives)
    return _Outcome(Verdict.PASS)


async def _steps_and_checks(play: Play) -> list[str]:
    """What did not come true: a step, or checks once all steps have."""
    try:
        await play.run()
    except (StepFailed, CommandFailed) as error:
        return [str(error)]
    return [
        f"{check['check']}: {wrong}"
        for check in play.case.checks
        if (wrong := await asyncio.to_thread(run_check, play, check)) is not None
    ]


def _context(driver: Driver | None) -> list[str]:
    if driver is None or not driver.wrote():
        return []
    return [f"the driver wrote:\n{driver.wrote()[-2_000:]}"]
