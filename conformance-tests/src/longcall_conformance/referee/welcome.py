# SPDX-License-Identifier: Apache-2.0
"""The welcome that the scripted server gives where a case asks for nothing special."""

from __future__ import annotations

import time
from typing import Any


def timestamp(seconds: float) -> str:
    """A time of the protocol: UTC with milliseconds."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds * 1000) % 1000:03d}Z"


def welcome() -> dict[str, Any]:
    """A welcome with the default limits, for an hour."""
    now = time.time()
    return {
        "type": "welcome",
        "connection_id": "conn-1",
        "principal": "principal-alice",
        "server_time": timestamp(now),
        "server": {"name": "longcall-referee", "version": "1"},
        "heartbeat": {"interval_ms": 25_000, "from": "server"},
        "expires_at": timestamp(now + 3600),
        "limits": {
            "max_message_bytes": 1_048_576,
            "max_depth": 64,
            "max_in_flight": 1_000,
            "messages_per_minute": 6_000,
            "message_burst": 1_000,
            "max_log_bytes": 67_108_864,
            "id_retention_ms": 604_800_000,
        },
    }
