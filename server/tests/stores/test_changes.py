# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from longcall_server.stores.base import StoreLimits


def test_limits_that_leave_no_room_are_refused() -> None:
    with pytest.raises(ValueError, match="max_log_bytes must be at least 16384"):
        StoreLimits(max_log_bytes=16_383)
    with pytest.raises(ValueError, match="id_retention_ms"):
        StoreLimits(id_retention_ms=-1)
