# SPDX-License-Identifier: Apache-2.0
"""The runner against drivers that are broken, each in its own way: it tells them apart."""

from __future__ import annotations

import asyncio
import shlex
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from longcall_conformance.runner import link
from longcall_conformance.runner.baseline import Baseline
from longcall_conformance.runner.case import Case, parse_case
from longcall_conformance.runner.drivers import DriverCommand
from longcall_conformance.runner.manifest import Manifest
from longcall_conformance.runner.results import Results
from longcall_conformance.runner.run import Plan, run_plan
from longcall_conformance.runner.verdict import Result, Verdict

PREAMBLE = """
import json, signal, socket, sys
source, sink = sys.stdin, sys.stdout
if "--connect" in sys.argv:
    host, port = sys.argv[-1].rsplit(":", 1)
    peer = socket.create_connection((host, int(port)))
    source, sink = peer.makefile("r"), peer.makefile("w")
n = 0
def say(**message):
    print(json.dumps(message), file=sink, flush=True)
def tell(ev, **fields):
    global n
    n += 1
    say(ev=ev, n=n, **fields)
def answer(command, features=(), leaks=()):
    about = {"sdk": "liar", "version": "1", "language": "Python", "features": list(features)}
    ok = {"hello": about, "reset": {"leaks": list(leaks)}, "bye": {"leaks": []}}
    say(re=command["id"], ok=ok.get(command["cmd"], {}))
for line in source:
    command = json.loads(line)
    name, number = command["cmd"], command["id"]
"""
GOOD = """
answer(command)
if name == "call":
    tell("handle.result", handle="job", result=1)
if name == "bye":
    sys.exit(0)
"""


def case(**changes: Any) -> Case:
    document: dict[str, Any] = {
        "case": "client/runner/liar",
        "title": "A call that is never sent to anybody",
        "level": "MUST",
        "requires": ["1.1.1"],
        "seconds": 10,
        "steps": [
            {"driver.connect": {"as": "A"}},
            {"driver.call": {"client": "A", "handle": "job", "action": "x"}},
            {"driver.event": {"handle": "job", "ev": "handle.result"}},
        ],
        "then": [
            {
                "check": "right",
                "events": {
                    "handle": "job",
                    "ev": "handle.result",
                    "select": "$.result",
                    "equals": [1],
                },
            }
        ],
    }
    (made,) = parse_case({**document, **changes}, "client/runner/liar")
    return made


def driver(tmp_path: Path, body: str, *more: str) -> DriverCommand:
    script = tmp_path / "driver.py"
    script.write_text(PREAMBLE + textwrap.indent(textwrap.dedent(body), "    "))
    return DriverCommand("liar", shlex.join([sys.executable, str(script), *more]))


async def run(
    tmp_path: Path,
    cases: list[Case],
    *drivers: DriverCommand,
    manifest: Manifest | None = None,
    known: str = "",
) -> Results:
    (tmp_path / "known-failing.yaml").write_text(known)
    plan = Plan(
        cases=cases,
        drivers=drivers,
        manifest=manifest,
        folder=tmp_path,
        fixtures=tmp_path,
        baseline=Baseline.load(tmp_path / "known-failing.yaml") if known else Baseline(tmp_path),
    )
    return await run_plan(plan, lambda _: None)


async def verdict(tmp_path: Path, body: str, **changes: Any) -> Result:
    results = await run(tmp_path, [case(**changes)], driver(tmp_path, body))
    return results.results[0]


async def test_a_driver_that_answers_right_passes(tmp_path: Path) -> None:
    result = await verdict(tmp_path, GOOD)
    assert (result.verdict, result.findings) == (Verdict.PASS, ())


async def test_one_that_answers_wrong_fails_by_the_name_of_the_check(tmp_path: Path) -> None:
    result = await verdict(tmp_path, GOOD.replace("result=1", "result=2"))
    assert result.verdict is Verdict.FAIL
    assert result.findings == ("right: [2] instead of [1]",)


async def test_one_that_hangs_is_not_one_that_has_nothing_to_tell(tmp_path: Path) -> None:
    silent = await verdict(tmp_path, GOOD.replace('if name == "call"', "if False"), seconds=1)
    assert silent.verdict is Verdict.FAIL
    assert silent.findings == ("step 3 (driver.event): nothing came in 1 s",)
    hanging = f'signal.pause() if name == "call" else None\n{GOOD}'
    hung = await verdict(tmp_path, hanging, seconds=1)
    assert hung.verdict is Verdict.HANG
    assert hung.findings[0].startswith("step 2 (driver.call): nothing came in 1 s, and the driver")


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("sys.exit(3)", "the driver ended: exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "the driver ended: signal 11"),
        ("sys.exit('last words')", "last words"),
    ],
)
async def test_one_that_ends_is_a_crash(tmp_path: Path, end: str, told: str) -> None:
    body = f'if name == "call":\n    {end}\n{GOOD}'
    result = await verdict(tmp_path, body)
    assert result.verdict is Verdict.CRASH
    assert told in result.findings[0]


@pytest.mark.parametrize(
    ("early", "told"),
    [
        ('tell("handle.result", handle="job", result=1)', "the handle job, which it was not asked"),
        ("say(re=number + 1, ok={})", "it answers what it was not asked"),
    ],
)
async def test_one_that_answers_before_it_is_asked_is_told_so(
    tmp_path: Path, early: str, told: str
) -> None:
    result = await verdict(tmp_path, f'if name == "connect":\n    {early}\nanswer(command)')
    assert result.verdict is Verdict.HARNESS_ERROR
    assert told in result.findings[0]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("print('hello', file=sink, flush=True)", "not a line of JSON"),
        ("print('[]', file=sink, flush=True)", "not an object"),
        ("say(re=number, ok={}, colour=1)", "colour"),
        ("say(re=number, ok={'colour': 1})", "colour"),
        ("say(ev='warning', n=7, message='')", "event 7 after 0"),
        ("tell('handle.surprise', handle='job')", "Event"),
    ],
)
async def test_what_is_no_message_is_an_error_of_the_harness(
    tmp_path: Path, said: str, told: str
) -> None:
    result = await verdict(tmp_path, f'if name == "call":\n    {said}\n{GOOD}')
    assert result.verdict is Verdict.HARNESS_ERROR
    assert told in result.findings[0]


async def test_what_is_left_behind_fails(tmp_path: Path) -> None:
    body = GOOD.replace("answer(command)", 'answer(command, leaks=["a socket"])')
    assert (await verdict(tmp_path, body)).findings == ("left behind: a socket",)


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("pass", "it does not end after bye"),
        ("sys.exit(1)", "it ended with exit code 1"),
    ],
)
async def test_one_that_does_not_end_well_is_found_behind_the_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, told: str
) -> None:
    monkeypatch.setattr(link, "END_SECONDS", 1)
    results = await run(tmp_path, [case()], driver(tmp_path, GOOD.replace("sys.exit(0)", end)))
    passed, ended = results.results
    assert passed.verdict is Verdict.PASS
    assert (ended.case, ended.verdict) == ("client/driver/bye", Verdict.FAIL)
    assert told in ended.findings[0]


async def test_one_that_cannot_be_started_is_a_crash(tmp_path: Path) -> None:
    results = await run(tmp_path, [case()], DriverCommand("none", "./no-such-program"))
    assert results.results[0].verdict is Verdict.CRASH


async def test_a_driver_may_dial_back(tmp_path: Path) -> None:
    dialing = driver(tmp_path, GOOD)
    dialing = DriverCommand("liar", f"{dialing.command} --connect {{connect}}")
    results = await run(tmp_path, [case(), case()], dialing)
    assert [result.verdict for result in results.results] == [Verdict.PASS, Verdict.PASS]
    assert results.subjects["liar"]["sdk"] == "liar"


async def test_a_driver_serves_many_plays_and_a_broken_one_is_replaced(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    body = f"""
    if name == "hello":
        import os
        with open({str(pids)!r}, "a") as file:
            print(os.getpid(), file=file)
    if name == "call" and command["action"] == "crash":
        sys.exit(1)
    """
    crash = [
        {"driver.connect": {"as": "A"}},
        {"driver.call": {"client": "A", "handle": "job", "action": "crash"}},
    ]
    cases = [case(), case(), case(steps=crash), case()]
    one = driver(tmp_path, textwrap.dedent(body) + GOOD)
    plan = Plan(cases, [one], None, tmp_path, tmp_path, jobs=1)
    results = await run_plan(plan, lambda _: None)
    told = [result.verdict for result in results.results]
    assert told == [Verdict.PASS, Verdict.PASS, Verdict.CRASH, Verdict.PASS]
    assert len(set(pids.read_text().split())) == 2


async def test_a_case_that_needs_what_the_driver_lacks_is_not_applicable(tmp_path: Path) -> None:
    steps = [*({step.verb: step.arguments} for step in case().steps)]
    steps.append({"driver.net": {"state": "offline"}})
    lacking = await verdict(tmp_path, GOOD, steps=steps)
    assert lacking.verdict is Verdict.NOT_APPLICABLE
    assert lacking.findings == ("the driver has not the features net",)
    having = GOOD.replace("answer(command)", 'answer(command, features=["net"])')
    assert (await verdict(tmp_path, having, steps=steps)).verdict is Verdict.PASS
    assert (await verdict(tmp_path, GOOD, needs=["http_status"])).verdict is Verdict.NOT_APPLICABLE


async def test_a_broken_should_is_a_warning(tmp_path: Path) -> None:
    result = await verdict(tmp_path, GOOD.replace("result=1", "result=2"), level="SHOULD")
    assert result.verdict is Verdict.WARN


async def test_a_fault_that_did_not_happen_shows_nothing(tmp_path: Path) -> None:
    steps = [*({step.verb: step.arguments} for step in case().steps)]
    made = case(steps=[*steps, {"peer.refuse": {"status": 500}}], fired=["peer.refuse"])
    unfired = Case(**{**vars(made), "steps": made.steps[:-1]})
    results = await run(tmp_path, [unfired], driver(tmp_path, GOOD))
    assert results.results[0].verdict is Verdict.UNTESTABLE
    assert results.results[0].findings == ("peer.refuse never fired",)


async def test_nobody_to_play_with_is_not_applicable_and_the_run_incomplete(
    tmp_path: Path,
) -> None:
    (server_case,) = parse_case(
        {
            "case": "server/runner/none",
            "title": "A case that needs a server",
            "level": "MUST",
            "requires": ["1.1.1"],
            "steps": [{"raw.connect": {"as": "c"}}],
            "then": [{"check": "x", "frames": {"type": "welcome", "count": 0}}],
        },
        "server/runner/none",
    )
    results = await run(tmp_path, [server_case, case()])
    assert {result.verdict for result in results.results} == {Verdict.NOT_APPLICABLE}
    assert results.exit_code == 3


async def test_a_run_that_is_broken_off_is_incomplete_and_keeps_what_it_has(
    tmp_path: Path,
) -> None:
    steps = [*({step.verb: step.arguments} for step in case().steps)]
    endless = case(steps=[*steps, {"peer.accept": {"as": "c"}}])
    plan = Plan([case(), endless], [driver(tmp_path, GOOD)], None, tmp_path, tmp_path, jobs=1)
    first = asyncio.Event()
    task = asyncio.create_task(run_plan(plan, lambda _: first.set()))
    await first.wait()
    task.cancel()
    results = await task
    assert [result.verdict for result in results.results] == [Verdict.PASS]
    assert (results.complete, results.exit_code) == (False, 3)


async def test_a_known_failure_is_played_and_green(tmp_path: Path) -> None:
    known = """
    - case: client/runner/*
      subject: liar
      reason: It cannot count yet, and will learn it.
      expires: 2999-01-01
    """
    wrong = driver(tmp_path, GOOD.replace("result=1", "result=2"))
    results = await run(tmp_path, [case()], wrong, known=known)
    assert results.results[0].verdict is Verdict.KNOWN_FAIL
    assert (results.stale, results.exit_code) == ([], 0)
    right = await run(tmp_path, [case()], driver(tmp_path, GOOD), known=known)
    assert right.results[0].verdict is Verdict.PASS
    assert "passes now" in right.stale[0]
    assert right.exit_code == 1
