# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from longcall_server.core.ratelimit import TokenBucket


@pytest.mark.clause("6.6.3")
def test_a_full_bucket_lets_the_burst_through_and_then_the_rate() -> None:
    bucket = TokenBucket(per_minute=60, burst=3, updated_at=0)
    assert [bucket.take(0) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait_ms(0) == 1000
    assert not bucket.take(999)
    assert bucket.take(1000)
    assert [bucket.take(1_000_000) for _ in range(4)] == [True, True, True, False]


def test_a_charge_makes_a_debt_that_time_pays() -> None:
    bucket = TokenBucket(per_minute=60, burst=1, updated_at=0)
    for _ in range(3):
        bucket.charge(0)
    assert bucket.debt_ms(0) == 2000
    assert bucket.debt_ms(2000) == 0
    assert not bucket.take(2999)


def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing() -> None:
    bucket = TokenBucket(per_minute=60, burst=2, updated_at=10_000)
    assert bucket.take(10_000)
    assert bucket.take(5_000)
    assert not bucket.take(5_000)
    assert bucket.take(6_000)
