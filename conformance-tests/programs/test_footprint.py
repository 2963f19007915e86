# SPDX-License-Identifier: Apache-2.0
"""A taste of `make memory`, and that what it looks for is found."""

from __future__ import annotations

from typing import Any

import pytest
from footprint import FRONTS, MIB, OBJECTS_SLACK, judge, run

from longcall_conformance.referee.verdicts import Verdicts


def told(**changes: Any) -> dict[str, Any]:
    """What a good client tells."""
    flat = {"resident": [40 * MIB] * 40, "objects": [30_000] * 40}
    held = {"objects": 30_000, "longcall.protocol.request.TrackedRequest": 1}
    return {"events": 102, **flat, "before": held, "after": dict(held), "left": [], **changes}


def found(**changes: Any) -> list[str]:
    verdicts = Verdicts()
    verdicts.require("front")
    judge(verdicts, "front", told(**changes), 100)
    return verdicts.findings


def test_flat_is_flat() -> None:
    assert found() == []
    assert found(resident=[10 * MIB] * 5 + [40 * MIB] * 35) == []  # it grows at first


@pytest.mark.parametrize(
    "changes,words",
    [
        ({"resident": [(40 + number) * MIB for number in range(40)]}, "resident grew"),
        ({"objects": [30_000 + 500 * number for number in range(40)]}, "objects grew"),
        ({"events": 101}, "101 events"),
        ({"left": ["<Task>"]}, "left after close"),
        (
            {"after": {"longcall.protocol.request.TrackedRequest": 2}},
            "left 1 longcall.protocol.request.TrackedRequest",
        ),
        ({"after": {"objects": 30_001 + OBJECTS_SLACK}}, "objects"),
    ],
)
def test_what_is_not_is_found(changes: dict[str, Any], words: str) -> None:
    (finding,) = found(**changes)
    assert words in finding


@pytest.mark.slow
@pytest.mark.parametrize("front", FRONTS)
async def test_client_stays_flat_and_cancelled_handles_leave_nothing(front: str) -> None:
    verdicts = await run((front,), events=10_000, handles=200)
    assert verdicts.findings == []
    assert verdicts.passed
