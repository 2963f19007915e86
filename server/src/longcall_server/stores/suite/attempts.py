# SPDX-License-Identifier: Apache-2.0
"""How attempts run: claims, leases, numbered appends, checkpoints, results."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from longcall_server.core import events
from longcall_server.stores.base import (
    Fenced,
    LogFull,
    Renewal,
    StoredFile,
)
from longcall_server.stores.suite.support import (
    LEASE_MS,
    START,
    WORKER,
    StoreTests,
    clause,
    key_of,
    progress,
    raises,
)


class AttemptTests(StoreTests):
    """`claim`, `renew`, `append` and `complete`."""

    # --- Claims -----------------------------------------------------------------------------------

    @clause("5.4.1", "5.4.3")
    async def test_a_claim_begins_an_attempt_and_hands_over_what_it_needs(self) -> None:
        async with self.scene() as scene:
            await scene.submit("a", payload='{"n":1}', metadata={"k": "v"})
            scene.clock.advance(10)
            (claimed,) = await scene.claim()
            record, lease = claimed.record, claimed.lease
            assert (record.payload, record.metadata, record.checkpoint) == (
                '{"n":1}',
                {"k": "v"},
                None,
            )
            assert (record.status, record.attempt) == ("processing", 1)
            assert (lease.attempt, lease.worker, lease.key) == (1, WORKER, key_of("a"))
            assert lease.expires_at == START + 10 + LEASE_MS
            assert await scene.types("a") == ["acknowledgment", "processing"]
            assert await scene.claim() == []

    @clause("4.4.4")
    async def test_claims_go_by_priority_then_age(self) -> None:
        async with self.scene() as scene:
            for id, priority in (("a", 5), ("b", 0), ("c", 9), ("d", 5), ("e", 9)):
                await scene.submit(id, priority=priority)
                scene.clock.advance(1)
            first = await scene.claim(limit=2)
            rest = await scene.claim(limit=10)
            assert [c.record.key.id for c in first + rest] == ["c", "e", "a", "d", "b"]

    async def test_claims_take_the_named_actions_only_and_compare_over_them(self) -> None:
        async with self.scene() as scene:
            for id, action, priority in (("a", "x", 1), ("b", "y", 2), ("c", "z", 9)):
                await scene.submit(id, action=action, priority=priority)
            claimed = await scene.claim("x", "y", "unknown")
            assert [c.record.key.id for c in claimed] == ["b", "a"]
            assert await scene.store.claim(WORKER, [], limit=5, lease_ms=1) == []

    @clause("4.4.5", "10.46.4")
    async def test_a_delayed_request_is_not_claimed_before_it_is_due(self) -> None:
        async with self.scene() as scene:
            await scene.submit("later", delay_ms=100, priority=9)
            await scene.submit("now")
            assert [c.record.key.id for c in await scene.claim()] == ["now"]
            scene.clock.advance(99)
            assert await scene.claim() == []
            scene.clock.advance(1)
            assert [c.record.key.id for c in await scene.claim()] == ["later"]

    async def test_no_attempt_starts_after_the_deadline(self) -> None:
        async with self.scene() as scene:
            await scene.submit("a", deadline_ms=100)
            await scene.submit("b")
            scene.clock.advance(100)
            assert [c.record.key.id for c in await scene.claim(limit=1)] == ["b"]

    async def test_workers_that_claim_at_once_share_nothing(self) -> None:
        async with self.scene() as scene:
            await asyncio.gather(*(scene.submit(f"r{n}") for n in range(60)))
            hauls = await asyncio.gather(*(scene.claim(limit=7, worker=f"w{n}") for n in range(12)))
            ids = [claimed.record.key.id for haul in hauls for claimed in haul]
            assert len(ids) == len(set(ids)) == 60

    # --- Renewals ---------------------------------------------------------------------------------

    @clause("1.1.6", "5.4.1")
    async def test_a_renewal_extends_the_lease_and_keeps_the_newest_progress(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            scene.clock.advance(20_000)
            (renewed,) = await scene.store.renew(
                [Renewal(lease, progress(1, 4))], lease_ms=LEASE_MS
            )
            assert renewed.lease is not None
            assert renewed.lease.expires_at == START + 20_000 + LEASE_MS
            assert not renewed.cancel_requested
            scene.clock.advance(20_000)
            await scene.store.sweep()
            record = await scene.record("a")
            assert (record.status, record.progress) == ("processing", progress(1, 4))
            assert len(await scene.log("a")) == 2

    @clause("10.36.1")
    async def test_progress_never_goes_back(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            for version in (4, 3):
                await scene.store.renew([Renewal(lease, progress(1, version))], lease_ms=LEASE_MS)
            await scene.store.renew([Renewal(lease)], lease_ms=LEASE_MS)
            assert (await scene.record("a")).progress == progress(1, 4)

    async def test_renewals_are_answered_in_order_and_tell_of_cancels_and_fences(self) -> None:
        async with self.scene() as scene:
            leases = [await scene.running(id) for id in ("a", "b", "c")]
            await scene.store.complete(leases[0], "1")
            await scene.store.request_cancel(key_of("b"), "why not")
            answers = await scene.store.renew(
                [Renewal(lease) for lease in leases], lease_ms=LEASE_MS
            )
            assert answers[0].lease is None
            assert answers[1].lease is not None
            assert (answers[1].cancel_requested, answers[1].cancel_reason) == (True, "why not")
            assert answers[2].lease is not None
            assert not answers[2].cancel_requested

    # --- Appends ----------------------------------------------------------------------------------

    @clause("1.1.1")
    async def test_appends_are_numbered_without_a_gap(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            assert [await scene.chunk(lease, n, n) for n in (1, 2, 3)] == [3, 4, 5]
            log = await scene.log("a")
            assert [frame["data"] for frame in log[2:]] == [1, 2, 3]
            assert {frame["attempt"] for frame in log[2:]} == {1}

    @clause("10.18.1", "10.18.2")
    async def test_a_repeated_append_has_no_second_effect(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            first = await scene.chunk(lease, "x", 1, checkpoint='"one"')
            again = await scene.chunk(lease, "x", 1, checkpoint='"one"')
            assert first == again == 3
            assert len(await scene.log("a")) == 3

    @clause("10.18.1")
    async def test_an_operation_out_of_turn_is_refused(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            await scene.chunk(lease, "x", 1)
            await scene.chunk(lease, "y", 2)
            for operation in (0, 1, 4):
                with raises(ValueError):
                    await scene.chunk(lease, "z", operation)
            assert len(await scene.log("a")) == 4

    async def test_a_log_is_not_ended_with_append(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            with raises(ValueError):
                await scene.store.append(lease, events.complete("a", "1"), operation=1)
            assert len(await scene.log("a")) == 2

    @clause("1.1.1")
    async def test_many_logs_grow_at_once_and_each_stays_dense(self) -> None:
        async with self.scene() as scene:
            ids = [f"r{n}" for n in range(20)]
            leases = [await scene.running(id) for id in ids]

            async def write(lease_number: int) -> None:
                for n in range(1, 26):
                    await scene.chunk(leases[lease_number], n, n)

            await asyncio.gather(*(write(n) for n in range(20)))
            for id in ids:
                log = await scene.log(id)
                assert [frame["data"] for frame in log[2:]] == list(range(1, 26))

    @clause("5.4.4", "10.16.1", "10.16.3")
    async def test_writes_of_an_attempt_that_is_over_are_fenced(self) -> None:
        async with self.scene() as scene:
            lost = await scene.running("a")
            scene.clock.advance(LEASE_MS)
            await scene.store.sweep()
            with raises(Fenced):
                await scene.chunk(lost, "retrying", 1)
            scene.clock.advance(60_000)
            current = await scene.claim_again("a")
            assert (lost.attempt, current.attempt) == (1, 2)
            with raises(Fenced):
                await scene.chunk(lost, "processing again", 1)
            with raises(Fenced):
                await scene.store.complete(lost, "1")
            with raises(Fenced):
                await scene.fail(lost)
            await scene.store.complete(current, "2")
            with raises(Fenced):
                await scene.chunk(current, "completed", 1)
            assert (await scene.log("a"))[-1]["result"] == 2

    @clause("10.16.2")
    async def test_the_clock_of_the_lease_fences_nothing(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            scene.clock.advance(10 * LEASE_MS)
            await scene.chunk(lease, "late, but nobody took over", 1)
            record = await scene.store.complete(lease, "1")
            assert record.status == "completed"

    @clause("10.16.1")
    async def test_a_lease_of_another_incarnation_is_fenced(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            with raises(Fenced):
                await scene.chunk(replace(lease, record_id=lease.record_id + 1), "x", 1)

    # --- Checkpoints ------------------------------------------------------------------------------

    @clause("5.5.1", "5.5.2", "10.19.1")
    async def test_a_checkpoint_says_which_chunks_stand_at_the_next_attempt(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            await scene.chunk(lease, "kept", 1, checkpoint='{"page":1}')
            await scene.chunk(lease, "void", 2)
            retrying = await scene.fail(lease, retry_after_ms=0)
            assert (retrying.chunks_kept_to, retrying.last_seq) == (3, 5)
            (claimed,) = await scene.claim("action-of-a")
            assert claimed.record.checkpoint == '{"page":1}'
            assert claimed.record.chunks_kept_to == 3
            log = await scene.log("a")
            assert [f["chunks_kept_to"] for f in log if f["type"] == "status"] == [0, 3, 3]

    @clause("5.5.1", "10.19.1")
    async def test_a_checkpoint_without_an_event_keeps_all_chunks_so_far(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            await scene.chunk(lease, "x", 1)
            last_seq = await scene.store.append(lease, None, operation=2, checkpoint='"two"')
            assert last_seq == 3
            record = await scene.record("a")
            assert (record.checkpoint, record.chunks_kept_to) == ('"two"', 3)
            await scene.store.append(lease, None, operation=3, checkpoint='"three"')
            assert (await scene.record("a")).checkpoint == '"three"'
            assert len(await scene.log("a")) == 3

    # --- Results ----------------------------------------------------------------------------------

    @clause("10.35.1")
    async def test_a_result_ends_the_log_with_progress_and_files(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a", retention_ms=500)
            file = StoredFile("r.csv", "text/csv", 12, "ab" * 32, "1/r.csv")
            scene.clock.advance(7)
            result = '{"text":",\\"result\\":1","größe":[1,2]}'
            await scene.store.complete(lease, result, progress=progress(1, 9), files=[file])
            record = await scene.record("a")
            assert (record.status, record.result, record.error) == ("completed", result, None)
            assert (record.progress, record.files) == (progress(1, 9), (file,))
            assert (record.finished_at, record.expires_at) == (START + 7, START + 507)
            assert (record.lease_worker, record.lease_expires_at) == (None, None)
            assert (await scene.log("a"))[-1]["result"] == json.loads(result)

    @clause("10.18.3")
    async def test_a_repeated_result_has_no_second_effect(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            first = await scene.store.complete(lease, "1")
            scene.clock.advance(5)
            assert await scene.store.complete(lease, "1") == first
            with raises(Fenced):
                await scene.fail(lease)
            assert len(await scene.log("a")) == 3

    # --- The limit of a log -----------------------------------------------------------------------

    @clause("10.44.3", "10.44.4")
    async def test_a_full_log_refuses_chunks_and_still_takes_its_end(self) -> None:
        async with self.scene(max_log_bytes=20_000) as scene:
            lease = await scene.running("a")
            for operation in range(1, 14):
                await scene.chunk(lease, "x" * 1_000, operation)
            operation = 14
            with raises(LogFull):
                await scene.chunk(lease, "x" * 1_000, operation)
            assert await scene.chunk(lease, "", operation) > 0
            with raises(LogFull):
                await scene.store.complete(lease, json.dumps("x" * 10_000))
            big = json.dumps({"code": "HANDLER_ERROR", "message": "x" * 9_000, "retryable": True})
            record = await scene.store.fail(lease, big, retryable=False)
            assert record.status == "failed"
            assert (await scene.end_of("a"))["code"] == "RESOURCE_EXHAUSTED"
            assert record.log_bytes <= 20_000

    @clause("10.44.3", "10.44.4")
    async def test_a_log_without_room_for_another_attempt_ends(self) -> None:
        async with self.scene(max_log_bytes=16_384) as scene:
            lease = await scene.running("a")
            for _ in range(200):
                record = await scene.fail(lease, counted=False)
                if record.status == "failed":
                    break
                claims = await scene.claim("action-of-a")
                if not claims:
                    break
                lease = claims[0].lease
            assert (await scene.end_of("a"))["code"] == "RESOURCE_EXHAUSTED"
            assert (await scene.record("a")).log_bytes <= 16_384
            again = await scene.submit("b", max_in_flight=1)
            assert again.outcome == "created"
