# SPDX-License-Identifier: Apache-2.0
"""Every kind of wrong token beside a right one that differs in the defect alone."""

from __future__ import annotations

import contextlib
from statistics import median
from time import perf_counter

import pytest
from token_maker import NOW, refused
from wrong_tokens import RING, RULES, WRONG, Twins

from longcall_server.auth import Authenticator, AuthError, AuthFailure

VERIFIER = Authenticator(RING, RULES, clock=lambda: NOW)
EVERY = pytest.mark.parametrize("case", WRONG, ids=[case.name for case in WRONG])

ROUNDS = 31
MOST_TIMES_AS_LONG = 5


def test_there_are_many_kinds_and_all_have_names_of_their_own() -> None:
    assert len({case.name for case in WRONG}) == len(WRONG) > 100


@pytest.mark.clause("3.1.1", "3.1.2", "3.1.3", "3.1.4", "3.1.5", "3.1.7", "3.1.8")
@EVERY
async def test_a_wrong_token_is_refused_and_its_twin_accepted(case: Twins) -> None:
    error = await refused(VERIFIER, case.wrong(NOW))
    assert (error.reason, error.claim) == (case.reason, case.claim)
    await VERIFIER.verify(case.right(NOW))


@EVERY
async def test_a_refusal_costs_no_more_than_a_few_acceptances(case: Twins) -> None:
    wrong, right = case.wrong(NOW), case.right(NOW)
    times: dict[str, list[float]] = {wrong: [], right: []}
    for _ in range(ROUNDS):
        for text, taken in times.items():
            before = perf_counter()
            with contextlib.suppress(AuthError):
                await VERIFIER.verify(text)
            taken.append(perf_counter() - before)
    assert median(times[wrong]) < MOST_TIMES_AS_LONG * median(times[right])


async def test_no_text_of_any_length_costs_more_than_its_bound() -> None:
    text = WRONG[0].right(NOW)
    for long in (text + "A" * 10**6, "." * 10**6, "A" * 10**6, text * 1000):
        assert (await refused(VERIFIER, long)).reason is AuthFailure.MALFORMED
