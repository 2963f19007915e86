# SPDX-License-Identifier: Apache-2.0
"""The engines against each other: the same random verbs give the same answers and logs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from sqlite_helpers import opened

from longcall_server.core import events
from longcall_server.core.lifecycle import RetryPolicy
from longcall_server.core.scheduling import ConcurrencyLimits
from longcall_server.stores.base import (
    DeadLetterFilter,
    Lease,
    ListFilter,
    Owner,
    Promotion,
    Renewal,
    Store,
    StoredFile,
    StoreError,
    StoreLimits,
)
from longcall_server.stores.memory import MemoryStore
from longcall_server.stores.suite import ManualClock
from longcall_server.stores.suite.support import (
    ALICE,
    BOB,
    FAILURE,
    key_of,
    new_request,
    progress,
)

OWNERS = [ALICE, BOB, Owner("bolt", "alice"), Owner("ça", "bob")]
IDS = [f"r{n}" for n in range(12)]
VERBS = (
    *("submit", "submit", "promote", "claim", "claim", "append", "append", "renew", "complete"),
    *("fail", "fail", "cancel", "sweep", "delete", "requeue", "list"),
)
LIMITS = StoreLimits(max_log_bytes=16_384, id_retention_ms=4_000, max_waiting_per_tenant=9)


class Player:
    """Draws verbs; the same seed draws the same ones if all answers were the same."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.leases: list[Lease] = []
        self.operations: dict[tuple[int, int], int] = {}
        self.turn = 0

    async def play(self, store: Store) -> object:
        self.turn += 1
        verb = getattr(self, f"_{self.random.choice(VERBS)}")
        try:
            return await verb(store)
        except (StoreError, ValueError) as error:
            return type(error).__name__

    def _request(self) -> Any:
        return new_request(
            self.random.choice(IDS),
            self.random.choice(OWNERS),
            action=self.random.choice(["x", "y"]),
            payload=self.random.choice(["1", "1", "2"]),
            submission=f"s{self.random.randrange(self.turn)}",
            policy=RetryPolicy(self.random.randint(1, 3), 100, 400),
            priority=self.random.randint(0, 9),
            delay_ms=self.random.choice([0, 0, 300]),
            deadline_ms=self.random.choice([None, None, 2_000]),
            retention_ms=self.random.choice([500, 3_000]),
            cancel_grace_ms=self.random.choice([0, 400]),
            received_at=None,
        )

    async def _submit(self, store: Store) -> object:
        return await store.submit(self._request(), max_in_flight=self.random.randint(3, 9))

    async def _promote(self, store: Store) -> object:
        promotion = Promotion(
            "quick", 700, self.random.random() < 0.2, "why", self._progress(attempt=1)
        )
        answer = await store.submit(self._request(), max_in_flight=9, promotion=promotion)
        if answer.lease is not None:
            self.leases.append(answer.lease)
        return answer

    async def _claim(self, store: Store) -> object:
        actions = self.random.choice([["x"], ["y"], ["x", "y"]])
        claimed = await store.claim(
            "w",
            actions,
            limit=self.random.randint(1, 3),
            lease_ms=700,
            concurrency=ConcurrencyLimits(
                per_tenant=self.random.choice([None, None, 3]),
                per_action=self.random.choice([{}, {"x": 2}]),
                per_owner=self.random.choice([None, None, 2]),
                kept_places=self.random.choice([0, 0, 1]),
            ),
        )
        self.leases += [one.lease for one in claimed]
        return list(claimed)

    async def _append(self, store: Store) -> object:
        lease = self._lease()
        place = (lease.record_id, lease.attempt)
        last = self.operations.get(place, 0)
        operation = last + self.random.choice([0, 1, 1, 1, 1, 1, 1, 2])
        data = '"' + "x" * self.random.choice([1, 300, 3_000]) + '"'
        draft = events.chunk(lease.key.id, lease.attempt, data)
        checkpoint = self.random.choice([None, None, f'"at {operation}"'])
        answer = await store.append(lease, draft, operation=operation, checkpoint=checkpoint)
        self.operations[place] = operation
        return answer

    async def _renew(self, store: Store) -> object:
        renewals = [
            Renewal(self._lease(), self._progress(attempt=1))
            for _ in range(self.random.randint(0, 3))
        ]
        return list(await store.renew(renewals, lease_ms=700))

    async def _complete(self, store: Store) -> object:
        files = [StoredFile("f", "text/plain", 1, "aa", f"{self.turn}/f")]
        return await store.complete(self._lease(), f'"{self.turn}"', files=files)

    async def _fail(self, store: Store) -> object:
        return await store.fail(
            self._lease(),
            FAILURE,
            retryable=self.random.random() < 0.8,
            counted=self.random.random() < 0.8,
            retry_after_ms=self.random.choice([None, 0, 250]),
            progress=self._progress(attempt=1),
        )

    async def _cancel(self, store: Store) -> object:
        return await store.request_cancel(self._key(), self.random.choice([None, "enough"]))

    async def _sweep(self, store: Store) -> object:
        swept = await store.sweep()
        return (set(swept.changed), set(swept.removed), set(swept.files), swept.next_due_at,
                swept.work_available)  # fmt: skip

    async def _delete(self, store: Store) -> object:
        return await store.delete(self._key())

    async def _requeue(self, store: Store) -> object:
        return await store.requeue(self._key(), self.random.choice(IDS))

    async def _list(self, store: Store) -> object:
        statuses = self.random.choice([(), ("queued",), ("failed", "completed")])
        where = ListFilter(ALICE, statuses, self.random.choice([None, "x"]))
        return await store.list(where, limit=self.random.randint(1, 5))

    def _key(self) -> Any:
        return key_of(self.random.choice(IDS), self.random.choice(OWNERS))

    def _lease(self) -> Lease:
        if not self.leases:
            return Lease(99, key_of("none"), 1, "w", 0)
        return self.random.choice(self.leases[-6:])

    def _progress(self, attempt: int) -> Any:
        return self.random.choice([None, progress(attempt, self.turn)])


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(n, marks=pytest.mark.slow) for n in range(3, 12))]
)
async def test_two_engines_give_the_same_answers(tmp_path: Path, seed: int) -> None:
    clock = ManualClock()
    memory = MemoryStore(limits=LIMITS, clock=clock, random=lambda: 0.5)
    async with opened(tmp_path / "x.db", limits=LIMITS, clock=clock, random=lambda: 0.5) as sqlite:
        players = (Player(seed), Player(seed))
        steps = random.Random(seed)
        for turn in range(500):
            assert await players[0].play(memory) == await players[1].play(sqlite), turn
            if turn % 10 == 0:
                for id in IDS:
                    for owner in OWNERS:
                        key = key_of(id, owner)
                        assert await memory.get(key) == await sqlite.get(key)
                        assert await memory.read(key, 0) == await sqlite.read(key, 0)
                dead = [
                    await s.dead_letters(DeadLetterFilter(), limit=99) for s in (memory, sqlite)
                ]
                assert dead[0] == dead[1]
            clock.advance(steps.choice([0, 0, 1, 50, 300]))
