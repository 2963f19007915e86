# SPDX-License-Identifier: Apache-2.0
"""Which requests a claim takes: turns, ranks, limits, over the engine's own queues."""

from __future__ import annotations

import asyncio
from collections import Counter

from longcall_server.core.scheduling import AGING_MS, ConcurrencyLimits
from longcall_server.stores.base import Claimed, Owner
from longcall_server.stores.suite.support import ALICE, BOB, WORKER, Scene, StoreTests, clause

BOLT = Owner("bolt", "bob")
CARE = Owner("care", "carol")


class SchedulingTests(StoreTests):
    """`claim` among many; the decision itself is that of `core.scheduling`."""

    @clause("5.4.14")
    async def test_one_tenants_backlog_does_not_delay_anothers_first_request(self) -> None:
        async with self.scene() as scene:
            for n in range(300):
                await scene.submit(f"backlog-{n}", priority=9)
            scene.clock.advance(1)
            await scene.submit("first", BOLT, priority=0)
            claimed = [*await scene.claim(limit=1), *await scene.claim(limit=1)]
            assert ids(claimed).count("first") == 1

    @clause("5.4.14")
    async def test_tenants_take_turns_whatever_their_priorities(self) -> None:
        async with self.scene() as scene:
            for n in range(6):
                await scene.submit(f"a{n}", priority=9)
                await scene.submit(f"b{n}", BOLT, priority=0)
            await scene.submit("c0", CARE)
            order = []
            for _ in range(13):
                (one,) = await scene.claim(limit=1)
                order.append(one.record.key.id[0])
                await scene.store.complete(one.lease, "1")
            assert Counter(order[:3]) == Counter("abc")
            assert "".join(order[3:]).replace("ab", "").replace("ba", "") == ""

    @clause("5.4.14")
    async def test_one_owners_backlog_does_not_delay_anothers_first_request(self) -> None:
        async with self.scene() as scene:
            for n in range(300):
                await scene.submit(f"backlog-{n}", priority=9)
            scene.clock.advance(1)
            await scene.submit("first", BOB, priority=0)
            claimed = [*await scene.claim(limit=1), *await scene.claim(limit=1)]
            assert ids(claimed).count("first") == 1

    @clause("5.4.14", "5.4.16")
    async def test_owners_take_turns_whatever_their_priorities(self) -> None:
        async with self.scene() as scene:
            carol = Owner(ALICE.tenant_id, "carol")
            for n in range(6):
                await scene.submit(f"a{n}", priority=n)
                await scene.submit(f"b{n}", BOB, priority=9)
            await scene.submit("c0", carol, priority=0)
            order = []
            for _ in range(13):
                (one,) = await scene.claim(limit=1)
                order.append(one.record.key.id)
                await scene.store.complete(one.lease, "1")
            assert Counter(id[0] for id in order[:3]) == Counter("abc")
            rest = "".join(id[0] for id in order[3:])
            assert rest.replace("ab", "").replace("ba", "") == ""
            # Among the requests of one owner the priority decides.
            assert [id for id in order if id[0] == "a"] == ["a5", "a4", "a3", "a2", "a1", "a0"]

    async def test_the_limit_of_an_owner_counts_all_actions_and_workers(self) -> None:
        await self._counts_everywhere(ConcurrencyLimits(per_owner=2), BOB)

    @clause("5.4.14")
    async def test_places_are_kept_for_owners_of_whom_nothing_runs(self) -> None:
        limits = ConcurrencyLimits(kept_places=1)
        async with self.scene() as scene:
            for n in range(9):
                await scene.submit(f"a{n}", action="x")
            assert len(await self._claim(scene, limits, worker="one", limit=4)) == 3
            assert await self._claim(scene, limits, worker="one", limit=1) == []
            await scene.submit("b0", BOB, action="x")
            await scene.submit("b1", BOB, action="x")
            assert ids(await self._claim(scene, limits, worker="two", limit=1)) == ["b0"]
            assert await self._claim(scene, limits, worker="one", limit=1) == []

    @clause("5.4.15")
    async def test_a_request_that_waits_overtakes_younger_ones_of_greater_priority(self) -> None:
        async with self.scene() as scene:
            await scene.submit("old", priority=0)
            scene.clock.advance(2 * AGING_MS)
            await scene.submit("as old by weight", priority=2)
            await scene.submit("younger", priority=1)
            await scene.submit("urgent", priority=3)
            assert ids(await scene.claim()) == ["urgent", "old", "as old by weight", "younger"]

    async def test_a_retry_keeps_its_place(self) -> None:
        async with self.scene() as scene:
            await scene.submit("first")
            (first,) = await scene.claim()
            scene.clock.advance(10)
            await scene.submit("second")
            await scene.fail(first.lease, retry_after_ms=0)
            assert ids(await scene.claim()) == ["first", "second"]

    async def test_the_limit_of_a_tenant_counts_all_actions_and_workers(self) -> None:
        await self._counts_everywhere(ConcurrencyLimits(per_tenant=2), BOLT)

    async def test_the_limit_of_an_action_holds_over_tenants_and_leaves_others_alone(self) -> None:
        limits = ConcurrencyLimits(per_action={"x": 2})
        async with self.scene() as scene:
            for n in range(3):
                await scene.submit(f"a{n}", action="x")
                await scene.submit(f"b{n}", BOLT, action="x")
            await scene.submit("other", action="y")
            first = await self._claim(scene, limits)
            assert Counter(one.record.action for one in first) == Counter({"x": 2, "y": 1})
            for again in (True, False):
                (x, *_) = [one for one in first if one.record.action == "x"]
                first.remove(x)
                await scene.fail(x.lease, retryable=again, retry_after_ms=1_000)
                assert len(await self._claim(scene, limits)) == 1

    async def test_what_ended_by_time_or_cancel_makes_room(self) -> None:
        limits = ConcurrencyLimits(per_tenant=1)
        async with self.scene() as scene:
            await scene.submit("late", deadline_ms=1_000)
            await scene.submit("stopped", cancel_grace_ms=0)
            await scene.submit("next")
            assert ids(await self._claim(scene, limits)) == ["late"]
            scene.clock.advance(1_000)
            await scene.store.sweep()
            (stopped,) = await self._claim(scene, limits)
            await scene.store.request_cancel(stopped.record.key, None)
            await scene.store.sweep()
            assert ids(await self._claim(scene, limits)) == ["next"]

    async def test_racing_claims_keep_to_the_limits(self) -> None:
        limits = ConcurrencyLimits(per_tenant=5, per_action={"x": 7})
        async with self.scene() as scene:
            for n in range(20):
                await scene.submit(f"a{n}", action="x" if n % 2 else "y")
                await scene.submit(f"b{n}", BOLT, action="x")
            hauls = await asyncio.gather(
                *(self._claim(scene, limits, worker=f"w{n}", limit=3) for n in range(9))
            )
            claimed = [one for haul in hauls for one in haul]
            assert len({one.record.record_id for one in claimed}) == len(claimed) == 10
            per_action = Counter(one.record.action for one in claimed)
            assert per_action["x"] <= 7
            per_tenant = Counter(one.record.key.owner.tenant_id for one in claimed)
            assert per_tenant == Counter({"acme": 5, "bolt": 5})

    async def _counts_everywhere(self, limits: ConcurrencyLimits, other: Owner) -> None:
        """A limit of 2 for Alice, whatever the action and the worker; it leaves `other` alone."""
        async with self.scene() as scene:
            for n in range(4):
                await scene.submit(f"a{n}", action="x" if n % 2 else "y")
            await scene.submit("b", other, action="x")
            first = await self._claim(scene, limits, worker="one")
            assert Counter(ids(first)) == Counter(["a0", "a1", "b"])
            assert await self._claim(scene, limits, worker="two") == []
            done = next(one for one in first if one.record.key.id == "a1")
            await scene.store.complete(done.lease, "1")
            assert ids(await self._claim(scene, limits, worker="two")) == ["a2"]

    async def _claim(
        self, scene: Scene, limits: ConcurrencyLimits, *, worker: str = WORKER, limit: int = 100
    ) -> list[Claimed]:
        return list(
            await scene.store.claim(
                worker, ["x", "y", "report"], limit=limit, lease_ms=30_000, concurrency=limits
            )
        )


def ids(claimed: list[Claimed]) -> list[str]:
    """The ids of what was claimed, in its order."""
    return [one.record.key.id for one in claimed]
