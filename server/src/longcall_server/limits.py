# SPDX-License-Identifier: Apache-2.0
"""What owners may ask of one process, over all their connections (PROTOCOL 6.6).

The rate of one connection is the session's own; what is stored is counted by the store.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from longcall_server.core.ratelimit import TokenBucket

MAX_BUCKETS: Final = 100_000
"""Owners whose rate is remembered at once; some 20 MB."""

_LOOKS = 4


class OwnerRate:
    """A token bucket for each owner that has used some of it lately.

    A bucket that has filled up again is as good as a new one, and forgotten. Where there are more
    than `max_buckets` that have not, the one that was used least recently is forgotten all the
    same: its owner is let through too early, and nobody is refused for another's sake.
    """

    def __init__(self, per_minute: int, burst: int, *, max_buckets: int = MAX_BUCKETS) -> None:
        self._per_minute = per_minute
        self._burst = burst
        self._max_buckets = max_buckets
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def take(self, owner: Hashable, now: int) -> int:
        """Lets one through at `now`, in milliseconds: 0, or how many of them to wait."""
        bucket = self._buckets.pop(owner, None)
        if bucket is None:
            self._make_room(now)
            bucket = TokenBucket(self._per_minute, self._burst, now)
        self._buckets[owner] = bucket  # behind all others: the most recently used
        return 0 if bucket.take(now) else max(1, bucket.wait_ms(now))

    def __len__(self) -> int:
        return len(self._buckets)

    def _make_room(self, now: int) -> None:
        """Forgets the idle, a few for each new one: there are never many more than are in use."""
        for _ in range(_LOOKS):
            owner = next(iter(self._buckets), None)
            if owner is None:
                return
            if not self._buckets[owner].is_full(now) and len(self._buckets) < self._max_buckets:
                return
            del self._buckets[owner]
