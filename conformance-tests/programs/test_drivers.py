# SPDX-License-Identifier: Apache-2.0
"""The drivers of the SDKs beside this suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from longcall_conformance.commands import SMOKE
from longcall_conformance.runner.case import load_cases
from longcall_conformance.runner.drivers import DriverCommand
from longcall_conformance.runner.run import Plan, run_plan
from longcall_conformance.runner.suite import load_suite
from longcall_conformance.runner.verdict import Verdict

SUITE = Path(__file__).parent.parent


@pytest.mark.slow
async def test_each_dials_back_as_well(tmp_path: Path) -> None:
    drivers = load_suite(SUITE / "drivers.yaml").drivers
    dialing = [
        DriverCommand(one.name, f"{one.command} --connect {{connect}}")
        for one in drivers
        if "{connect_ws}" not in one.command  # a page always does
    ]
    names = [name for name in SMOKE if name.startswith("client/")]
    cases = [case for case in load_cases(SUITE / "cases") if case.name in names]
    plan = Plan(cases, dialing, None, folder=SUITE, fixtures=tmp_path)
    results = (await run_plan(plan, lambda _: None)).results
    assert len(results) >= len(names) * len(dialing) > 0
    assert [result for result in results if result.verdict is not Verdict.PASS] == []


def test_no_file_of_a_driver_is_long() -> None:
    for pattern in ("python/*.py", "js/*.mjs", "browser/*.mjs", "go/*.go"):
        files = list((SUITE / "drivers").glob(pattern))
        assert files
        for path in files:
            assert len(path.read_text().splitlines()) < 300, path
