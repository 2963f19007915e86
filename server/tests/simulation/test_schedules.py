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
    "owners take turns": 100,
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
    "new request: over_limit": 20,
    "new request: tenant_full": 20,
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
    "log full": 20,
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


@pytest.mark.clause(
    "1.1.1", "1.1.2", "1.1.3", "1.1.4", "3.4.2", "4.4.1", "5.1.4", "5.1.5", "5.1.6", "5.2.1",
    "5.2.2", "5.3.4", "5.4.1", "5.4.2", "5.4.3", "5.4.5", "5.4.8", "5.4.9", "5.4.11", "5.5.2",
    "5.6.3", "5.6.4", "5.6.5", "5.6.7", "5.7.1", "5.8.1", "5.8.2", "5.8.3", "5.9.1", "5.9.2",
    "5.9.3", "6.1.1", "10.1.2", "10.2.1", "10.2.3", "10.3.1", "10.5.2", "10.6.2", "10.7.1",
    "10.10.4", "10.11.3", "10.14.1", "10.14.2", "10.14.3", "10.14.4", "10.14.5", "10.14.6",
    "10.15.1", "10.15.3", "10.16.1", "10.16.3", "10.17.1", "10.17.3", "10.18.2", "10.18.3",
    "10.19.1", "10.20.1", "10.20.2", "10.22.1", "10.22.2", "10.22.4", "10.23.1", "10.23.3",
    "10.24.1", "10.28.1", "10.28.3", "10.29.1", "10.31.1", "10.31.2", "10.32.1", "10.33.2",
    "10.35.1", "10.35.2", "10.35.3", "10.36.1", "10.45.1", "10.47.5",
)  # fmt: skip
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
