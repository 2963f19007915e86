# SPDX-License-Identifier: Apache-2.0
"""The run through the fault proxy can fail: a driver with a defect is found out by what it does."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from longcall_conformance.faults.outcome import judge
from longcall_conformance.faults.plan import plan_of_faults
from longcall_conformance.faults.run import Order, run_driver
from longcall_conformance.referee.verdicts import Verdicts
from longcall_conformance.runner.drivers import DriverCommand
from longcall_conformance.runner.manifest import Manifest

SUITE = Path(__file__).parent.parent
DRIVER = Path(__file__).parent / "fault_mutants.py"
QUICK_LOTS = (
    {"fault": "reset"},
    {"fault": "fin", "after": True},
    {"fault": "duplicate"},
    {"fault": "blackhole", "ms": 100},
)


async def verdicts(folder: Path, defect: str, *, requests: int = 40) -> Verdicts:
    """What is said of the Python driver with a defect."""
    order = Order(
        manifest=Manifest.load(SUITE / "manifests" / "longcall-server.yaml"),
        requests=requests,
        seed=5,
        folder=SUITE,
        out=folder,
        secret="a key of thirty-two bytes or more",
        patience=20,  # a busy machine is silent for some seconds
        tell=lambda _: None,
        plan=plan_of_faults(QUICK_LOTS),
    )
    words = [sys.executable, str(DRIVER), defect]
    outcome = await run_driver(order, DriverCommand("doctored", shlex.join(words)))
    return judge(outcome)[0]


@pytest.mark.slow
async def test_a_driver_without_a_defect_passes(tmp_path: Path) -> None:
    assert (await verdicts(tmp_path, "none")).findings == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("defect", "finding"),
    [
        ("loses-results", "observations: lost: r7: "),
        ("doubles-chunks", "observations: twice: r"),
        ("changes-results", "observations: result: r7: "),
        ("leaves-out-chunks", "observations: chunks: r"),
        ("submits-twice", " ran 2 times, not 1"),
        ("leaks", "left behind: task of c1"),
        ("never-closes", "left behind: 4 sockets are open"),
    ],
)
async def test_a_defect_of_a_driver_is_found(tmp_path: Path, defect: str, finding: str) -> None:
    found = (await verdicts(tmp_path, defect)).findings
    assert any(finding in text for text in found), found


@pytest.mark.slow
async def test_a_kind_of_fault_that_was_never_made_fails_the_run(tmp_path: Path) -> None:
    found = (await verdicts(tmp_path, "none", requests=4)).findings
    assert len(found) >= 3
    assert all("never fired" in text for text in found)
