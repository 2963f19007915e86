# SPDX-License-Identifier: Apache-2.0
"""How requests end from outside: cancels, deadlines, and every race to be the one end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable

from longcall_server.core.lifecycle import RetryPolicy
from longcall_server.stores.base import Fenced, Lease
from longcall_server.stores.suite.support import (
    BOB,
    LEASE_MS,
    START,
    Scene,
    StoreTests,
    clause,
    key_of,
    raises,
)


class EndingTests(StoreTests):
    """`request_cancel`, deadlines, and exactly one terminal event."""

    # --- Cancels ----------------------------------------------------------------------------------

    @clause("5.6.3", "5.8.2", "10.14.2", "10.14.6")
    async def test_a_queued_request_is_cancelled_at_once(self) -> None:
        async with self.scene() as scene:
            await scene.submit("a")
            record = await scene.store.request_cancel(key_of("a"), "changed my mind")
            assert record is not None
            assert record.status == "cancelled"
            error = await scene.end_of("a")
            assert (error["code"], error["retryable"]) == ("CANCELLED", False)
            assert error["details"] == {"reason": "changed my mind"}
            assert await scene.claim() == []

    async def test_a_cancel_without_a_reason_has_no_details(self) -> None:
        async with self.scene() as scene:
            await scene.submit("a")
            await scene.store.request_cancel(key_of("a"), None)
            assert "details" not in await scene.end_of("a")

    @clause("5.6.3", "10.14.1", "10.14.2")
    async def test_a_retrying_request_is_cancelled_at_once(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            await scene.fail(lease, retry_after_ms=0)
            await scene.store.request_cancel(key_of("a"), None)
            assert (await scene.record("a")).status == "cancelled"
            assert await scene.claim("action-of-a") == []

    @clause("5.6.7", "10.14.3", "10.14.6")
    async def test_a_running_request_is_told_and_keeps_the_first_reason(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            first = await scene.store.request_cancel(key_of("a"), "one")
            assert first is not None
            assert (first.status, first.cancel_requested_at) == ("processing", START)
            scene.clock.advance(5)
            again = await scene.store.request_cancel(key_of("a"), "two")
            assert again == first
            await scene.chunk(lease, "still counts", 1)
            await scene.fail(lease)
            assert (await scene.end_of("a"))["details"] == {"reason": "one"}

    @clause("10.14.1", "10.14.3")
    async def test_a_cancelled_attempt_is_never_followed_by_another(self) -> None:
        async with self.scene() as scene:
            for id, counted in (("failed", True), ("handed-back", False)):
                lease = await scene.running(id)
                await scene.store.request_cancel(key_of(id), None)
                record = await scene.fail(lease, counted=counted)
                assert record.status == "cancelled"
            await scene.running("lost", cancel_grace_ms=10 * LEASE_MS)
            await scene.store.request_cancel(key_of("lost"), None)
            scene.clock.advance(LEASE_MS)
            await scene.store.sweep()
            assert (await scene.record("lost")).status == "cancelled"

    @clause("10.14.4")
    async def test_a_result_within_the_grace_wins(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a", cancel_grace_ms=1_000)
            await scene.store.request_cancel(key_of("a"), None)
            scene.clock.advance(999)
            await scene.store.sweep()
            record = await scene.store.complete(lease, "1")
            assert record.status == "completed"

    @clause("5.6.5", "10.14.5", "10.14.6")
    async def test_the_sweep_ends_the_grace_and_fences_the_attempt(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a", cancel_grace_ms=1_000)
            await scene.store.request_cancel(key_of("a"), "enough")
            swept = await scene.store.sweep()
            assert swept.next_due_at == START + 1_000
            scene.clock.advance(1_000)
            assert (await scene.store.sweep()).changed == (key_of("a"),)
            assert (await scene.end_of("a"))["details"] == {"reason": "enough"}
            with raises(Fenced):
                await scene.store.complete(lease, "1")
            with raises(Fenced):
                await scene.fail(lease)

    @clause("10.21.1")
    async def test_a_finished_request_is_not_changed_by_a_cancel(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            await scene.store.complete(lease, "1")
            record = await scene.store.request_cancel(key_of("a"), None)
            assert record is not None
            assert (record.status, record.result) == ("completed", "1")
            assert record.cancel_requested_at is None

    async def test_nobody_cancels_what_is_not_theirs(self) -> None:
        async with self.scene() as scene:
            await scene.submit("a")
            assert await scene.store.request_cancel(key_of("a", BOB), None) is None
            assert await scene.store.request_cancel(key_of("b"), None) is None
            assert (await scene.record("a")).status == "queued"

    # --- Deadlines --------------------------------------------------------------------------------

    @clause("5.7.1", "5.7.3", "5.8.2", "10.22.2", "10.50.6")
    async def test_a_deadline_ends_queued_and_running_requests(self) -> None:
        async with self.scene() as scene:
            await scene.submit("queued", deadline_ms=100)
            await scene.submit("delayed", deadline_ms=100, delay_ms=50)
            lease = await scene.running("running", deadline_ms=100)
            scene.clock.advance(99)
            swept = await scene.store.sweep()
            assert (swept.changed, swept.next_due_at) == ((), START + 100)
            scene.clock.advance(1)
            swept = await scene.store.sweep()
            assert {key.id for key in swept.changed} == {"queued", "delayed", "running"}
            for id in ("queued", "delayed", "running"):
                assert (await scene.record(id)).status == "failed"
                assert (await scene.end_of(id))["code"] == "TIMEOUT"
            with raises(Fenced):
                await scene.store.complete(lease, "1")

    @clause("10.22.2", "10.22.5")
    async def test_a_retry_due_after_the_deadline_ends_at_the_deadline(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a", deadline_ms=1_000)
            record = await scene.fail(lease, retry_after_ms=5_000)
            assert record.status == "retrying"
            assert (await scene.store.sweep()).next_due_at == START + 1_000
            scene.clock.advance(1_000)
            await scene.store.sweep()
            assert (await scene.end_of("a"))["code"] == "TIMEOUT"

    @clause("10.21.2")
    async def test_a_result_after_the_deadline_stands_if_it_comes_before_the_sweep(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a", deadline_ms=1_000)
            scene.clock.advance(2_000)
            await scene.store.complete(lease, "1")
            assert (await scene.store.sweep()).changed == ()
            assert (await scene.record("a")).status == "completed"

    # --- Races ------------------------------------------------------------------------------------

    @clause("5.8.1", "10.21.1")
    async def test_a_thousand_races_leave_one_end_each(self) -> None:
        async with self.scene() as scene:
            order = random.Random(20_261_123)
            policy = RetryPolicy(max_attempts=1)
            await asyncio.gather(
                *(
                    scene.submit(f"r{n}", policy=policy, deadline_ms=1_000, cancel_grace_ms=0)
                    for n in range(1_000)
                )
            )
            leases = [claimed.lease for claimed in await scene.claim(limit=1_000)]
            assert len(leases) == 1_000
            scene.clock.advance(1_000)
            contenders: list[Awaitable[object]] = []
            for lease in leases:
                contenders += [
                    _try(scene.store.complete(lease, '"done"')),
                    _try(scene.fail(lease)),
                    _cancel(scene, lease),
                ]
            contenders += [scene.store.sweep(limit=20) for _ in range(60)]
            order.shuffle(contenders)
            await asyncio.gather(*contenders)
            ends: dict[str, int] = {}
            for lease in leases:
                record = await scene.record(lease.key.id)
                assert len(await scene.log(lease.key.id)) == 3
                ends[record.status] = ends.get(record.status, 0) + 1
            assert sum(ends.values()) == 1_000
            assert set(ends) == {"completed", "failed", "cancelled"}


async def _try(write: Awaitable[object]) -> None:
    try:
        await write
    except Fenced:
        return


async def _cancel(scene: Scene, lease: Lease) -> None:
    assert await scene.store.request_cancel(lease.key, None) is not None
