# SPDX-License-Identifier: Apache-2.0
"""The verbs that write, each inside a transaction that its caller begins and commits.

A verb reads, asks `stores.changes` what follows, and writes that down. Refusals are raised before
the first write: the writer relies on it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache

from longcall_server.core import lifecycle, scheduling
from longcall_server.core.events import EventDraft
from longcall_server.core.scheduling import ConcurrencyLimits, Turns
from longcall_server.stores import changes
from longcall_server.stores.base import (
    Claimed,
    Clock,
    IdTaken,
    Lease,
    NewRequest,
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
from longcall_server.stores.sqlite.counts import Counts, Owned
from longcall_server.stores.sqlite.queues import Queues
from longcall_server.stores.sqlite.records import (
    INSERT_REQUEST,
    RECORD_BY_ID,
    RECORD_BY_KEY,
    WHOLE_RECORD_BY_ID,
    WHOLE_RECORD_BY_KEY,
    changed_columns,
    new_row,
    record_of,
    with_outcome,
)

RIPEN_LIMIT = 5_000
"""The most delayed requests that one claim makes ready: bounds its transaction."""

RIPEN = """
    UPDATE requests SET is_ready = 1 WHERE record_id IN (
        SELECT record_id FROM requests INDEXED BY requests_waiting
        WHERE is_ready = 0 AND due_at <= ? ORDER BY due_at LIMIT ?)"""
_LOOK_UP = """
    SELECT (SELECT record_id FROM requests WHERE owner_id = ?1 AND id = ?2),
        EXISTS (SELECT 1 FROM tombstones WHERE owner_id = ?1 AND id = ?2)"""
_KEEP_PROGRESS = """
    INSERT INTO progress (record_id, attempt, version, body) VALUES (?, ?, ?, ?)
    ON CONFLICT (record_id) DO UPDATE
    SET attempt = excluded.attempt, version = excluded.version, body = excluded.body"""
_KEEP_CHECKPOINT = """
    INSERT INTO checkpoints (record_id, checkpoint) VALUES (?, ?)
    ON CONFLICT (record_id) DO UPDATE SET checkpoint = excluded.checkpoint"""


class Writes:
    """The writing verbs over one connection, within one transaction.

    What many verbs of a transaction would write again and again is written at its end: `flush`.
    """

    def __init__(
        self, connection: sqlite3.Connection, rules: Changes, turns: Turns, clock: Clock
    ) -> None:
        self.connection = connection
        self.rules = rules
        self._turns = turns
        self.now = clock()
        self._execute = connection.execute
        self._counts = Counts(connection)
        self._last_record_id: int | None = None
        self._has_ripened = False

    def flush(self) -> None:
        """Writes the counts of owners and tenants."""
        self._counts.flush()

    # --- Requests enter ---------------------------------------------------------------------------

    def submit(self, new: NewRequest, max_in_flight: int, promotion: Promotion | None) -> Submitted:
        """See `Store.submit`."""
        owned = self._counts.find(new.key.owner)
        if owned is not None:
            record_id, has_tombstone = self._look_up(owned, new.key.id)
            if record_id is not None:
                record = with_outcome(self.connection, self.present(record_id))
                return changes.submitted_before(record, new, promotion)
            if has_tombstone:
                return Submitted(SubmitOutcome.EXPIRED)
        if (0 if owned is None else owned.in_flight) >= max_in_flight:
            return Submitted(SubmitOutcome.OVER_LIMIT)
        if promotion is None and self._is_full(new.key.owner.tenant_id):
            return Submitted(SubmitOutcome.TENANT_FULL)
        change = changes.created(new, promotion, self._next_record_id(), self.now)
        self._insert(change, new.payload)
        lease = None if promotion is None else changes.lease_of(change.record)
        return Submitted(SubmitOutcome.CREATED, change.record, lease)

    def requeue(self, key: RequestKey, new_id: str) -> Record | None:
        """See `Store.requeue`."""
        row = self._execute(WHOLE_RECORD_BY_KEY, _key(key)).fetchone()
        if row is None:
            return None
        record = record_of(row)
        if not changes.can_requeue(record):
            return None
        owned = self._counts.present(key.owner)
        taken_id, has_tombstone = self._look_up(owned, new_id)
        if taken_id is not None:
            taken = self.present(taken_id)
            if taken.requeued_from == key.id:
                return with_outcome(self.connection, taken)
        if taken_id is not None or has_tombstone:
            raise IdTaken(f"the id {new_id} stands for another request")
        new, change = changes.requeued(
            record, record.payload, new_id, self._next_record_id(), self.now
        )
        self._insert(change, new.payload)
        return change.record

    # --- Attempts ---------------------------------------------------------------------------------

    def claim(
        self,
        worker: str,
        actions: Sequence[str],
        limit: int,
        lease_ms: int,
        concurrency: ConcurrencyLimits,
    ) -> list[Claimed]:
        """See `Store.claim`."""
        if not self._has_ripened:
            self.ripen()
        queues = Queues(self.connection, self.now, self._counts.tenant)
        picked = scheduling.pick(
            queues, actions, queues.running(), concurrency, self._turns, limit=limit
        )
        claimed = []
        for record_id in picked:
            row = self._execute(WHOLE_RECORD_BY_ID, (record_id,)).fetchone()
            record = record_of(row)
            change = self.rules.claimed(record, self.now, worker=worker, lease_ms=lease_ms)
            self.write(record, change)
            if not lifecycle.is_finished(change.record.status):
                claimed.append(Claimed(change.record, changes.lease_of(change.record)))
        return claimed

    def renew(self, renewals: Sequence[Renewal], lease_ms: int) -> list[Renewed]:
        """See `Store.renew`."""
        answers = []
        for renewal in renewals:
            record = self.find(renewal.lease.record_id)
            change, answer = changes.renewed(record, renewal, lease_ms, self.now)
            if record is not None and change is not None:
                self.write(record, change)
            answers.append(answer)
        return answers

    def append(
        self, lease: Lease, draft: EventDraft | None, operation: int, checkpoint: str | None
    ) -> int:
        """See `Store.append`."""
        record = self.find(lease.record_id)
        change = self.rules.appended(
            record,
            lease,
            self.now,
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
        change = self.rules.completed(
            record, lease, self.now, result=result, progress=progress, files=files
        )
        assert record is not None  # `completed` has raised Fenced otherwise
        return self._finished(record, change)

    def fail(self, lease: Lease, failure: Failure) -> Record:
        """See `Store.fail`."""
        record = self.find(lease.record_id)
        change = self.rules.failed(record, lease, self.now, failure)
        assert record is not None  # `failed` has raised Fenced otherwise
        return self._finished(record, change)

    def request_cancel(self, key: RequestKey, reason: str | None) -> Record | None:
        """See `Store.request_cancel`."""
        row = self._execute(RECORD_BY_KEY, _key(key)).fetchone()
        if row is None:
            return None
        record = record_of(row)
        return self._finished(record, changes.requested_cancel(record, reason, self.now))

    def _finished(self, record: Record, change: Change | None) -> Record:
        if change is None:
            return with_outcome(self.connection, record)
        self.write(record, change)
        return change.record

    # --- Rows -------------------------------------------------------------------------------------

    def find(self, record_id: int) -> Record | None:
        """Reads a record without its large parts."""
        row = self._execute(RECORD_BY_ID, (record_id,)).fetchone()
        return None if row is None else record_of(row)

    def present(self, record_id: int) -> Record:
        """Reads a record that is known to be there."""
        record = self.find(record_id)
        assert record is not None
        return record

    def write(self, before: Record, change: Change) -> None:
        """Writes what a change changed, and the events that it added."""
        after = change.record
        columns = changed_columns(before, after, self.now)
        if columns:
            statement = _update(tuple(columns))
            self._execute(statement, (*columns.values(), after.record_id))
        if after.progress is not None and after.progress != before.progress:
            self._keep_progress(after.record_id, after.progress)
        self._add_events(change)
        if after.status is not before.status:
            self._count(before, -1)
            self._count(after, 1)

    def ripen(self) -> None:
        """Shows claims what became due, in the order of claims."""
        self._execute(RIPEN, (self.now, RIPEN_LIMIT))
        self._has_ripened = True

    def forget_owner(self, owner_id: int) -> None:
        """Removes an owner of whom nothing is left."""
        self._counts.forget(owner_id)

    def _insert(self, change: Change, payload: str) -> None:
        record = change.record
        owned = self._counts.found_or_made(record.key.owner)
        self._execute(INSERT_REQUEST, new_row(record, owned.owner_id, self.now))
        self._execute(
            "INSERT INTO payloads (record_id, payload) VALUES (?, ?)", (record.record_id, payload)
        )
        if record.progress is not None:
            self._keep_progress(record.record_id, record.progress)
        self._add_events(change)
        self._count(record, 1)

    def _count(self, record: Record, change: int) -> None:
        if not lifecycle.is_finished(record.status):
            self._counts.present(record.key.owner).in_flight += change
        if record.status in lifecycle.WAITING:
            self._counts.tenant(record.key.owner.tenant_id).waiting += change

    def _is_full(self, tenant_id: str) -> bool:
        limit = self.rules.limits.max_waiting_per_tenant
        return self._counts.tenant(tenant_id).waiting >= limit

    def _keep_progress(self, record_id: int, progress: StoredProgress) -> None:
        values = (record_id, progress.attempt, progress.version, progress.body)
        self._execute(_KEEP_PROGRESS, values)

    def _add_events(self, change: Change) -> None:
        record_id = change.record.record_id
        for event in change.events:
            self._execute(
                "INSERT INTO events (record_id, seq, frame) VALUES (?, ?, ?)",
                (record_id, event.seq, event.frame),
            )

    def _look_up(self, owned: Owned, id: str) -> tuple[int | None, bool]:
        """Returns the number of the record under an id, and whether a tombstone is there."""
        record_id, has_tombstone = self._execute(_LOOK_UP, (owned.owner_id, id)).fetchone()
        return record_id, bool(has_tombstone)

    def _next_record_id(self) -> int:
        if self._last_record_id is None:
            row = self._execute(
                "SELECT seq FROM sqlite_sequence WHERE name = 'requests'"
            ).fetchone()
            self._last_record_id = 0 if row is None else int(row[0])
        self._last_record_id += 1
        return self._last_record_id


def _key(key: RequestKey) -> tuple[str, str, str]:
    return key.owner.tenant_id, key.owner.sub, key.id


@lru_cache(maxsize=256)
def _update(columns: tuple[str, ...]) -> str:
    assignments = ", ".join(f"{column} = ?" for column in columns)
    return f"UPDATE requests SET {assignments} WHERE record_id = ?"
