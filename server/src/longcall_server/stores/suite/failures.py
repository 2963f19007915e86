# SPDX-License-Identifier: Apache-2.0
"""How attempts fail: retries, backoff, lost leases, the dead-letter list."""

from __future__ import annotations

import json

from longcall_server.core.events import timestamp
from longcall_server.core.lifecycle import RetryPolicy
from longcall_server.stores.base import Fenced, IdTaken, Record
from longcall_server.stores.suite.support import (
    BOB,
    FAILURE,
    LEASE_MS,
    START,
    StoreTests,
    clause,
    key_of,
    progress,
    raises,
)

POLICY = RetryPolicy(max_attempts=3, backoff_initial_ms=1_000, backoff_max_ms=1_500)


class FailureTests(StoreTests):
    """`fail`, lost leases and `requeue`."""

    @clause("5.4.5", "5.4.6", "5.4.7")
    async def test_a_failure_is_retried_after_a_wait_with_full_jitter(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a", policy=POLICY)
            scene.dice = 0.5
            record = await scene.fail(lease, progress=progress(1, 2))
            assert (record.status, record.failures, record.attempt) == ("retrying", 1, 1)
            assert record.due_at == START + 500
            assert record.error is None
            assert record.progress == progress(1, 2)
            last = (await scene.log("a"))[-1]
            assert last == {
                "type": "status",
                "request_id": "a",
                "seq": 3,
                "status": "retrying",
                "attempt": 1,
                "chunks_kept_to": 0,
                "retry_at": timestamp(START + 500),
                "error": json.loads(FAILURE),
            }
            scene.clock.advance(499)
            assert await scene.claim("action-of-a") == []
            scene.clock.advance(1)
            lease = await scene.claim_again("a")
            scene.dice = 0.9999
            record = await scene.fail(lease)
            assert record.due_at == scene.clock.now + 1_500

    @clause("5.4.8", "5.8.2")
    async def test_the_last_attempt_ends_the_request_with_its_error(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a", policy=POLICY)
            for _ in range(2):
                await scene.fail(lease, retry_after_ms=0)
                lease = await scene.claim_again("a")
            record = await scene.fail(lease)
            assert (record.status, record.attempt, record.failures) == ("failed", 3, 3)
            assert await scene.end_of("a") == json.loads(FAILURE)

    @clause("5.4.8")
    async def test_a_final_failure_ends_the_request_at_once(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            record = await scene.fail(lease, retryable=False)
            assert (record.status, record.error) == ("failed", FAILURE)
            assert await scene.types("a") == ["acknowledgment", "processing", "error"]

    async def test_the_handlers_wait_takes_the_place_of_the_policys(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a", policy=POLICY)
            record = await scene.fail(lease, retry_after_ms=90_000)
            assert record.due_at == START + 90_000

    @clause("5.4.12", "10.17.1")
    async def test_a_hand_back_is_due_at_once_and_counts_nothing(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a", policy=RetryPolicy(max_attempts=1))
            for attempt in (2, 3, 4):
                record = await scene.fail(lease, counted=False)
                assert (record.status, record.failures) == ("retrying", 0)
                lease = await scene.claim_again("a")
                assert lease.attempt == attempt

    @clause("10.18.3")
    async def test_a_repeated_failure_has_no_second_effect(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            first = await scene.fail(lease, retry_after_ms=0)
            assert await scene.fail(lease, retry_after_ms=0) == first
            second = await scene.claim_again("a")
            again = await scene.fail(lease, retry_after_ms=0)
            assert (again.status, again.attempt) == ("processing", 2)
            with raises(Fenced):
                await scene.store.complete(lease, "1")
            await scene.store.complete(second, "2")
            assert await scene.types("a") == [
                "acknowledgment",
                "processing",
                "retrying",
                "processing",
                "complete",
            ]

    @clause("5.4.2", "5.4.9", "10.17.3")
    async def test_a_lost_lease_is_a_failed_attempt(self) -> None:
        async with self.scene() as scene:
            await scene.running("a", policy=RetryPolicy(2, 1_000, 1_000))
            scene.clock.advance(LEASE_MS - 1)
            assert (await scene.store.sweep()).changed == ()
            scene.clock.advance(1)
            assert (await scene.store.sweep()).changed == (key_of("a"),)
            record = await scene.record("a")
            assert (record.status, record.failures) == ("retrying", 1)
            assert record.due_at == scene.clock.now + 500
            assert (await scene.log("a"))[-1]["error"]["code"] == "INTERNAL_ERROR"
            scene.clock.advance(500)
            await scene.claim_again("a")
            scene.clock.advance(LEASE_MS)
            await scene.store.sweep()
            assert (await scene.record("a")).status == "failed"
            assert (await scene.end_of("a"))["code"] == "INTERNAL_ERROR"

    @clause("10.16.3")
    async def test_the_end_of_an_attempt_by_its_worker_is_not_the_lost_lease(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            scene.clock.advance(LEASE_MS)
            await scene.store.sweep()
            with raises(Fenced):
                await scene.fail(lease)

    # --- The dead-letter list ---------------------------------------------------------------------

    @clause("10.20.1", "10.20.2")
    async def test_a_dead_request_is_repeated_under_a_new_id(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running(
                "a", payload='{"n":1}', priority=8, deadline_ms=9_000, metadata={"k": "v"}
            )
            await scene.fail(lease, retryable=False)
            before = await scene.log("a")
            scene.clock.advance(100)
            fresh = await scene.store.requeue(key_of("a"), "b")
            assert fresh is not None
            assert (fresh.status, fresh.requeued_from) == ("queued", "a")
            assert await scene.store.requeue(key_of("a"), "b") == fresh
            assert await scene.log("a") == before
            (claimed,) = await scene.claim("action-of-a")
            record = claimed.record
            assert (record.key.id, record.payload, record.attempt) == ("b", '{"n":1}', 1)
            assert (record.priority, record.metadata) == (8, {"k": "v"})
            assert record.deadline_at == START + 100 + 9_000
            await scene.store.complete(claimed.lease, "1")

    async def test_only_the_dead_are_requeued(self) -> None:
        async with self.scene() as scene:
            await scene.submit("queued")
            lease = await scene.running("completed")
            await scene.store.complete(lease, "1")
            for id in ("queued", "completed", "unknown"):
                assert await scene.store.requeue(key_of(id), "new") is None
            assert await scene.store.requeue(key_of("queued", BOB), "new") is None

    async def test_a_cancelled_request_can_be_requeued(self) -> None:
        async with self.scene() as scene:
            await scene.submit("a")
            await scene.store.request_cancel(key_of("a"), None)
            fresh = await scene.store.requeue(key_of("a"), "b")
            assert isinstance(fresh, Record)
            assert fresh.cancel_requested_at is None

    async def test_a_requeue_does_not_take_the_id_of_another_request(self) -> None:
        async with self.scene() as scene:
            await scene.submit("taken")
            gone = await scene.running("gone")
            await scene.store.complete(gone, "1")
            await scene.store.delete(key_of("gone"))
            lease = await scene.running("a")
            await scene.fail(lease, retryable=False)
            for id in ("taken", "gone", "a"):
                with raises(IdTaken):
                    await scene.store.requeue(key_of("a"), id)
