# SPDX-License-Identifier: Apache-2.0
"""How requests are read: single ones, logs, listings."""

from __future__ import annotations

from longcall_server.stores.base import BadCursor, ListFilter, Owner
from longcall_server.stores.suite.support import (
    ALICE,
    BOB,
    Scene,
    StoreTests,
    clause,
    key_of,
    raises,
)


class ReadingTests(StoreTests):
    """`get`, `read` and `list`."""

    # --- One request ------------------------------------------------------------------------------

    async def test_what_is_not_there_or_not_ones_own_reads_as_nothing(self) -> None:
        async with self.scene() as scene:
            await scene.submit("a")
            for key in (key_of("b"), key_of("a", BOB), key_of("a", Owner("other", "alice"))):
                assert await scene.store.get(key) is None
                assert await scene.store.read(key, 0) is None

    @clause("1.1.4")
    async def test_a_log_is_read_after_a_number(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            for n in (1, 2, 3):
                await scene.chunk(lease, n, n)
            piece = await scene.store.read(key_of("a"), 3)
            assert piece is not None
            assert [event.seq for event in piece.events] == [4, 5]
            assert (piece.record.last_seq, piece.record.status) == (5, "processing")
            for after_seq in (5, 6, 1_000):
                piece = await scene.store.read(key_of("a"), after_seq)
                assert piece is not None
                assert piece.events == ()

    async def test_a_read_is_bounded_and_still_gets_on(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            for n in range(1, 21):
                await scene.chunk(lease, "x" * 500, n)
            piece = await scene.store.read(key_of("a"), 0, max_bytes=3_000)
            assert piece is not None
            assert 4 <= len(piece.events) <= 8
            assert piece.record.last_seq == 22
            piece = await scene.store.read(key_of("a"), 10, max_bytes=1)
            assert piece is not None
            assert [event.seq for event in piece.events] == [11]

    async def test_the_end_of_a_log_is_marked_and_comes_with_its_record(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a")
            await scene.store.complete(lease, '{"n":1}')
            for after_seq in (0, 2, 3):
                piece = await scene.store.read(key_of("a"), after_seq)
                assert piece is not None
                assert piece.record.result == '{"n":1}'
                marks = [event.is_terminal for event in piece.events]
                assert marks == [False, False, True][after_seq:]

    async def test_large_parts_come_where_they_are_needed(self) -> None:
        async with self.scene() as scene:
            lease = await scene.running("a", payload='"in"')
            await scene.store.append(lease, None, operation=1, checkpoint='"state"')
            await scene.store.complete(lease, '"out"')
            record = await scene.record("a")
            assert (record.payload, record.checkpoint) == ('"in"', '"state"')
            piece = await scene.store.read(key_of("a"), 0)
            assert piece is not None
            assert (piece.record.payload, piece.record.checkpoint) == ("", None)
            (listed,) = (await scene.store.list(ListFilter(ALICE), limit=1)).records
            assert (listed.payload, listed.checkpoint, listed.result) == ("", None, None)

    # --- Listings ---------------------------------------------------------------------------------

    @clause("10.47.1")
    async def test_a_listing_goes_from_the_newest_to_the_oldest(self) -> None:
        async with self.scene() as scene:
            for id in ("b", "a", "d"):
                await scene.submit(id)
            scene.clock.advance(1)
            await scene.submit("c")
            await scene.submit("bobs", BOB)
            assert await _ids(scene, ListFilter(ALICE), limit=10) == ["c", "d", "b", "a"]

    @clause("4.6.4", "4.6.5")
    async def test_a_listing_is_filtered_by_status_and_action(self) -> None:
        async with self.scene() as scene:
            await scene.submit("queued")
            await scene.submit("other", action="export")
            await scene.running("running")
            await scene.submit("cancelled")
            await scene.store.request_cancel(key_of("cancelled"), None)
            waiting = ListFilter(ALICE, statuses=("queued",))
            assert await _ids(scene, waiting, limit=10) == ["queued", "other"]
            both = ListFilter(ALICE, statuses=("queued", "cancelled"), action="report")
            assert await _ids(scene, both, limit=1) == ["queued", "cancelled"]
            assert await _ids(scene, ListFilter(ALICE, statuses=("new-status",)), limit=5) == []
            assert await _ids(scene, ListFilter(ALICE, action="export"), limit=5) == ["other"]

    @clause("10.47.4", "10.47.5")
    async def test_pages_are_stable_while_requests_come_change_and_go(self) -> None:
        async with self.scene() as scene:
            for n in range(30):
                await scene.submit(f"r{n:02}", action=f"a{n}")
                if n % 3:
                    scene.clock.advance(1)
            first = await scene.store.list(ListFilter(ALICE), limit=10)
            await scene.submit("newer")
            for record in first.records[5:8]:
                await scene.store.request_cancel(record.key, None)
                await scene.store.delete(record.key)
            gone = key_of("r05")
            await scene.store.request_cancel(gone, None)
            await scene.store.delete(gone)
            seen = [record.key.id for record in first.records]
            cursor = first.next_cursor
            while cursor is not None:
                page = await scene.store.list(ListFilter(ALICE), limit=7, cursor=cursor)
                seen += [record.key.id for record in page.records]
                cursor = page.next_cursor
            assert len(seen) == len(set(seen))
            assert set(seen) == {f"r{n:02}" for n in range(30)} - {"r05"}

    @clause("10.47.3")
    async def test_each_page_keeps_to_the_filter_as_requests_are_then(self) -> None:
        async with self.scene() as scene:
            for n in range(5):
                await scene.submit(f"r{n}")
            where = ListFilter(ALICE, statuses=("queued",))
            first = await scene.store.list(where, limit=2)
            await scene.store.request_cancel(key_of("r1"), None)
            rest = await scene.store.list(where, limit=9, cursor=first.next_cursor)
            pages = [[record.key.id for record in page.records] for page in (first, rest)]
            assert pages == [["r4", "r3"], ["r2", "r0"]]

    @clause("4.6.6")
    async def test_a_full_last_page_has_no_cursor(self) -> None:
        async with self.scene() as scene:
            for n in range(4):
                await scene.submit(f"r{n}")
            first = await scene.store.list(ListFilter(ALICE), limit=2)
            assert first.next_cursor is not None
            second = await scene.store.list(ListFilter(ALICE), limit=2, cursor=first.next_cursor)
            assert (len(second.records), second.next_cursor) == (2, None)

    @clause("4.6.7", "10.47.2")
    async def test_a_cursor_belongs_to_its_owner_and_filter(self) -> None:
        async with self.scene() as scene:
            for n in range(3):
                await scene.submit(f"r{n}")
                await scene.submit(f"r{n}", BOB)
            where = ListFilter(ALICE, statuses=("queued", "failed"))
            cursor = (await scene.store.list(where, limit=1)).next_cursor
            assert cursor is not None
            same = ListFilter(ALICE, statuses=("failed", "queued"))
            page = await scene.store.list(same, limit=1, cursor=cursor)
            assert [record.key.id for record in page.records] == ["r1"]
            for other in (
                ListFilter(BOB, statuses=("queued", "failed")),
                ListFilter(ALICE),
                ListFilter(ALICE, statuses=("queued",)),
                ListFilter(ALICE, statuses=("queued", "failed"), action="report"),
            ):
                with raises(BadCursor):
                    await scene.store.list(other, limit=1, cursor=cursor)
            for made_up in ("", "x", "ü", "=" * 40, cursor[:-3], "A" + cursor, cursor + "A"):
                with raises(BadCursor):
                    await scene.store.list(where, limit=1, cursor=made_up)


async def _ids(scene: Scene, where: ListFilter, *, limit: int) -> list[str]:
    """The ids of a whole listing, page after page."""
    ids: list[str] = []
    cursor: str | None = None
    while True:
        page = await scene.store.list(where, limit=limit, cursor=cursor)
        assert len(page.records) <= limit
        ids += [record.key.id for record in page.records]
        cursor = page.next_cursor
        if cursor is None:
            return ids
