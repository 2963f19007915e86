# SPDX-License-Identifier: Apache-2.0
"""Thousands of schedules of lost connections, goaways, refusals and slow readers."""

from __future__ import annotations

import os

import pytest
from simulation import World

pytestmark = pytest.mark.slow  # a hundred random lives of a client

SEEDS = int(os.environ.get("LONGCALL_SIMULATION_SEEDS", "100"))


@pytest.mark.clause("9.2.3")
@pytest.mark.parametrize("block", range(10))
def test_client_keeps_its_promises_whatever_happens(block: int) -> None:
    for seed in range(block, SEEDS, 10):
        try:
            World(seed).run(steps=400)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
