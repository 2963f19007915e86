# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from longcall_server.stores.base import (
    OutcomeUnknown,
    StoreUnavailable,
    SubmitOutcome,
    Submitted,
)
from longcall_server.stores.outcomes import submit_until_known, until_known


def _raising(*errors: type[Exception]) -> tuple[Callable[[], Awaitable[str]], list[int]]:
    left = list(errors)
    tries: list[int] = []

    async def write() -> str:
        tries.append(1)
        if left:
            raise left.pop(0)
        return "written"

    return write, tries


async def bounded(write: Callable[[], Awaitable[str]], patience_ms: int = 10_000) -> str:
    return await until_known("it", write, patience_ms=patience_ms, wait_for_store=lambda: False)


@pytest.mark.clause("10.3.2")
async def test_unavailable_is_raised_at_once_unless_something_may_have_been_written() -> None:
    write, tries = _raising(StoreUnavailable)
    with pytest.raises(StoreUnavailable):
        await bounded(write)
    assert len(tries) == 1
    write, tries = _raising(OutcomeUnknown, StoreUnavailable, StoreUnavailable)
    assert await bounded(write) == "written"
    assert len(tries) == 4


@pytest.mark.clause("10.3.1")
async def test_after_an_unknown_outcome_only_unknown_is_ever_raised() -> None:
    write, _ = _raising(OutcomeUnknown, *[StoreUnavailable] * 100)
    with pytest.raises(OutcomeUnknown):
        await bounded(write, 1)


async def test_waiting_for_the_store_ends_with_its_reason() -> None:
    wanted = [True, True, False]
    write, tries = _raising(*[StoreUnavailable] * 100)
    with pytest.raises(StoreUnavailable):
        await until_known("it", write, patience_ms=10_000, wait_for_store=lambda: wanted.pop(0))
    assert len(tries) == 3


@pytest.mark.clause("10.3.2")
async def test_without_bounds_both_are_repeated_until_it_is_written() -> None:
    write, tries = _raising(StoreUnavailable, OutcomeUnknown, StoreUnavailable)
    assert await until_known("it", write) == "written"
    assert len(tries) == 4


@pytest.mark.clause("10.3.1")
async def test_an_expired_id_does_not_tell_whether_an_earlier_try_was_stored() -> None:
    async def submit() -> Submitted:
        if unknown:
            raise unknown.pop()
        return Submitted(SubmitOutcome.EXPIRED)

    unknown = [OutcomeUnknown()]
    with pytest.raises(OutcomeUnknown, match="undone since"):
        await submit_until_known("it", submit)
    unknown = []
    assert (await submit_until_known("it", submit)).outcome is SubmitOutcome.EXPIRED
