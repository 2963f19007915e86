# SPDX-License-Identifier: Apache-2.0
"""How requests enter a store: once each, within limits, stored before anybody is told."""

from __future__ import annotations

import asyncio

from longcall_server.core.events import timestamp
from longcall_server.core.lifecycle import RetryPolicy
from longcall_server.stores.base import Owner, Promotion, SubmitOutcome
from longcall_server.stores.suite.support import (
    ALICE,
    BOB,
    LEASE_MS,
    START,
    WORKER,
    StoreTests,
    clause,
    key_of,
    progress,
)

TEXT = '{"text":"\\u0000 \\" ü € 😀","n":1e-7}'


class SubmitTests(StoreTests):
    """`submit` without a promotion."""

    @clause("5.2.2")
    async def test_a_submitted_request_is_queued_and_has_event_1(self) -> None:
        async with self.scene() as scene:
            submitted = await scene.submit("a")
            assert submitted.outcome is SubmitOutcome.CREATED
            assert submitted.lease is None
            assert submitted.record is not None
            assert (submitted.record.status, submitted.record.attempt) == ("queued", 0)
            assert await scene.log("a") == [
                {
                    "type": "acknowledgment",
                    "request_id": "a",
                    "seq": 1,
                    "status": "queued",
                    "created_at": timestamp(START),
                }
            ]

    async def test_everything_that_was_submitted_comes_back_from_get(self) -> None:
        async with self.scene() as scene:
            policy = RetryPolicy(max_attempts=7, backoff_initial_ms=11, backoff_max_ms=13)
            await scene.submit(
                "a",
                payload=TEXT,
                policy=policy,
                metadata={"team": "größe", "": "empty"},
                priority=9,
                delay_ms=50,
                deadline_ms=5_000,
                retention_ms=77,
                cancel_grace_ms=88,
                callback_url="https://example.org/hook",
                traceparent="00-1-2-01",
            )
            record = await scene.record("a")
            assert (record.action, record.payload, record.policy) == ("report", TEXT, policy)
            assert record.metadata == {"team": "größe", "": "empty"}
            assert (record.priority, record.retention_ms, record.cancel_grace_ms) == (9, 77, 88)
            assert (record.created_at, record.due_at) == (START, START + 50)
            assert record.deadline_at == START + 5_000
            assert record.callback_url == "https://example.org/hook"
            assert record.traceparent == "00-1-2-01"

    async def test_the_same_submission_again_is_answered_as_created(self) -> None:
        async with self.scene() as scene:
            first = await scene.submit("a")
            scene.clock.advance(5)
            again = await scene.submit("a", max_in_flight=1)
            assert again == first
            assert len(await scene.log("a")) == 1

    @clause("5.1.5", "10.22.4", "10.23.3")
    async def test_another_submission_of_the_same_request_is_a_duplicate(self) -> None:
        async with self.scene() as scene:
            await scene.submit("a", priority=1, deadline_ms=100)
            scene.clock.advance(5)
            again = await scene.submit("a", submission="later", priority=2, deadline_ms=900)
            assert again.outcome is SubmitOutcome.DUPLICATE
            assert again.record is not None
            assert (again.record.priority, again.record.deadline_at) == (1, START + 100)
            assert len(await scene.log("a")) == 1

    @clause("5.1.6")
    async def test_another_payload_under_the_same_id_is_a_conflict(self) -> None:
        async with self.scene() as scene:
            await scene.submit("a", payload="1")
            other = await scene.submit("a", submission="later", payload="2")
            assert other.outcome is SubmitOutcome.CONFLICT
            assert (await scene.record("a")).payload == "1"

    @clause("5.1.5")
    async def test_a_finished_request_is_still_a_duplicate(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            await scene.store.complete(lease, "42")
            again = await scene.submit("a", submission="later", action="action-of-a")
            assert again.outcome is SubmitOutcome.DUPLICATE
            assert again.record is not None
            assert again.record.result == "42"

    @clause("3.4.3", "5.1.4")
    async def test_owners_do_not_share_ids(self) -> None:
        async with self.scene() as scene:
            await scene.submit("a", payload="1")
            other = await scene.submit("a", BOB, payload="2")
            assert other.outcome is SubmitOutcome.CREATED
            assert (await scene.record("a", ALICE)).payload == "1"
            assert (await scene.record("a", BOB)).payload == "2"

    @clause("5.1.5")
    async def test_many_submissions_of_one_id_at_once_create_it_once(self) -> None:
        async with self.scene() as scene:
            answers = await asyncio.gather(
                *(scene.submit("a", submission=f"s{n}") for n in range(50))
            )
            outcomes = [answer.outcome for answer in answers]
            assert outcomes.count(SubmitOutcome.CREATED) == 1
            assert outcomes.count(SubmitOutcome.DUPLICATE) == 49

    @clause("10.45.1")
    async def test_the_in_flight_limit_refuses_new_requests_of_that_owner_alone(self) -> None:
        async with self.scene() as scene:
            await scene.submit("a", max_in_flight=2)
            await scene.submit("b", max_in_flight=2)
            refused = await scene.submit("c", max_in_flight=2)
            assert (refused.outcome, refused.record) == (SubmitOutcome.OVER_LIMIT, None)
            assert await scene.store.get(key_of("c")) is None
            bobs = await scene.submit("c", BOB, max_in_flight=2)
            assert bobs.outcome is SubmitOutcome.CREATED

    @clause("10.45.3")
    async def test_the_in_flight_limit_never_refuses_what_is_stored(self) -> None:
        async with self.scene() as scene:
            await scene.submit("a", max_in_flight=1)
            again = await scene.submit("a", submission="later", max_in_flight=1)
            assert again.outcome is SubmitOutcome.DUPLICATE
            other = await scene.submit("a", submission="other", payload="1", max_in_flight=1)
            assert other.outcome is SubmitOutcome.CONFLICT

    @clause("6.6.10", "10.45.7")
    async def test_the_limit_of_a_tenant_counts_what_its_owners_have_waiting(self) -> None:
        async with self.scene(max_waiting_per_tenant=3) as scene:
            await scene.submit("a")
            await scene.submit("delayed", delay_ms=60_000)
            await scene.submit("b", BOB)
            refused = await scene.submit("c", BOB)
            assert (refused.outcome, refused.record) == (SubmitOutcome.TENANT_FULL, None)
            assert await scene.store.get(key_of("c", BOB)) is None
            other = await scene.submit("c", Owner("bolt", "bob"))
            assert other.outcome is SubmitOutcome.CREATED
            # What runs does not wait; what failed and will be retried waits again.
            (claimed,) = await scene.claim(limit=1)
            assert (await scene.submit("c", BOB)).outcome is SubmitOutcome.CREATED
            await scene.fail(claimed.lease)
            assert (await scene.submit("d")).outcome is SubmitOutcome.TENANT_FULL
            for id, owner in (("delayed", ALICE), ("c", BOB)):
                await scene.store.request_cancel(key_of(id, owner), None)
            assert (await scene.submit("d")).outcome is SubmitOutcome.CREATED
            assert (await scene.submit("e")).outcome is SubmitOutcome.TENANT_FULL

    @clause("5.3.6", "10.45.8")
    async def test_the_limit_of_a_tenant_refuses_nothing_that_is_stored_or_runs(self) -> None:
        async with self.scene(max_waiting_per_tenant=1) as scene:
            await scene.submit("a")
            again = await scene.submit("a", submission="later")
            assert again.outcome is SubmitOutcome.DUPLICATE
            other = await scene.submit("a", submission="other", payload="1")
            assert other.outcome is SubmitOutcome.CONFLICT
            running = await scene.submit("quick", promotion=Promotion(WORKER, LEASE_MS))
            assert running.outcome is SubmitOutcome.CREATED

    @clause("10.45.1")
    async def test_every_end_makes_room_under_the_in_flight_limit(self) -> None:
        async with self.scene() as scene:
            limit = 4
            completed = await scene.running("completed")
            failed = await scene.running("failed")
            await scene.submit("cancelled")
            await scene.submit("late", deadline_ms=10)
            await scene.store.complete(completed, "1")
            await scene.fail(failed, retryable=False)
            await scene.store.request_cancel(key_of("cancelled"), None)
            scene.clock.advance(10)
            await scene.store.sweep()
            outcomes = [
                (await scene.submit(f"n{n}", max_in_flight=limit)).outcome for n in range(5)
            ]
            assert outcomes == [SubmitOutcome.CREATED] * 4 + [SubmitOutcome.OVER_LIMIT]

    @clause("10.45.2")
    async def test_the_in_flight_limit_holds_for_submits_at_once(self) -> None:
        async with self.scene() as scene:
            answers = await asyncio.gather(
                *(scene.submit(f"r{n}", max_in_flight=10) for n in range(40))
            )
            created = [a for a in answers if a.outcome is SubmitOutcome.CREATED]
            assert len(created) == 10


class PromotionTests(StoreTests):
    """`submit` with a promotion: an execution that runs already becomes durable."""

    PROMOTION = Promotion(worker=WORKER, lease_ms=LEASE_MS)

    @clause("5.3.4", "10.7.1", "10.22.1")
    async def test_a_promotion_stores_two_events_and_a_lease(self) -> None:
        async with self.scene() as scene:
            submitted = await scene.submit(
                "a",
                promotion=Promotion(WORKER, LEASE_MS, progress=progress(1, 3)),
                received_at=START - 2_000,
                deadline_ms=60_000,
            )
            assert submitted.outcome is SubmitOutcome.CREATED
            assert await scene.types("a") == ["acknowledgment", "processing"]
            processing = (await scene.log("a"))[1]
            assert (processing["attempt"], processing["chunks_kept_to"]) == (1, 0)
            record = await scene.record("a")
            assert (record.created_at, record.deadline_at) == (START - 2_000, START + 58_000)
            assert record.progress == progress(1, 3)
            assert submitted.lease is not None
            assert await scene.chunk(submitted.lease, "x", 1) == 3
            await scene.store.complete(submitted.lease, "1")

    @clause("10.7.1")
    async def test_nobody_claims_a_promoted_request(self) -> None:
        async with self.scene() as scene:
            await scene.submit("a", promotion=self.PROMOTION)
            assert await scene.claim() == []

    @clause("10.7.2")
    async def test_a_repeated_promotion_answers_with_the_same_lease(self) -> None:
        async with self.scene() as scene:
            first = await scene.submit("a", promotion=self.PROMOTION)
            again = await scene.submit("a", promotion=self.PROMOTION)
            assert again == first
            assert len(await scene.log("a")) == 2

    @clause("10.7.2", "10.7.3")
    async def test_a_promotion_of_a_stored_id_gets_no_lease(self) -> None:
        async with self.scene() as scene:
            await scene.submit("a")
            late = await scene.submit("a", promotion=self.PROMOTION, submission="execution-2")
            assert (late.outcome, late.lease) == (SubmitOutcome.DUPLICATE, None)
            other = await scene.submit(
                "a", promotion=self.PROMOTION, submission="execution-3", payload="1"
            )
            assert (other.outcome, other.lease) == (SubmitOutcome.CONFLICT, None)
            assert await scene.types("a") == ["acknowledgment"]

    @clause("10.12.1")
    async def test_a_promotion_can_bring_a_cancel_along(self) -> None:
        async with self.scene() as scene:
            promotion = Promotion(
                WORKER, LEASE_MS, cancel_requested=True, cancel_reason="never mind"
            )
            submitted = await scene.submit("a", promotion=promotion)
            assert submitted.lease is not None
            record = await scene.record("a")
            assert (record.status, record.cancel_reason) == ("processing", "never mind")
            await scene.fail(submitted.lease)
            assert (await scene.end_of("a"))["details"] == {"reason": "never mind"}

    async def test_a_promoted_request_is_tried_again_when_its_attempt_fails(self) -> None:
        async with self.scene() as scene:
            submitted = await scene.submit("a", promotion=self.PROMOTION)
            assert submitted.lease is not None
            await scene.fail(submitted.lease)
            scene.clock.advance(60_000)
            (claimed,) = await scene.claim()
            assert claimed.lease.attempt == 2
