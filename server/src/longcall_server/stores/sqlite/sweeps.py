# SPDX-License-Identifier: Apache-2.0
"""What time does: lost leases, deadlines, retention. Verbs inside a transaction, like `writes`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from longcall_server.core import lifecycle
from longcall_server.core.lifecycle import Overdue
from longcall_server.stores.base import Record, RequestKey, StoredFile, Swept
from longcall_server.stores.sqlite.records import RECORD_BY_KEY, record_of
from longcall_server.stores.sqlite.writes import Writes
from longcall_server.stores.workers import is_dead

STEP = 100
"""The most requests that one transaction sweeps; others get their turn in between."""
STEP_BYTES = 8_388_608
"""About how many bytes of logs one transaction removes."""

OVERDUE = """
    SELECT record_id FROM requests INDEXED BY requests_swept
    WHERE sweep_at <= ? ORDER BY sweep_at LIMIT ?"""
LEASED = "SELECT DISTINCT lease_worker FROM requests WHERE lease_worker IS NOT NULL"
LEASED_BY = "SELECT record_id FROM requests WHERE lease_worker = ? LIMIT ?"
NEXT_DUE = """
    SELECT min(at) FROM (
        SELECT min(sweep_at) AS at FROM requests WHERE sweep_at IS NOT NULL
        UNION ALL SELECT min(due_at) FROM requests WHERE is_ready = 0
        UNION ALL SELECT min(expires_at) FROM tombstones)"""
_HAS_READY = """
    SELECT EXISTS (SELECT 1 FROM requests INDEXED BY requests_ready
        WHERE is_ready = 1 AND (deadline_at IS NULL OR deadline_at > ?))"""
FORGOTTEN = """
    SELECT owner_id, id FROM tombstones WHERE expires_at <= ? ORDER BY expires_at LIMIT ?"""


@dataclass
class Sweep:
    """One sweep over several transactions; it collects what they changed."""

    left: int
    """How many more requests it may touch."""
    changed: list[RequestKey] = field(default_factory=list)
    removed: list[RequestKey] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    is_over: bool = False
    work_available: bool = False
    next_due_at: int | None = None

    def add(self, step: Sweep) -> None:
        """Takes in what one more transaction did."""
        self.left = step.left
        self.changed += step.changed
        self.removed += step.removed
        self.files += step.files
        self.is_over = step.is_over
        self.work_available = step.work_available
        self.next_due_at = step.next_due_at

    def swept(self) -> Swept:
        """What is told of it."""
        return Swept(
            changed=tuple(self.changed),
            removed=tuple(self.removed),
            files=tuple(self.files),
            work_available=self.work_available,
            next_due_at=self.next_due_at,
        )


class Sweeps:
    """The verbs of time, within the transaction of `writes`."""

    def __init__(self, writes: Writes) -> None:
        self._writes = writes
        self._execute = writes.connection.execute
        self._rules = writes.rules
        self._now = writes.now

    def step(self, limit: int) -> Sweep:
        """Sweeps the next few; `is_over` says that nothing more is due or may be touched."""
        # A worker of this machine that was killed is noticed here: nobody waits for its lease.
        done = Sweep(left=limit, changed=self.take_back(min(limit, STEP)))
        done.left -= len(done.changed)
        count = min(limit, STEP) - len(done.changed)
        rows = self._execute(OVERDUE, (self._now, count)).fetchall()
        removed_bytes = 0
        is_cut_short = False
        for (record_id,) in rows:
            record = self._writes.present(record_id)
            what = lifecycle.overdue(record, self._now)
            assert what is not None  # `sweep_at` is always that of the record
            if what is Overdue.REMOVE:
                if removed_bytes and removed_bytes + record.log_bytes > STEP_BYTES:
                    is_cut_short = True
                    break
                removed_bytes += record.log_bytes
                done.files += [file.location for file in self._remove(record)]
                done.removed.append(record.key)
            else:
                self._writes.write(record, self._rules.swept(record, what, self._now))
                done.changed.append(record.key)
            done.left -= 1
        done.is_over = done.left == 0 or (len(rows) < count and not is_cut_short)
        if done.is_over:
            self._forget(max(limit, STEP))
            self._writes.ripen()
            (done.next_due_at,) = self._execute(NEXT_DUE).fetchone()
            (has_ready,) = self._execute(_HAS_READY, (self._now,)).fetchone()
            done.work_available = bool(has_ready)
        return done

    def touch(self) -> None:
        """Changes nothing, and has pages to write: whether the disk takes them, the commit tells.

        (SQLite writes no page for an UPDATE that leaves a row as it was.)
        """
        self._execute("INSERT INTO owners (owner_id, tenant_id, sub) VALUES (0, '', '')")
        self._execute("DELETE FROM owners WHERE owner_id = 0")

    def delete(self, key: RequestKey) -> tuple[StoredFile, ...] | None:
        """See `Store.delete`."""
        place = (key.owner.tenant_id, key.owner.sub, key.id)
        row = self._execute(RECORD_BY_KEY, place).fetchone()
        if row is None:
            return None
        record = record_of(row)
        return self._remove(record) if lifecycle.is_finished(record.status) else None

    def take_back(self, limit: int = sys.maxsize, *, everyone: bool = False) -> list[RequestKey]:
        """Takes leases of dead processes back; all that use this file are on this machine.

        `everyone`: this is a copy of the file that no worker has ever seen.
        """
        changed: list[RequestKey] = []
        for (worker,) in self._execute(LEASED).fetchall():
            if not everyone and not is_dead(worker, one_machine=True):
                continue
            left = limit - len(changed)
            for (record_id,) in self._execute(LEASED_BY, (worker, left)).fetchall():
                record = self._writes.present(record_id)
                change = self._rules.taken_back(record, self._now, worker_is_dead=True)
                self._writes.write(record, change)
                changed.append(record.key)
        return changed

    def _remove(self, record: Record) -> tuple[StoredFile, ...]:
        stone = self._rules.tombstone(record, self._now)
        self._execute(
            "INSERT INTO tombstones (owner_id, id, digest, created_at, expires_at)"
            " SELECT owner_id, id, digest, created_at, ? FROM requests WHERE record_id = ?",
            (stone.expires_at, record.record_id),
        )
        self._execute("DELETE FROM requests WHERE record_id = ?", (record.record_id,))
        return record.files

    def _forget(self, limit: int) -> None:
        owners = set()
        for owner_id, id in self._execute(FORGOTTEN, (self._now, limit)).fetchall():
            self._execute("DELETE FROM tombstones WHERE owner_id = ? AND id = ?", (owner_id, id))
            owners.add(owner_id)
        for owner_id in owners:
            self._writes.forget_owner(owner_id)
