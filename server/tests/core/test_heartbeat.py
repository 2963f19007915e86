# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from longcall_server.core.heartbeat import Beat, Heartbeat


def test_nothing_is_due_before_its_time() -> None:
    heartbeat = Heartbeat(100, next_at=100)
    assert heartbeat.handle_timeout(99) is None
    assert heartbeat.handle_timeout(100) is Beat.PING
    assert heartbeat.next_at == 200


@pytest.mark.clause("6.7.5")
def test_two_pings_without_any_frame_are_the_end() -> None:
    heartbeat = Heartbeat(100, next_at=100)
    assert [heartbeat.handle_timeout(at) for at in (100, 200, 300)] == [
        Beat.PING,
        Beat.PING,
        Beat.DEAD,
    ]


@pytest.mark.clause("6.7.1", "6.7.5")
def test_one_frame_between_makes_the_count_begin_anew() -> None:
    heartbeat = Heartbeat(100, next_at=100)
    heartbeat.handle_timeout(100)
    heartbeat.handle_timeout(200)
    heartbeat.receive()
    assert [heartbeat.handle_timeout(at) for at in (300, 400, 500)] == [
        Beat.PING,
        Beat.PING,
        Beat.DEAD,
    ]
