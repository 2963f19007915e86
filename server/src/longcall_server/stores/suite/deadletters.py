# SPDX-License-Identifier: Apache-2.0
"""The dead-letter list, as an operator reads it over all owners."""

from __future__ import annotations

import json

from longcall_server.stores.base import DeadLetterFilter, Owner, Record, RequestKey
from longcall_server.stores.suite.support import (
    ALICE,
    BOB,
    FAILURE,
    START,
    Scene,
    StoreTests,
    clause,
    key_of,
)

EVE = Owner("evil", "alice")
EVERYTHING = DeadLetterFilter()


async def fail(scene: Scene, id: str, owner: Owner = ALICE, action: str = "report") -> Record:
    """A request that fails one millisecond after whatever was before it."""
    await scene.submit(id, owner, action=action)
    (claimed,) = await scene.claim(action)
    scene.clock.advance(1)
    return await scene.fail(claimed.lease, retryable=False)


async def names(
    scene: Scene, where: DeadLetterFilter = EVERYTHING, page: int = 100
) -> list[tuple[str, str, str]]:
    """The whole list, read in pages of this size."""
    found: list[RequestKey] = []
    last: Record | None = None
    while True:
        records = await scene.store.dead_letters(where, limit=page, after=last)
        assert len(records) <= page
        if not records:
            return [(key.owner.tenant_id, key.owner.sub, key.id) for key in found]
        found += [record.key for record in records]
        last = records[-1]


class DeadLetterTests(StoreTests):
    """`dead_letters`; `requeue` stands with the failures, `delete` with the removals."""

    @clause("5.4.13")
    async def test_the_list_shows_the_failed_of_all_owners_the_newest_end_first(self) -> None:
        async with self.scene() as scene:
            assert await names(scene) == []
            await fail(scene, "a")
            await fail(scene, "a", EVE)
            await fail(scene, "b", BOB)
            assert await names(scene) == [
                ("acme", "bob", "b"),
                ("evil", "alice", "a"),
                ("acme", "alice", "a"),
            ]

    async def test_what_did_not_fail_is_no_dead_letter(self) -> None:
        async with self.scene() as scene:
            await scene.submit("queued")
            await scene.submit("cancelled", action="other")
            await scene.store.request_cancel(key_of("cancelled"), None)
            retrying = await scene.running("retrying")
            await scene.fail(retrying)
            completed = await scene.running("completed")
            await scene.store.complete(completed, "1")
            assert await names(scene) == []

    async def test_a_dead_letter_comes_with_its_error_and_its_times(self) -> None:
        async with self.scene() as scene:
            await fail(scene, "a")
            await scene.submit("late", action="other", deadline_ms=500)
            scene.clock.advance(500)
            await scene.store.sweep()
            late, failed = await scene.store.dead_letters(EVERYTHING, limit=10)
            assert json.loads(late.error or "")["code"] == "TIMEOUT"
            assert (late.attempt, late.failures) == (0, 0)
            assert failed.error == FAILURE
            assert (failed.attempt, failed.failures) == (1, 1)
            assert failed.finished_at == START + 1
            assert failed.expires_at == START + 1 + failed.retention_ms

    async def test_pages_follow_each_other_though_their_ends_are_purged(self) -> None:
        async with self.scene() as scene:
            for n in range(7):
                await fail(scene, f"r{n}")
            assert [id for _, _, id in await names(scene, page=2)] == [
                f"r{n}" for n in reversed(range(7))
            ]
            first = await scene.store.dead_letters(EVERYTHING, limit=3)
            for record in first:
                await scene.store.delete(record.key)
            rest = await scene.store.dead_letters(EVERYTHING, limit=9, after=first[-1])
            assert [record.key.id for record in rest] == ["r3", "r2", "r1", "r0"]

    async def test_those_that_ended_at_the_same_moment_have_an_order(self) -> None:
        async with self.scene() as scene:
            for n in range(5):
                await scene.submit(f"r{n}", deadline_ms=100)
            scene.clock.advance(100)
            await scene.store.sweep()
            assert [id for _, _, id in await names(scene, page=2)] == [
                f"r{n}" for n in reversed(range(5))
            ]

    async def test_the_list_keeps_to_its_filter(self) -> None:
        async with self.scene() as scene:
            await fail(scene, "a")
            await fail(scene, "a", EVE, action="mail")
            await fail(scene, "b", BOB)
            a, e, b = ("acme", "alice", "a"), ("evil", "alice", "a"), ("acme", "bob", "b")
            for where, shown in (
                (DeadLetterFilter(tenant_id="acme"), [b, a]),
                (DeadLetterFilter(sub="alice"), [e, a]),
                (DeadLetterFilter(tenant_id="acme", sub="alice"), [a]),
                (DeadLetterFilter(action="report"), [b, a]),
                (DeadLetterFilter(id="a"), [e, a]),
                (DeadLetterFilter(tenant_id="evil", id="a"), [e]),
                (DeadLetterFilter(tenant_id="evil", id="b"), []),
                (DeadLetterFilter(ended_before=START + 2), [a]),
                (DeadLetterFilter(action="mail", ended_before=START + 2), []),
            ):
                assert await names(scene, where, page=1) == shown, where

    async def test_a_requeue_leaves_the_old_one_in_the_list(self) -> None:
        async with self.scene() as scene:
            await fail(scene, "a")
            await scene.store.requeue(key_of("a"), "b")
            assert [id for _, _, id in await names(scene)] == ["a"]

    @clause("5.4.13")
    async def test_retention_and_deletion_take_from_the_list(self) -> None:
        async with self.scene() as scene:
            await fail(scene, "kept")
            await scene.submit("short", retention_ms=1, action="other")
            (claimed,) = await scene.claim("other")
            await scene.fail(claimed.lease, retryable=False)
            await fail(scene, "deleted")
            await scene.store.delete(key_of("deleted"))
            scene.clock.advance(1)
            await scene.store.sweep()
            assert [id for _, _, id in await names(scene)] == ["kept"]
