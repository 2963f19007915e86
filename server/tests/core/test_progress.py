# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from longcall_server.core.progress import ProgressGate


@pytest.mark.clause("1.1.7", "6.3.1", "6.3.2")
def test_the_first_goes_at_once_and_the_newest_of_the_rest_after_the_interval() -> None:
    gate = ProgressGate(100)
    assert gate.offer(1, 1, "a")
    assert gate.take(1000) == "a"
    for version in range(2, 50):
        assert gate.offer(1, version, f"v{version}")
        assert gate.take(1000 + version) is None
    assert gate.next_timeout() == 1100
    assert gate.take(1100) == "v49"
    assert gate.next_timeout() is None
    assert gate.take(5000) is None


@pytest.mark.clause("6.3.3")
def test_the_first_of_an_attempt_is_not_replaced_before_it_has_gone() -> None:
    gate = ProgressGate(100)
    for version in range(1, 50):
        assert gate.offer(1, version, f"v{version}")
    assert [gate.take(at) for at in (0, 50, 100, 200)] == ["v1", None, "v49", None]
    gate.offer(1, 50, "the end of the first")
    gate.offer(2, 1, "the beginning of the second")
    gate.offer(2, 2, "the newest")
    assert [gate.take(at) for at in (300, 400, 500)] == [
        "the beginning of the second",
        "the newest",
        None,
    ]


@pytest.mark.clause("10.36.1")
def test_what_is_not_newer_is_dropped() -> None:
    gate = ProgressGate(0, sent=(2, 5))
    assert not gate.offer(2, 5, "same")
    assert not gate.offer(1, 99, "an older attempt")
    assert gate.offer(3, 1, "a newer attempt")
    assert not gate.offer(2, 6, "older than what waits")
    assert gate.take(0) == "a newer attempt"


def test_without_an_interval_each_goes_at_once() -> None:
    gate = ProgressGate(0)
    taken = [gate.take(7) for version in range(1, 4) if gate.offer(1, version, str(version))]
    assert taken == ["1", "2", "3"]


def test_a_flush_does_not_wait() -> None:
    gate = ProgressGate(100)
    gate.offer(1, 1, "a")
    gate.take(0)
    gate.offer(1, 2, "b")
    gate.offer(2, 1, "c")
    gate.offer(2, 2, "d")
    assert [gate.flush(), gate.flush(), gate.flush()] == ["c", "d", None]
    assert gate.sent == (2, 2)
