# SPDX-License-Identifier: Apache-2.0
"""The verbs that write, each inside a transaction that its caller begins and commits.

A verb reads, asks `stores.changes` what follows, and writes that down. Refusals are raised before
the first write: the writer relies on it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from longcall_server.core import lifecycle
from longcall_server.core.events import EventDraft
from longcall_server.stores import changes
from longcall_server.stores.base import (
    Claimed,
    Clock,
    IdTaken,
    Lease,
    NewRequest,
    Owner,
    Promotion,
    Record,
    Renewal,
    Renewed,
    RequestKey,
    StoredFile,
    StoredProgress,
    SubmitOutcome,
    Submitted,
)
from longcall_server.stores.changes import Change, Changes, Failure
from longcall_server.stores.sqlite.records import (
    BY_KEY,
    BY_RECORD_ID,
    SELECT_RECORD,
    SELECT_WHOLE_RECORD,
    changed_columns,
    new_row,
    record_of,
    with_outcome,
)

RIPEN_LIMIT = 5_000
"""The most delayed requests that one claim makes ready: bounds its transaction."""

_RIPEN = """
    UPDATE requests SET is_ready = 1 WHERE record_id IN (
        SELECT record_id FROM requests INDEXED BY requests_waiting
        WHERE is_ready = 0 AND due_at <= ? ORDER BY due_at LIMIT ?)"""
CLAIMABLE = """
    SELECT -priority, created_at, record_id FROM requests INDEXED BY requests_ready
    WHERE is_ready = 1 AND action = ? AND (deadline_at IS NULL OR deadline_at > ?)
    ORDER BY priority DESC, created_at, record_id LIMIT ?"""
_LOOK_UP = """
    SELECT o.owner_id, o.in_flight, r.record_id, t.id IS NOT NULL
    FROM owners o
    LEFT JOIN requests r ON r.owner_id = o.owner_id AND r.id = ?3
    LEFT JOIN tombstones t ON t.owner_id = o.owner_id AND t.id = ?3
    WHERE o.tenant_id = ?1 AND o.sub = ?2"""
_KEEP_PROGRESS = """
    INSERT INTO progress (record_id, attempt, version, body) VALUES (?, ?, ?, ?)
    ON CONFLICT (record_id) DO UPDATE
    SET attempt = excluded.attempt, version = excluded.version, body = excluded.body"""
_KEEP_CHECKPOINT = """
    INSERT INTO checkpoints (record_id, checkpoint) VALUES (?, ?)
    ON CONFLICT (record_id) DO UPDATE SET checkpoint = excluded.checkpoint"""


@dataclass(frozen=True, slots=True)
class _Place:
    """What is known of an id before a request is stored under it."""

    owner_id: int
    in_flight: int
    record_id: int | None
    has_tombstone: bool


class Writes:
    """The writing verbs over one connection, in a transaction."""

    def __init__(self, connection: sqlite3.Connection, rules: Changes, clock: Clock) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._rules = rules
        self._now = clock()

    # --- Requests enter ---------------------------------------------------------------------------

    def submit(self, new: NewRequest, max_in_flight: int, promotion: Promotion | None) -> Submitted:
        """See `Store.submit`."""
        place = self._look_up(new.key)
        if place is not None:
            if place.record_id is not None:
                record = with_outcome(self._connection, self.present(place.record_id))
                return changes.submitted_before(record, new, promotion)
            if place.has_tombstone:
                return Submitted(SubmitOutcome.EXPIRED)
        if (0 if place is None else place.in_flight) >= max_in_flight:
            return Submitted(SubmitOutcome.OVER_LIMIT)
        change = changes.created(new, promotion, self._next_record_id(), self._now)
        self._insert(change, new.payload, place)
        lease = None if promotion is None else changes.lease_of(change.record)
        return Submitted(SubmitOutcome.CREATED, change.record, lease)

    def requeue(self, key: RequestKey, new_id: str) -> Record | None:
        """See `Store.requeue`."""
        row = self._execute(SELECT_WHOLE_RECORD + BY_KEY, _key(key)).fetchone()
        if row is None:
            return None
        record = record_of(row)
        if not changes.can_requeue(record):
            return None
        place = self._look_up(RequestKey(key.owner, new_id))
        if place is not None and place.record_id is not None:
            taken = self.present(place.record_id)
            if taken.requeued_from == key.id:
                return with_outcome(self._connection, taken)
        if place is not None and (place.record_id is not None or place.has_tombstone):
            raise IdTaken(f"the id {new_id} stands for another request")
        new, change = changes.requeued(
            record, record.payload, new_id, self._next_record_id(), self._now
        )
        self._insert(change, new.payload, place)
        return change.record

    # --- Attempts ---------------------------------------------------------------------------------

    def claim(
        self, worker: str, actions: Sequence[str], limit: int, lease_ms: int
    ) -> list[Claimed]:
        """See `Store.claim`."""
        self.ripen()
        found: list[tuple[int, int, int]] = []
        for action in set(actions):
            found += self._execute(CLAIMABLE, (action, self._now, limit))
        found.sort()
        claimed = []
        for _, _, record_id in found[:limit]:
            row = self._execute(SELECT_WHOLE_RECORD + BY_RECORD_ID, (record_id,)).fetchone()
            record = record_of(row)
            change = self._rules.claimed(record, self._now, worker=worker, lease_ms=lease_ms)
            self.write(record, change)
            if not lifecycle.is_finished(change.record.status):
                claimed.append(Claimed(change.record, changes.lease_of(change.record)))
        return claimed

    def renew(self, renewals: Sequence[Renewal], lease_ms: int) -> list[Renewed]:
        """See `Store.renew`."""
        answers = []
        for renewal in renewals:
            record = self.find(renewal.lease.record_id)
            change, answer = changes.renewed(record, renewal, lease_ms, self._now)
            if record is not None and change is not None:
                self.write(record, change)
            answers.append(answer)
        return answers

    def append(
        self, lease: Lease, draft: EventDraft | None, operation: int, checkpoint: str | None
    ) -> int:
        """See `Store.append`."""
        record = self.find(lease.record_id)
        change = self._rules.appended(
            record,
            lease,
            self._now,
            draft=draft,
            operation=operation,
            with_checkpoint=checkpoint is not None,
        )
        assert record is not None  # `appended` has raised Fenced otherwise
        if change is None:
            return record.last_seq
        self.write(record, change)
        if checkpoint is not None:
            self._execute(_KEEP_CHECKPOINT, (record.record_id, checkpoint))
        return change.record.last_seq

    def complete(
        self,
        lease: Lease,
        result: str,
        progress: StoredProgress | None,
        files: Sequence[StoredFile],
    ) -> Record:
        """See `Store.complete`."""
        record = self.find(lease.record_id)
        change = self._rules.completed(
            record, lease, self._now, result=result, progress=progress, files=files
        )
        assert record is not None  # `completed` has raised Fenced otherwise
        return self._finished(record, change)

    def fail(self, lease: Lease, failure: Failure) -> Record:
        """See `Store.fail`."""
        record = self.find(lease.record_id)
        change = self._rules.failed(record, lease, self._now, failure)
        assert record is not None  # `failed` has raised Fenced otherwise
        return self._finished(record, change)

    def request_cancel(self, key: RequestKey, reason: str | None) -> Record | None:
        """See `Store.request_cancel`."""
        row = self._execute(SELECT_RECORD + BY_KEY, _key(key)).fetchone()
        if row is None:
            return None
        record = record_of(row)
        return self._finished(record, changes.requested_cancel(record, reason, self._now))

    def _finished(self, record: Record, change: Change | None) -> Record:
        if change is None:
            return with_outcome(self._connection, record)
        self.write(record, change)
        return change.record

    # --- Rows -------------------------------------------------------------------------------------

    def find(self, record_id: int) -> Record | None:
        """Reads a record without its large parts."""
        row = self._execute(SELECT_RECORD + BY_RECORD_ID, (record_id,)).fetchone()
        return None if row is None else record_of(row)

    def present(self, record_id: int) -> Record:
        """Reads a record that is known to be there."""
        record = self.find(record_id)
        assert record is not None
        return record

    def write(self, before: Record, change: Change) -> None:
        """Writes what a change changed, and the events that it added."""
        after = change.record
        columns = changed_columns(before, after, self._now)
        if columns:
            statement = _update(tuple(columns))
            self._execute(statement, (*columns.values(), after.record_id))
        if after.progress is not None and after.progress != before.progress:
            kept = after.progress
            values = (after.record_id, kept.attempt, kept.version, kept.body)
            self._execute(_KEEP_PROGRESS, values)
        self._add_events(change)
        if lifecycle.is_finished(after.status) and not lifecycle.is_finished(before.status):
            self._count_in_flight(after.key.owner, -1)

    def ripen(self) -> None:
        """Shows claims what became due, in the order of claims."""
        self._execute(_RIPEN, (self._now, RIPEN_LIMIT))

    def _insert(self, change: Change, payload: str, place: _Place | None) -> None:
        record = change.record
        owner_id = self._new_owner(record.key.owner) if place is None else place.owner_id
        row = new_row(record, owner_id, self._now)
        self._execute(_insert(tuple(row)), tuple(row.values()))
        self._execute(
            "INSERT INTO payloads (record_id, payload) VALUES (?, ?)", (record.record_id, payload)
        )
        if record.progress is not None:
            kept = record.progress
            values = (record.record_id, kept.attempt, kept.version, kept.body)
            self._execute(_KEEP_PROGRESS, values)
        self._add_events(change)
        self._count_in_flight(record.key.owner, 1)

    def _add_events(self, change: Change) -> None:
        record_id = change.record.record_id
        for event in change.events:
            self._execute(
                "INSERT INTO events (record_id, seq, frame) VALUES (?, ?, ?)",
                (record_id, event.seq, event.frame),
            )

    def _count_in_flight(self, owner: Owner, difference: int) -> None:
        self._execute(
            "UPDATE owners SET in_flight = in_flight + ? WHERE tenant_id = ? AND sub = ?",
            (difference, owner.tenant_id, owner.sub),
        )

    def _look_up(self, key: RequestKey) -> _Place | None:
        row = self._execute(_LOOK_UP, _key(key)).fetchone()
        return None if row is None else _Place(*row)

    def _new_owner(self, owner: Owner) -> int:
        cursor = self._execute(
            "INSERT INTO owners (tenant_id, sub) VALUES (?, ?)", (owner.tenant_id, owner.sub)
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _next_record_id(self) -> int:
        row = self._execute("SELECT seq FROM sqlite_sequence WHERE name = 'requests'").fetchone()
        return 1 if row is None else int(row[0]) + 1


def _key(key: RequestKey) -> tuple[str, str, str]:
    return key.owner.tenant_id, key.owner.sub, key.id


@lru_cache(maxsize=256)
def _update(columns: tuple[str, ...]) -> str:
    assignments = ", ".join(f"{column} = ?" for column in columns)
    return f"UPDATE requests SET {assignments} WHERE record_id = ?"


@lru_cache(maxsize=4)
def _insert(columns: tuple[str, ...]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO requests ({', '.join(columns)}) VALUES ({marks})"
