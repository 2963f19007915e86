# SPDX-License-Identifier: Apache-2.0
"""The runner against drivers that lie: each must get the verdict that it deserves."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from longcall_conformance.runner.case import Case, parse_case
from longcall_conformance.runner.driver import python_command
from longcall_conformance.runner.run import DriverCommand, Plan, run_case
from longcall_conformance.runner.servers import ServerPool
from longcall_conformance.runner.verdict import Result, Verdict, closing_line, exit_code, matrix

PREAMBLE = """
import json, sys
def say(**message):
    print(json.dumps(message), flush=True)
for line in sys.stdin:
    command = json.loads(line)
    name, number = command["cmd"], command["id"]
"""


def case(seconds: int = 10) -> Case:
    (made,) = parse_case(
        {
            "case": "client/runner/liar",
            "title": "A call that is never sent to anybody",
            "level": "MUST",
            "requires": ["1.1.1"],
            "seconds": seconds,
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
        },
        "client/runner/liar",
    )
    return made


async def verdict(tmp_path: Path, body: str, seconds: int = 10) -> Result:
    script = tmp_path / "driver.py"
    script.write_text(PREAMBLE + textwrap.indent(textwrap.dedent(body), "    "))
    plan = Plan(cases=[], drivers=[], manifest=None, folder=tmp_path, fixtures=tmp_path)
    liar = DriverCommand("liar", python_command(script))
    return await run_case(plan, case(seconds), liar, ServerPool(None, tmp_path))


GOOD = """
say(re=number, ok={"leaks": []} if name == "bye" else {})
if name == "call":
    say(ev="handle.result", n=1, handle="job", result=1)
if name == "bye":
    sys.exit(0)
"""


async def test_a_driver_that_does_right_passes(tmp_path: Path) -> None:
    result = await verdict(tmp_path, GOOD)
    assert (result.verdict, result.findings) == (Verdict.PASS, ())


async def test_a_wrong_result_fails_by_the_name_of_the_check(tmp_path: Path) -> None:
    result = await verdict(tmp_path, GOOD.replace("result=1", "result=2"))
    assert result.verdict is Verdict.FAIL
    assert result.findings[0].startswith("right: ")


async def test_what_is_left_behind_fails(tmp_path: Path) -> None:
    result = await verdict(tmp_path, GOOD.replace('"leaks": []', '"leaks": ["a socket"]'))
    assert result.findings == ("left behind: a socket",)


async def test_silence_fails_and_names_the_step(tmp_path: Path) -> None:
    result = await verdict(tmp_path, GOOD.replace('if name == "call"', "if False"), seconds=1)
    assert result.verdict is Verdict.FAIL
    assert "step 3 (driver.event): nothing came" in result.findings[0]


@pytest.mark.parametrize(
    "body",
    [
        "sys.exit(3)",
        "print('hello')\nsys.stdout.flush()",
        "say(re=number + 100, ok={})",
        "say(re=number, ok={}, colour=1)",
        "say(re=number, ok={})\nsay(ev='handle.result', n=7, handle='job', result=1)",
        "say(re=number, ok={})\nsay(ev='handle.surprise', n=1, handle='job')",
    ],
)
async def test_a_driver_that_breaks_its_protocol_is_a_crash(tmp_path: Path, body: str) -> None:
    assert (await verdict(tmp_path, body)).verdict is Verdict.CRASH


async def test_a_server_case_without_a_server_is_an_error_of_the_harness(tmp_path: Path) -> None:
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
    plan = Plan(cases=[], drivers=[], manifest=None, folder=tmp_path, fixtures=tmp_path)
    result = await run_case(plan, server_case, None, ServerPool(None, tmp_path))
    assert result.verdict is Verdict.HARNESS_ERROR


def test_only_passes_make_a_run_green() -> None:
    def result(verdict: Verdict) -> Result:
        return Result("client/a/b", "client/a/b", "t", ("1.1",), "d", verdict, 0.1)

    good, bad = result(Verdict.PASS), result(Verdict.FAIL)
    assert exit_code([good]) == 0
    assert exit_code([good, bad]) == 1
    assert exit_code([good, result(Verdict.CRASH)]) == 1
    assert exit_code([bad, result(Verdict.HARNESS_ERROR)]) == 2
    assert exit_code([]) == 3
    assert closing_line([good, bad]) == "1 passed, 1 failed"
    assert "1/2" in matrix([good, bad])
