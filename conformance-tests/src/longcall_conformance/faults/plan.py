# SPDX-License-Identifier: Apache-2.0
"""Which faults are made, and how often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..referee.fault_proxy import Plan, parse_plan

DEMANDED_EVERY: Final = 5
"""At least one fault for so many requests."""

Lot = Mapping[str, Any]

LOTS: Final[tuple[Lot, ...]] = (
    {"fault": "fin"},
    {"fault": "fin", "after": True},
    {"fault": "reset"},
    {"fault": "reset", "after": True},
    {"fault": "mid-frame"},
    {"fault": "mid-frame", "bytes": 1, "how": "reset"},
    {"fault": "delay", "ms": 20, "jitter_ms": 300},
    {"fault": "delay", "ms": 20, "jitter_ms": 300},
    {"fault": "duplicate"},
    {"fault": "duplicate"},
    {"fault": "duplicate", "copies": 4},
    {"fault": "throttle", "bytes_per_second": 2_000},
    {"fault": "throttle", "bytes_per_second": 20_000},
    {"fault": "slice", "bytes": 7},
    # What a peer cannot see costs it a heartbeat and 10 s (PROTOCOL 6.7.6), so most ends before.
    {"fault": "blackhole", "ms": 400},
    {"fault": "blackhole", "ms": 1_500, "after": True},
    {"fault": "blackhole"},
    {"fault": "stall", "ms": 400},
    {"fault": "stall", "ms": 1_500, "after": True},
    {"fault": "stall"},
)


def plan_of_faults(lots: Sequence[Lot] = LOTS) -> Plan:
    """Each kind comes before one comes twice; more than is demanded: the last may meet no frame."""
    kinds = [dict(lot) for lot in lots]
    return parse_plan({"random": {"requests_per_fault": DEMANDED_EVERY - 1, "kinds": kinds}})


def kinds_of(plan: Plan) -> tuple[str, ...]:
    """The faults that a plan draws from."""
    assert plan.random is not None
    return tuple(sorted({lot["fault"] for lot in plan.random.kinds}))
