# SPDX-License-Identifier: Apache-2.0
"""The store in memory: for tests and simulations, and the model for the other engines.

No verb awaits anything, so on one event loop each is a transaction. Nothing survives the process.
"""

from __future__ import annotations

import bisect
import heapq
import random as _random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from longcall_server.core import lifecycle, scheduling
from longcall_server.core.codes import RequestStatus
from longcall_server.core.events import EventDraft
from longcall_server.core.lifecycle import Overdue
from longcall_server.core.scheduling import UNLIMITED, ConcurrencyLimits, Running, Turns, Waiting
from longcall_server.stores import changes
from longcall_server.stores.base import (
    Claimed,
    Clock,
    DeadLetterFilter,
    IdTaken,
    Lease,
    ListFilter,
    LogSlice,
    NewRequest,
    Owner,
    Page,
    Promotion,
    Random,
    Record,
    Renewal,
    Renewed,
    RequestKey,
    StoredEvent,
    StoredFile,
    StoredProgress,
    StoreLimits,
    SubmitOutcome,
    Submitted,
    Swept,
    Tombstone,
    system_clock,
)
from longcall_server.stores.changes import Change, Changes, Failure
from longcall_server.stores.cursors import decode_cursor, encode_cursor


@dataclass(slots=True)
class _Row:
    record: Record
    payload: str
    checkpoint: str | None = None
    events: list[StoredEvent] = field(default_factory=list)

    def whole(self) -> Record:
        return self.record._replace(payload=self.payload, checkpoint=self.checkpoint)


class _Ready:
    """What is due, by action and owner, in the order of ranks: the `Queues` of the scheduling."""

    def __init__(self, is_claimable: Callable[[int], bool]) -> None:
        self._is_claimable = is_claimable
        self._lines: defaultdict[str, dict[Owner, list[Waiting]]] = defaultdict(dict)
        self._served: dict[str, str] = {}

    def add(self, record: Record) -> None:
        """A record became due; one that is here already stays where it is."""
        line = self._lines[record.action].setdefault(record.key.owner, [])
        waiting = Waiting(record.rank, record.record_id)
        place = bisect.bisect_left(line, waiting)
        if line[place : place + 1] != [waiting]:
            line.insert(place, waiting)

    def discard(self, record: Record) -> None:
        """A record no longer waits; it may not have been due."""
        owners = self._lines[record.action]
        line = owners.get(record.key.owner, [])
        waiting = Waiting(record.rank, record.record_id)
        place = bisect.bisect_left(line, waiting)
        if line[place : place + 1] == [waiting]:
            del line[place]
            if not line:
                del owners[record.key.owner]

    def forget(self, tenant_id: str) -> None:
        """Nothing of a tenant is left."""
        self._served.pop(tenant_id, None)

    def has_any(self) -> bool:
        """Whether anything can be claimed."""
        lines = (line for owners in self._lines.values() for line in owners.values())
        return any(self._is_claimable(one.record_id) for line in lines for one in line)

    def tenant_after(self, action: str, tenant_id: str) -> str | None:
        """See `core.scheduling.Queues`."""
        tenants = (owner.tenant_id for owner in self._lines[action])
        return min((one for one in tenants if one > tenant_id), default=None)

    def owner_after(self, action: str, tenant_id: str, sub: str) -> str | None:
        """See `core.scheduling.Queues`."""
        subs = (owner.sub for owner in self._lines[action] if owner.tenant_id == tenant_id)
        return min((one for one in subs if one > sub), default=None)

    def due(self, action: str, tenant_id: str, sub: str) -> Iterator[Waiting]:
        """See `core.scheduling.Queues`."""
        line = self._lines[action].get(Owner(tenant_id, sub), [])
        return (one for one in line if self._is_claimable(one.record_id))

    def served(self, tenant_id: str) -> str:
        """See `core.scheduling.Queues`."""
        return self._served.get(tenant_id, "")

    def serve(self, tenant_id: str, sub: str) -> None:
        """See `core.scheduling.Queues`."""
        self._served[tenant_id] = sub


class MemoryStore:
    """A `Store` in plain dictionaries. `clock` and `random` are for tests."""

    name = "memory"

    def __init__(
        self,
        *,
        limits: StoreLimits | None = None,
        clock: Clock = system_clock,
        random: Random = _random.random,
    ) -> None:
        self._limits = limits or StoreLimits()
        self._changes = Changes(self._limits, random)
        self._clock = clock
        self._last_record_id = 0
        self._owned: defaultdict[Owner, dict[str, _Row]] = defaultdict(dict)
        self._rows: dict[int, _Row] = {}
        self._tombstones: dict[RequestKey, Tombstone] = {}
        self._in_flight: defaultdict[Owner, int] = defaultdict(int)
        # Heaps may hold entries that no longer hold true: whoever pops one checks the record.
        self._waiting: list[tuple[int, int]] = []
        self._ready = _Ready(
            lambda record_id: lifecycle.is_claimable(self._rows[record_id].record, self.now())
        )
        self._turns = Turns()
        self._running: Counter[tuple[Owner, str]] = Counter()
        self._waiting_of: Counter[str] = Counter()
        self._known_of: Counter[str] = Counter()
        """Requests and tombstones of a tenant."""
        self._appointments: list[tuple[int, int]] = []
        self._forgetting: list[tuple[int, int, RequestKey]] = []

    async def open(self) -> None:
        """Nothing to do: nothing survived."""

    async def close(self) -> None:
        """Nothing to do: what is stored stays until the object goes."""

    def now(self) -> int:
        """The store's clock: milliseconds since the epoch."""
        return self._clock()

    # --- Requests enter ---------------------------------------------------------------------------

    async def submit(
        self, new: NewRequest, *, max_in_flight: int, promotion: Promotion | None = None
    ) -> Submitted:
        """See `Store.submit`."""
        row = self._find(new.key)
        if row is not None:
            return changes.submitted_before(row.record, new, promotion)
        if new.key in self._tombstones:
            return Submitted(SubmitOutcome.EXPIRED)
        if self._in_flight[new.key.owner] >= max_in_flight:
            return Submitted(SubmitOutcome.OVER_LIMIT)
        waiting = self._waiting_of[new.key.owner.tenant_id]
        if promotion is None and waiting >= self._limits.max_waiting_per_tenant:
            return Submitted(SubmitOutcome.TENANT_FULL)
        change = changes.created(new, promotion, self._next_record_id(), self.now())
        self._insert(change, new.payload)
        lease = None if promotion is None else changes.lease_of(change.record)
        return Submitted(SubmitOutcome.CREATED, change.record, lease)

    async def requeue(self, key: RequestKey, new_id: str) -> Record | None:
        """See `Store.requeue`."""
        row = self._find(key)
        if row is None or not changes.can_requeue(row.record):
            return None
        new_key = RequestKey(key.owner, new_id)
        taken = self._find(new_key)
        if taken is not None and taken.record.requeued_from == key.id:
            return taken.record
        if taken is not None or new_key in self._tombstones:
            raise IdTaken(f"the id {new_id} stands for another request")
        record_id = self._next_record_id()
        new, change = changes.requeued(row.record, row.payload, new_id, record_id, self.now())
        self._insert(change, new.payload)
        return change.record

    # --- Attempts ---------------------------------------------------------------------------------

    async def claim(
        self,
        worker: str,
        actions: Sequence[str],
        *,
        limit: int,
        lease_ms: int,
        concurrency: ConcurrencyLimits = UNLIMITED,
    ) -> Sequence[Claimed]:
        """See `Store.claim`."""
        now = self.now()
        self._ripen(now)
        running = [
            Running(owner.tenant_id, owner.sub, action, count)
            for (owner, action), count in self._running.items()
        ]
        picked = scheduling.pick(
            self._ready, actions, running, concurrency, self._turns, limit=limit
        )
        claimed: list[Claimed] = []
        for record_id in picked:
            row = self._rows[record_id]
            change = self._changes.claimed(row.record, now, worker=worker, lease_ms=lease_ms)
            self._write(row, change)
            if not lifecycle.is_finished(change.record.status):
                claimed.append(Claimed(row.whole(), changes.lease_of(change.record)))
        return claimed

    async def renew(self, renewals: Sequence[Renewal], *, lease_ms: int) -> Sequence[Renewed]:
        """See `Store.renew`."""
        answers = []
        for renewal in renewals:
            row, record = self._look(renewal.lease)
            change, answer = changes.renewed(record, renewal, lease_ms, self.now())
            if row is not None and change is not None:
                self._write(row, change)
            answers.append(answer)
        return answers

    async def append(
        self,
        lease: Lease,
        draft: EventDraft | None,
        *,
        operation: int,
        checkpoint: str | None = None,
    ) -> int:
        """See `Store.append`."""
        row, record = self._look(lease)
        change = self._changes.appended(
            record,
            lease,
            self.now(),
            draft=draft,
            operation=operation,
            with_checkpoint=checkpoint is not None,
        )
        assert row is not None  # `appended` has raised Fenced otherwise
        if change is not None:
            self._write(row, change)
            if checkpoint is not None:
                row.checkpoint = checkpoint
        return row.record.last_seq

    async def complete(
        self,
        lease: Lease,
        result: str,
        *,
        progress: StoredProgress | None = None,
        files: Sequence[StoredFile] = (),
    ) -> Record:
        """See `Store.complete`."""
        row, record = self._look(lease)
        change = self._changes.completed(
            record, lease, self.now(), result=result, progress=progress, files=files
        )
        assert row is not None  # `completed` has raised Fenced otherwise
        if change is not None:
            self._write(row, change)
        return row.record

    async def fail(
        self,
        lease: Lease,
        error: str,
        *,
        retryable: bool,
        counted: bool = True,
        retry_after_ms: int | None = None,
        progress: StoredProgress | None = None,
    ) -> Record:
        """See `Store.fail`."""
        row, record = self._look(lease)
        failure = Failure(error, retryable, counted, retry_after_ms, progress)
        change = self._changes.failed(record, lease, self.now(), failure)
        assert row is not None  # `failed` has raised Fenced otherwise
        if change is not None:
            self._write(row, change)
        return row.record

    # --- Cancel, sweep, removal -------------------------------------------------------------------

    async def request_cancel(self, key: RequestKey, reason: str | None) -> Record | None:
        """See `Store.request_cancel`."""
        row = self._find(key)
        if row is None:
            return None
        change = changes.requested_cancel(row.record, reason, self.now())
        if change is not None:
            self._write(row, change)
        return row.record

    async def sweep(self, *, limit: int = 1_000) -> Swept:
        """See `Store.sweep`."""
        now = self.now()
        changed: list[RequestKey] = []
        removed: list[RequestKey] = []
        files: list[str] = []
        while len(changed) + len(removed) < limit and self._appointments:
            at, record_id = self._appointments[0]
            if at > now:
                break
            heapq.heappop(self._appointments)
            row = self._rows.get(record_id)
            what = None if row is None else lifecycle.overdue(row.record, now)
            if row is None or what is None:
                continue
            if what is Overdue.REMOVE:
                files += [file.location for file in self._remove(row)]
                removed.append(row.record.key)
            else:
                self._write(row, self._changes.swept(row.record, what, now))
                changed.append(row.record.key)
        while self._forgetting and self._forgetting[0][0] <= now:
            self._forget(heapq.heappop(self._forgetting)[2])
        self._ripen(now)
        return Swept(
            changed=tuple(changed),
            removed=tuple(removed),
            files=tuple(files),
            work_available=self._ready.has_any(),
            next_due_at=self._next_due_at(),
        )

    async def delete(self, key: RequestKey) -> tuple[StoredFile, ...] | None:
        """See `Store.delete`."""
        row = self._find(key)
        if row is None or not lifecycle.is_finished(row.record.status):
            return None
        return self._remove(row)

    # --- Reading ----------------------------------------------------------------------------------

    async def get(self, key: RequestKey) -> Record | Tombstone | None:
        """See `Store.get`."""
        row = self._find(key)
        return self._tombstones.get(key) if row is None else row.whole()

    async def list(self, where: ListFilter, *, limit: int, cursor: str | None = None) -> Page:
        """See `Store.list`."""
        before = None if cursor is None else decode_cursor(where, cursor)
        found = [
            row.record._replace(result=None, error=None)
            for id, row in self._owned.get(where.owner, {}).items()
            if (not where.statuses or row.record.status in where.statuses)
            and (where.action is None or row.record.action == where.action)
            and (before is None or (row.record.created_at, id) < before)
        ]
        found.sort(key=lambda record: (record.created_at, record.key.id), reverse=True)
        page = found[:limit]
        if len(found) == len(page):
            return Page(tuple(page))
        last = page[-1]
        return Page(tuple(page), encode_cursor(where, last.created_at, last.key.id))

    async def dead_letters(
        self, where: DeadLetterFilter, *, limit: int, after: Record | None = None
    ) -> Sequence[Record]:
        """See `Store.dead_letters`."""
        found = [
            row.record
            for row in self._rows.values()
            if row.record.status is RequestStatus.FAILED
            and _asked_for(row.record, where)
            and (after is None or _end(row.record) < _end(after))
        ]
        return sorted(found, key=_end, reverse=True)[:limit]

    async def read(
        self, key: RequestKey, after_seq: int, *, max_bytes: int = 262_144
    ) -> LogSlice | None:
        """See `Store.read`."""
        row = self._find(key)
        if row is None:
            return None
        found: list[StoredEvent] = []
        size = 0
        for event in row.events[after_seq:]:
            size += len(event.frame)
            if found and size > max_bytes:
                break
            found.append(event)
        return LogSlice(row.record, tuple(found))

    # --- Rows and heaps ---------------------------------------------------------------------------

    def _find(self, key: RequestKey) -> _Row | None:
        owned = self._owned.get(key.owner)
        return None if owned is None else owned.get(key.id)

    def _look(self, lease: Lease) -> tuple[_Row | None, Record | None]:
        row = self._rows.get(lease.record_id)
        return row, None if row is None else row.record

    def _next_record_id(self) -> int:
        self._last_record_id += 1
        return self._last_record_id

    def _insert(self, change: Change, payload: str) -> None:
        record = change.record
        row = _Row(record, payload, events=list(change.events))
        self._rows[record.record_id] = row
        self._owned[record.key.owner][record.key.id] = row
        self._known_of[record.key.owner.tenant_id] += 1
        self._in_flight[record.key.owner] += 1
        self._count(record, 1)
        self._schedule(record)

    def _write(self, row: _Row, change: Change) -> None:
        before, row.record = row.record, change.record
        row.events.extend(change.events)
        if lifecycle.is_finished(row.record.status) and not lifecycle.is_finished(before.status):
            self._in_flight[row.record.key.owner] -= 1
        if row.record.status not in lifecycle.WAITING:
            self._ready.discard(row.record)
        self._count(before, -1)
        self._count(row.record, 1)
        self._schedule(row.record)

    def _count(self, record: Record, change: int) -> None:
        if record.lease_worker is not None:
            self._running[record.key.owner, record.action] += change
        if record.status in lifecycle.WAITING:
            self._waiting_of[record.key.owner.tenant_id] += change

    def _remove(self, row: _Row) -> tuple[StoredFile, ...]:
        record = row.record
        stone = self._changes.tombstone(record, self.now())
        self._tombstones[record.key] = stone
        heapq.heappush(self._forgetting, (stone.expires_at, record.record_id, record.key))
        del self._rows[record.record_id]
        del self._owned[record.key.owner][record.key.id]
        return record.files

    def _forget(self, key: RequestKey) -> None:
        del self._tombstones[key]
        tenant_id = key.owner.tenant_id
        self._known_of[tenant_id] -= 1
        if not self._known_of[tenant_id]:
            del self._known_of[tenant_id], self._waiting_of[tenant_id]
            self._ready.forget(tenant_id)

    def _schedule(self, record: Record) -> None:
        at = lifecycle.next_sweep_at(record)
        if at is not None:
            heapq.heappush(self._appointments, (at, record.record_id))
        if record.status in lifecycle.WAITING:
            heapq.heappush(self._waiting, (record.due_at, record.record_id))

    def _ripen(self, now: int) -> None:
        """Moves what became due to where claims look, in the order of claims."""
        while self._waiting and self._waiting[0][0] <= now:
            _, record_id = heapq.heappop(self._waiting)
            row = self._rows.get(record_id)
            if row is not None and lifecycle.is_claimable(row.record, now):
                self._ready.add(row.record)

    def _next_due_at(self) -> int | None:
        while self._appointments:
            at, record_id = self._appointments[0]
            row = self._rows.get(record_id)
            if row is not None and lifecycle.next_sweep_at(row.record) == at:
                break
            heapq.heappop(self._appointments)
        while self._waiting:
            at, record_id = self._waiting[0]
            row = self._rows.get(record_id)
            if row and row.record.status in lifecycle.WAITING and row.record.due_at == at:
                break
            heapq.heappop(self._waiting)
        heads = [heap[0][0] for heap in (self._appointments, self._waiting) if heap]
        if self._forgetting:
            heads.append(self._forgetting[0][0])
        return min(heads, default=None)


def _asked_for(record: Record, where: DeadLetterFilter) -> bool:
    owner = record.key.owner
    return (
        where.tenant_id in (None, owner.tenant_id)
        and where.sub in (None, owner.sub)
        and where.action in (None, record.action)
        and where.id in (None, record.key.id)
        and (where.ended_before is None or _end(record)[0] < where.ended_before)
    )


def _end(record: Record) -> tuple[int, int]:
    assert record.finished_at is not None
    return record.finished_at, record.record_id
