# SPDX-License-Identifier: Apache-2.0
"""The verbs that read, each from one snapshot of what is committed (PROTOCOL 10.28)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from longcall_server.core import lifecycle
from longcall_server.stores.base import (
    DeadLetterFilter,
    ListFilter,
    LogSlice,
    Page,
    Record,
    RequestKey,
    StoredEvent,
    Tombstone,
)
from longcall_server.stores.cursors import decode_cursor, encode_cursor
from longcall_server.stores.sqlite.records import (
    RECORD_BY_KEY,
    SELECT_RECORD,
    WHOLE_RECORD_BY_KEY,
    record_of,
    tombstone_of,
    with_outcome,
)

_TOMBSTONE = """
    SELECT o.tenant_id, o.sub, t.id, t.digest, t.created_at, t.expires_at
    FROM tombstones t JOIN owners o USING (owner_id)
    WHERE o.tenant_id = ? AND o.sub = ? AND t.id = ?"""
EVENTS = "SELECT seq, frame FROM events WHERE record_id = ? AND seq > ? ORDER BY seq"
LISTING_STEP = 10_000
"""How many requests one step of a filtered listing looks at."""
LISTING_BYTES = 4_194_304
"""Progress that one page holds at most, but for a single request's."""
_OWNER = "SELECT owner_id FROM owners WHERE tenant_id = ? AND sub = ?"


def get(connection: sqlite3.Connection, key: RequestKey) -> Record | Tombstone | None:
    """See `Store.get`."""
    row = connection.execute(WHOLE_RECORD_BY_KEY, _place(key)).fetchone()
    if row is not None:
        return with_outcome(connection, record_of(row))
    row = connection.execute(_TOMBSTONE, _place(key)).fetchone()
    return None if row is None else tombstone_of(row)


def read(
    connection: sqlite3.Connection, key: RequestKey, after_seq: int, max_bytes: int
) -> LogSlice | None:
    """See `Store.read`."""
    row = connection.execute(RECORD_BY_KEY, _place(key)).fetchone()
    if row is None:
        return None
    record = with_outcome(connection, record_of(row))
    finished = lifecycle.is_finished(record.status)
    events: list[StoredEvent] = []
    size = 0
    cursor = connection.execute(EVENTS, (record.record_id, after_seq))
    for seq, frame in cursor:
        size += len(frame)
        if events and size > max_bytes:
            break
        events.append(StoredEvent(seq, frame, finished and seq == record.last_seq))
    cursor.close()
    return LogSlice(record, tuple(events))


class Listing:
    """One page of a listing, looked for in several steps, each from its own snapshot."""

    def __init__(self, where: ListFilter, limit: int, cursor: str | None) -> None:
        self.is_over = False
        self._where = where
        self._limit = limit
        self._before = None if cursor is None else decode_cursor(where, cursor)
        self._records: list[Record] = []
        self._bytes = 0

    def step(self, connection: sqlite3.Connection) -> None:
        """Looks at the next `LISTING_STEP` requests of the owner."""
        where = self._where
        row = connection.execute(_OWNER, (where.owner.tenant_id, where.owner.sub)).fetchone()
        if row is None:
            self.is_over = True
            return
        (owner_id,) = row
        floor: tuple[int, str] | None = None
        if where.statuses or where.action is not None:
            query, values = listing_floor_query(owner_id, self._before)
            floor = connection.execute(query, (*values, LISTING_STEP - 1)).fetchone()
        query, values = listing_query(owner_id, where, self._before, floor)
        left = self._limit + 1 - len(self._records)
        rows = connection.execute(query, (*values, left))
        for row in rows:
            self._take(record_of(row))
            if len(self._records) > self._limit:
                break
        rows.close()
        self._before = floor
        self.is_over = floor is None or len(self._records) > self._limit

    def _take(self, record: Record) -> None:
        """Adds one to the page, which ends before what would make it too large."""
        self._records.append(record)
        self._bytes += 0 if record.progress is None else len(record.progress.body)
        if self._bytes > LISTING_BYTES and len(self._records) > 1:
            self._limit = len(self._records) - 1

    def page(self) -> Page:
        """What was found."""
        records = tuple(self._records[: self._limit])
        if len(self._records) == len(records):
            return Page(records)
        last = records[-1]
        return Page(records, encode_cursor(self._where, last.created_at, last.key.id))


def listing_floor_query(owner_id: int, before: tuple[int, str] | None) -> tuple[str, list[Any]]:
    """The query of the last request that a step looks at, and its values but for the last one: how
    many it skips."""
    condition, values = "", list[Any]((owner_id,))
    if before is not None:
        condition, values = " AND (created_at, id) < (?, ?)", [owner_id, *before]
    return (
        "SELECT created_at, id FROM requests INDEXED BY requests_listed"
        f" WHERE owner_id = ?{condition} ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET ?"
    ), values


def listing_query(
    owner_id: int,
    where: ListFilter,
    before: tuple[int, str] | None,
    floor: tuple[int, str] | None = None,
) -> tuple[str, list[Any]]:
    """The query of a listing and its values, but for the last one: the limit."""
    conditions: list[str] = ["r.owner_id = ?"]
    values: list[Any] = [owner_id]
    if before is not None:
        conditions.append("(r.created_at, r.id) < (?, ?)")
        values += before
    if floor is not None:
        conditions.append("(r.created_at, r.id) >= (?, ?)")
        values += floor
    if where.statuses:
        conditions.append(f"r.status IN ({', '.join('?' * len(where.statuses))})")
        values += where.statuses
    if where.action is not None:
        conditions.append("r.action = ?")
        values.append(where.action)
    rest = f"WHERE {' AND '.join(conditions)} ORDER BY r.created_at DESC, r.id DESC LIMIT ?"
    return f"{SELECT_RECORD} {rest}", values


def dead_letters(
    connection: sqlite3.Connection, where: DeadLetterFilter, limit: int, after: Record | None
) -> Sequence[Record]:
    """See `Store.dead_letters`."""
    place = None if after is None else (after.finished_at or 0, after.record_id)
    query, values = dead_letters_query(where, place)
    rows = connection.execute(query, (*values, limit)).fetchall()
    return [with_outcome(connection, record_of(row)) for row in rows]


def dead_letters_query(
    where: DeadLetterFilter, before: tuple[int, int] | None
) -> tuple[str, list[str | int | None]]:
    """The query of a page of dead letters and its values, but for the last one: the limit."""
    asked: tuple[tuple[str, str | int | None], ...] = (
        ("r.tenant_id = ?", where.tenant_id),
        ("r.sub = ?", where.sub),
        ("r.action = ?", where.action),
        ("r.id = ?", where.id),
        ("r.finished_at < ?", where.ended_before),
    )
    conditions = ["r.status = 'failed'"]
    values: list[str | int | None] = []
    for condition, value in asked:
        if value is not None:
            conditions.append(condition)
            values.append(value)
    if before is not None:
        conditions.append("(r.finished_at, r.record_id) < (?, ?)")
        values += before
    order = "ORDER BY r.finished_at DESC, r.record_id DESC LIMIT ?"
    return f"{SELECT_RECORD} WHERE {' AND '.join(conditions)} {order}", values


def _place(key: RequestKey) -> tuple[str, str, str]:
    return key.owner.tenant_id, key.owner.sub, key.id
