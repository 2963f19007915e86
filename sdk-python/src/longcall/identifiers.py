# SPDX-License-Identifier: Apache-2.0
"""Ids of requests: UUID version 7 (RFC 9562), ordered by the time they were made. PROTOCOL 5."""

from __future__ import annotations

import os
import time
import uuid


def uuid7(unix_ms: int, entropy: bytes) -> str:
    """Returns the UUIDv7 of a time in milliseconds and 10 bytes of randomness, in lower case."""
    value = (unix_ms & (1 << 48) - 1) << 80 | int.from_bytes(entropy[:10], "big")
    value = value & ~(0xF << 76) | 7 << 76  # version
    value = value & ~(0x3 << 62) | 2 << 62  # variant
    return str(uuid.UUID(int=value))


def new_request_id() -> str:
    """Returns a fresh id for a request."""
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))
