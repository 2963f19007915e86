# SPDX-License-Identifier: Apache-2.0
"""A seed is a schedule: the same in every process, and another one for another seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.command import main
from simulation.world import run

pytestmark = pytest.mark.slow  # starts processes

TESTS = Path(__file__).resolve().parent.parent
SEEDS = range(40)
PROGRAM = """
from simulation.world import run
for seed in range({first}, {last}):
    print(run(seed).digest)
"""


def digests(hash_seed: int) -> list[str]:
    """The digests of all schedules, from a process of its own."""
    program = PROGRAM.format(first=SEEDS.start, last=SEEDS.stop)
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=TESTS,
        env=os.environ | {"PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout.split()


def test_a_seed_gives_the_same_trace_in_every_process() -> None:
    first, second = digests(1), digests(2)
    assert first == second
    assert len(set(first)) == len(SEEDS)


def test_a_seed_gives_the_same_trace_whatever_ran_before() -> None:
    alone = run(11).trace
    for seed in range(5):
        run(seed)
    assert run(11).trace == alone


def test_a_replay_shows_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3"]) == 0
    shown = capsys.readouterr().out
    result = run(3)
    for line in result.trace:
        assert line in shown
    assert result.digest in shown
