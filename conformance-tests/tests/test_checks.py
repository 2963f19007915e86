# SPDX-License-Identifier: Apache-2.0
"""Checks over numbers, and what a check says of a place that is not there."""

from __future__ import annotations

from typing import Any

import pytest

from longcall_conformance.runner import checks

WAITS: list[dict[str, Any]] = [{"wait": 1}, {"wait": 3.5}]


@pytest.mark.parametrize(
    ("wanted", "wrong"),
    [
        ({"each_at_most": [1, 4]}, None),
        ({"each_at_most": [1, 3]}, "number 2 is 3.5, with each at most 3"),
        ({"each_at_most": [1]}, "2 of them, not 1"),
        ({"each_at_least": [1, 3]}, None),
        ({"each_at_least": [2, 3]}, "number 1 is 1, with each at least 2"),
        ({"some_over": 3}, None),
        ({"some_over": 3.5}, "none is over 3.5"),
        ({"equals": [1, 3.5], "some_over": 4}, "none is over 4"),
    ],
)
def test_numbers_are_held_to_their_bounds(wanted: dict[str, Any], wrong: str | None) -> None:
    said = checks._compare(WAITS, {"select": "$.wait", **wanted})
    assert (said is None) if wrong is None else said is not None and said.startswith(wrong)


def test_a_place_that_is_missing_is_a_finding() -> None:
    said = checks._compare(WAITS, {"select": "$.pause", "equals": [1]})
    assert said is not None
    assert said.startswith("$.pause is not in each of them")
