# SPDX-License-Identifier: Apache-2.0
"""What happens when time is over: retention, tombstones, deletion, and what a sweep reports."""

from __future__ import annotations

from longcall_server.stores.base import (
    Fenced,
    Lease,
    ListFilter,
    Renewal,
    StoredFile,
    SubmitOutcome,
    Tombstone,
)
from longcall_server.stores.suite.support import (
    ALICE,
    BOB,
    LEASE_MS,
    START,
    Scene,
    StoreTests,
    clause,
    key_of,
    raises,
)

FILE = StoredFile("r.csv", "text/csv", 12, "ab" * 32, "1/r.csv")


class RemovalTests(StoreTests):
    """Retention, `delete` and `sweep`."""

    @clause("5.9.1", "5.9.4", "10.31.1")
    async def test_retention_removes_the_log_and_keeps_the_id(self) -> None:
        async with self.scene(id_retention_ms=5_000) as scene:
            lease = await scene.running("a", retention_ms=1_000)
            digest = (await scene.record("a")).digest
            await scene.store.complete(lease, "1", files=[FILE])
            scene.clock.advance(999)
            assert (await scene.store.sweep()).removed == ()
            scene.clock.advance(1)
            swept = await scene.store.sweep()
            assert (swept.removed, swept.files) == ((key_of("a"),), ("1/r.csv",))
            assert swept.changed == ()
            assert await scene.store.get(key_of("a")) == Tombstone(
                key_of("a"), digest, created_at=START, expires_at=START + 6_000
            )
            assert await scene.store.read(key_of("a"), 0) is None
            assert await scene.store.request_cancel(key_of("a"), None) is None
            page = await scene.store.list(ListFilter(ALICE), limit=10)
            assert page.records == ()

    @clause("10.31.2")
    async def test_an_id_whose_log_is_gone_is_refused_whatever_it_brings(self) -> None:
        async with self.scene(id_retention_ms=5_000) as scene:
            await self._removed(scene, "a")
            for payload in ("{}", "7"):
                refused = await scene.submit(
                    "a", submission="later", action="action-of-a", payload=payload
                )
                assert (refused.outcome, refused.record) == (SubmitOutcome.EXPIRED, None)

    @clause("10.16.1")
    async def test_an_id_is_forgotten_in_the_end_and_then_names_another_request(self) -> None:
        async with self.scene(id_retention_ms=5_000) as scene:
            old = await self._removed(scene, "a")
            assert (await scene.store.sweep()).next_due_at == scene.clock.now + 5_000
            scene.clock.advance(5_000)
            assert (await scene.store.sweep()).next_due_at is None
            assert await scene.store.get(key_of("a")) is None
            fresh = await scene.running("a")
            assert fresh.record_id != old.record_id
            with raises(Fenced):
                await scene.chunk(old, "of the old one", 1)
            assert (await scene.store.renew([Renewal(old)], lease_ms=LEASE_MS))[0].lease is None
            assert len(await scene.log("a")) == 2

    @clause("5.9.3")
    async def test_unfinished_requests_are_kept_for_ever(self) -> None:
        async with self.scene() as scene:
            await scene.submit("a", retention_ms=1)
            scene.clock.advance(10**12)
            assert (await scene.store.sweep()).removed == ()
            assert (await scene.record("a")).status == "queued"

    @clause("10.33.1")
    async def test_readers_do_not_extend_the_retention(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a", retention_ms=1_000)
            await scene.store.complete(lease, "1")
            scene.clock.advance(999)
            await scene.log("a")
            await scene.store.list(ListFilter(ALICE), limit=10)
            assert (await scene.record("a")).expires_at == START + 1_000
            scene.clock.advance(1)
            assert (await scene.store.sweep()).removed == (key_of("a"),)

    async def test_a_finished_request_can_be_deleted_and_its_id_stays(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            await scene.store.complete(lease, "1", files=[FILE])
            assert await scene.store.delete(key_of("a", BOB)) is None
            assert await scene.store.delete(key_of("a")) == (FILE,)
            assert isinstance(await scene.store.get(key_of("a")), Tombstone)
            assert (await scene.submit("a", submission="later")).outcome is SubmitOutcome.EXPIRED
            assert await scene.store.delete(key_of("a")) is None

    async def test_an_unfinished_request_is_not_deleted(self) -> None:
        async with self.scene() as scene:
            await scene.submit("queued")
            await scene.running("running")
            for id in ("queued", "running", "unknown"):
                assert await scene.store.delete(key_of(id)) is None
            assert (await scene.record("running")).status == "processing"

    async def test_a_sweep_keeps_to_its_limit_and_says_that_more_is_due(self) -> None:
        async with self.scene() as scene:
            for n in range(25):
                await scene.submit(f"r{n}", deadline_ms=100)
            scene.clock.advance(100)
            counts = []
            while True:
                swept = await scene.store.sweep(limit=10)
                counts.append(len(swept.changed))
                if swept.next_due_at is None or swept.next_due_at > scene.clock.now:
                    break
            assert counts == [10, 10, 5]

    async def test_a_sweep_tells_of_work_and_of_the_next_time_to_look(self) -> None:
        async with self.scene() as scene:
            swept = await scene.store.sweep()
            assert (swept.work_available, swept.next_due_at) == (False, None)
            await scene.submit("later", delay_ms=300)
            swept = await scene.store.sweep()
            assert (swept.work_available, swept.next_due_at) == (False, START + 300)
            scene.clock.advance(300)
            assert (await scene.store.sweep()).work_available
            await scene.claim()
            swept = await scene.store.sweep()
            assert (swept.work_available, swept.next_due_at) == (False, START + 300 + LEASE_MS)

    async def _removed(self, scene: Scene, id: str) -> Lease:
        """A request that ran, finished and lost its log to retention."""
        lease = await scene.running(id, retention_ms=0)
        await scene.store.complete(lease, "1")
        assert (await scene.store.sweep()).removed == (key_of(id),)
        return lease
