# SPDX-License-Identifier: Apache-2.0
"""What owners may ask of one process, over all their connections (PROTOCOL 6.6).

    OwnerRate      new requests a minute
    OwnerPace      how fast messages are read
    QuickRoom      quick requests that run: how many, and how large
    PendingMemory  messages that are being decided; a `Share` is what one connection has of it

The rate of one connection is the session's own; what is stored is counted by the store.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Hashable
from typing import Final

from longcall_server.core import ijson
from longcall_server.core.ratelimit import TokenBucket

MAX_BUCKETS: Final = 100_000
"""Owners whose rate is remembered at once; some 20 MB."""

_LOOKS = 4


class _Buckets:
    """A token bucket for each owner that has used some of it lately.

    One that has filled up again is as good as a new one, and forgotten. Where there are more than
    `most` that have not, the one that was used least recently is forgotten all the same: its owner
    is let through too early, and nobody is held up for another's sake.
    """

    def __init__(self, per_minute: int, burst: int, most: int) -> None:
        self._per_minute = per_minute
        self._burst = burst
        self._most = most
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def of(self, owner: Hashable, now: int) -> TokenBucket:
        """The owner's, the most recently used from now on."""
        bucket = self._buckets.get(owner)
        if bucket is None:
            self._make_room(now)
            bucket = self._buckets[owner] = TokenBucket(self._per_minute, self._burst, now)
        else:
            self._buckets.move_to_end(owner)
        return bucket

    def __len__(self) -> int:
        return len(self._buckets)

    def _make_room(self, now: int) -> None:
        """Forgets the idle, a few for each new one: there are never many more than are in use."""
        for _ in range(_LOOKS):
            owner = next(iter(self._buckets), None)
            if owner is None:
                return
            if not self._buckets[owner].is_full(now) and len(self._buckets) < self._most:
                return
            del self._buckets[owner]


class OwnerRate:
    """Which new requests of an owner are let through: a token bucket for each."""

    def __init__(self, per_minute: int, burst: int, *, max_buckets: int = MAX_BUCKETS) -> None:
        self._buckets = _Buckets(per_minute, burst, max_buckets)

    def take(self, owner: Hashable, now: int) -> int:
        """Lets one through at `now`, in milliseconds: 0, or how many of them to wait."""
        bucket = self._buckets.of(owner, now)
        return 0 if bucket.take(now) else max(1, bucket.wait_ms(now))

    def __len__(self) -> int:
        return len(self._buckets)


class OwnerPace:
    """Slows an owner down whose messages come too fast over all its connections together.

    Nothing is refused: its connections are read as fast as the pace allows (PROTOCOL 6.6.12), but
    for the first `burst`. So the event loop, the store and the interpreter have time for everybody
    else, also while what comes at once, and is within the limits of each connection, is worked off.
    """

    def __init__(self, per_minute: int, burst: int = 50, *, max_buckets: int = MAX_BUCKETS) -> None:
        self._buckets = _Buckets(per_minute, burst, max_buckets)

    def pause_ms(self, owner: Hashable, now: int) -> int:
        """A message has come: how long to read no more on its connection.

        Each of several connections that ask at the same time is told a time of its own.
        """
        bucket = self._buckets.of(owner, now)
        bucket.charge(now)
        return bucket.debt_ms(now)


class QuickRoom:
    """Counts quick requests from their start to the end of their handler, also once promoted.

    What finds no room is not refused: it is stored before it runs, counts under `max_in_flight`,
    and waits for a worker as everything durable does (PROTOCOL 5.3.11).
    """

    def __init__(self, max_runs: int, max_bytes: int, total_bytes: int) -> None:
        self._max_runs = max_runs
        self._max_bytes = max_bytes
        self._left = total_bytes
        self._runs: Counter[Hashable] = Counter()
        self._bytes: Counter[Hashable] = Counter()

    def take(self, owner: Hashable, size: int) -> bool:
        """Whether another of the owner may run, with a payload of this size."""
        if (
            self._runs[owner] >= self._max_runs
            or self._bytes[owner] + size > self._max_bytes
            or size > self._left
        ):
            return False
        self._runs[owner] += 1
        self._bytes[owner] += size
        self._left -= size
        return True

    def give_back(self, owner: Hashable, size: int) -> None:
        """One has ended."""
        self._left += size
        self._runs[owner] -= 1
        self._bytes[owner] -= size
        if not self._runs[owner]:
            del self._runs[owner], self._bytes[owner]

    def __len__(self) -> int:
        return len(self._runs)


_COPIES: Final = 3
"""How often the text of a payload is there: in the message, to be stored, as parameters."""
_VALUE_BYTES: Final = 192
"""What a value takes beside its text, in the message and as parameters."""

SMALL: Final = 16_384
_SHARES: Final = 4
_RESERVES: Final = 8


def memory_of(text: str) -> int:
    """About what a message takes while it is decided, in bytes: rather more than less."""
    return _COPIES * sys.getsizeof(text) + _VALUE_BYTES * ijson.most_values(text)


class PendingMemory:
    """Bounds what the messages that are being decided take in this process.

    Who finds no room waits, and his connection is not read. Owners take turns. None of them gets
    more than a quarter, and an eighth on top of all is for small messages alone: whoever fills it
    with large ones holds up nobody who sends small ones. A message that is larger than its part is
    let through when nothing else is there.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._held = 0
        self._owners: dict[Hashable, int] = {}
        self._queues: OrderedDict[Hashable, deque[_Turn]] = OrderedDict()

    @property
    def held(self) -> int:
        """The bytes that are taken."""
        return self._held

    def take(self, owner: Hashable, size: int) -> bool:
        """Takes as much at once if it is there and nobody waits for it."""
        if (self._queues and size > SMALL) or not self._fits(owner, size):
            return False
        self._grant(owner, size)
        return True

    async def wait(self, owner: Hashable, size: int) -> None:
        """Takes as much when it is there."""
        turn = _Turn(size)
        self._queues.setdefault(owner, deque()).append(turn)
        self._serve()
        try:
            await turn.come
        except asyncio.CancelledError:
            if turn.is_granted:
                self.give_back(owner, size)
            else:
                self._leave(owner, turn)
            raise

    def keep(self, owner: Hashable, size: int) -> None:
        """Takes as much whether it is there or not."""
        self._grant(owner, size)

    def give_back(self, owner: Hashable, size: int) -> None:
        """Something was decided."""
        self._held -= size
        self._owners[owner] -= size
        if not self._owners[owner]:
            del self._owners[owner]
        if self._queues:
            self._serve()

    def _serve(self) -> None:
        """Lets in who waits, an owner after the other."""
        served = True
        while served:
            served = False
            for owner, queue in tuple(self._queues.items()):
                size = queue[0].size
                if not self._has_share(owner, size):
                    continue  # until it gives something back
                if not self._has_room(size):
                    return  # it is the next: smaller ones behind it would keep it waiting for ever
                turn = queue.popleft()
                if not turn.come.cancelled():
                    self._grant(owner, size)
                    turn.is_granted = True
                    turn.come.set_result(None)
                self._queues.move_to_end(owner)
                if not queue:
                    del self._queues[owner]
                served = True

    def _leave(self, owner: Hashable, turn: _Turn) -> None:
        queue = self._queues.get(owner)
        if queue is None or turn not in queue:
            return  # it had its turn when nobody waited for it any more
        queue.remove(turn)
        if not queue:
            del self._queues[owner]
        self._serve()

    def _grant(self, owner: Hashable, size: int) -> None:
        self._held += size
        self._owners[owner] = self._owners.get(owner, 0) + size

    def _fits(self, owner: Hashable, size: int) -> bool:
        return self._has_share(owner, size) and self._has_room(size)

    def _has_share(self, owner: Hashable, size: int) -> bool:
        owned = self._owners.get(owner, 0)
        return not owned or owned + size <= self._total // _SHARES

    def _has_room(self, size: int) -> bool:
        reserve = self._total // _RESERVES if size <= SMALL else 0
        return not self._held or self._held + size <= self._total + reserve


class _Turn:
    """Somebody who waits."""

    __slots__ = ("come", "is_granted", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.come: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_granted = False


class Share:
    """What one connection has of it: `limit` bytes at most, or one message."""

    __slots__ = ("_held", "_is_closed", "_limit", "_memory", "_room", "owner")

    def __init__(self, memory: PendingMemory, limit: int) -> None:
        self._memory = memory
        self._limit = limit
        self._held = 0
        self._room: asyncio.Future[None] | None = None
        self._is_closed = False
        self.owner: Hashable = None
        """Must not change while anything is taken."""

    @property
    def held(self) -> int:
        """The bytes that are taken."""
        return self._held

    def take(self, size: int) -> bool:
        """Takes as much at once if it is there."""
        if not self._fits(size) or not self._memory.take(self.owner, size):
            return False
        self._held += size
        return True

    async def wait(self, size: int) -> None:
        """Takes as much when it is there."""
        while not self._fits(size):
            self._room = asyncio.get_running_loop().create_future()
            await self._room
        await self._memory.wait(self.owner, size)
        self._held += size

    def keep(self, size: int) -> None:
        """Takes as much once more, for what is decided and goes on: without asking, as it is there
        already."""
        if not self._is_closed:
            self._memory.keep(self.owner, size)
            self._held += size

    def give_back(self, size: int) -> None:
        """Something was decided, or is not taken on."""
        if self._is_closed or not size:
            return
        self._held -= size
        self._memory.give_back(self.owner, size)
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def close(self) -> None:
        """The connection has ended: everything is given back."""
        self.give_back(self._held)
        self._is_closed = True

    def _fits(self, size: int) -> bool:
        return not self._held or self._held + size <= self._limit
