# SPDX-License-Identifier: Apache-2.0
"""Two thousand schedules: every invariant holds, and every kind of fault really happened."""

from __future__ import annotations

from functools import cache

import pytest

from simulation.command import Tally, run_range
from simulation.weather import StoreFault

pytestmark = pytest.mark.slow  # thousands of schedules

BLOCKS = 8
SCHEDULES = 250
"""In each block: a block ends well within the time limit of a test."""

MUST_HAPPEN = {
    # Of clients.
    "a used id from elsewhere": 20,
    "another request under a used id": 20,
    "client attaches beyond the end": 20,
    "client attaches from elsewhere": 200,
    "client attaches to a stranger's request": 20,
    "client cancels": 500,
    "client crashes": 100,
    "client detaches": 20,
    "client disconnects": 200,
    "client gives up a silent connection": 1,
    "client is asked to move": 100,
    "client re-sends a request": 200,
    "client reads without following": 20,
    "client takes nothing for a while": 100,
    "expired id sent again": 50,
    "two cancels": 20,
    # Of the network between clients and nodes.
    "connection cut": 200,
    "connection half open": 100,
    # Of nodes and workers.
    "node crashes": 200,
    "node drains": 100,
    "node stalls": 200,
    "handed back": 10,
    "lease lost": 50,
    "lease lost after cancel": 5,
    "renewal fenced": 50,
    "write fenced": 10,
    # Of the store.
    **{fault.value: 20 for fault in StoreFault},
    "store unavailable": 500,
    "append repeated": 20,
    "complete repeated": 10,
    "fail repeated": 10,
    "stored before: created": 20,
    "stored before: duplicate": 20,
    "stored before: conflict": 10,
    # Of the bell between nodes.
    "bell delayed": 1_000,
    "bell lost": 1_000,
    "bell overtaken": 1_000,
    "bell repeated": 1_000,
    "progress too long for the bell": 50,
    # Of clocks and handlers.
    "cancel grace over": 10,
    "cancel of a running request": 100,
    "cancel of a waiting request": 100,
    "chunks voided": 50,
    "deadline passed": 50,
    "failed for good": 200,
    "handler fails": 100,
    "handler fails, retryable": 200,
    "handler ignores a cancel": 20,
    "handler raises": 200,
    "promotion": 200,
    "promotion by cancel": 20,
    "requeue": 20,
    "retention removed a log": 50,
    "retry": 200,
    "request refused: CONFLICT": 50,
    "request refused: RESOURCE_EXHAUSTED": 5,
    "request refused: UNAVAILABLE": 100,
}
"""How often at least, in all blocks: a fault that does not happen proves nothing."""


@cache
def block(number: int) -> Tally:
    return run_range(number * SCHEDULES, (number + 1) * SCHEDULES)


@pytest.mark.parametrize("number", range(BLOCKS))
def test_no_schedule_breaks_an_invariant(number: int) -> None:
    tally = block(number)
    assert not tally.failures, "\n\n".join(result.failure() for result in tally.failures[:2])
    assert tally.steps > 100 * SCHEDULES


@pytest.mark.timeout(BLOCKS * 120)  # runs the blocks itself where the tests before did not
def test_every_kind_of_fault_has_happened() -> None:
    total = Tally()
    for number in range(BLOCKS):
        total.add(block(number))
    missing = {
        what: (total.counts[what], least)
        for what, least in MUST_HAPPEN.items()
        if total.counts[what] < least
    }
    assert not missing, f"too rare (happened, needed): {missing}"
    unknown = set(total.counts) - set(MUST_HAPPEN) - {"client submits", "handler runs"}
    assert not unknown, f"counted and never asked for: {unknown}"
