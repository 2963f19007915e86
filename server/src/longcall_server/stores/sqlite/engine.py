# SPDX-License-Identifier: Apache-2.0
"""The `Store` over one SQLite file."""

from __future__ import annotations

import asyncio
import random as _random
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from longcall_server.core.events import EventDraft
from longcall_server.core.scheduling import UNLIMITED, ConcurrencyLimits, Turns
from longcall_server.stores.base import (
    Claimed,
    Clock,
    DeadLetterFilter,
    Lease,
    ListFilter,
    LogSlice,
    NewRequest,
    Page,
    Promotion,
    Random,
    Record,
    Renewal,
    Renewed,
    RequestKey,
    StoredFile,
    StoredProgress,
    StoreLimits,
    StoreUnavailable,
    Submitted,
    Swept,
    Tombstone,
    system_clock,
)
from longcall_server.stores.changes import Changes, Failure
from longcall_server.stores.sqlite import reads
from longcall_server.stores.sqlite.checkpoints import Checkpointer
from longcall_server.stores.sqlite.lanes import ReadLane, WriteLane
from longcall_server.stores.sqlite.occupancy import FolderLock
from longcall_server.stores.sqlite.schema import SYNCHRONOUS, connect, prepare
from longcall_server.stores.sqlite.sweeps import Sweep, Sweeps
from longcall_server.stores.sqlite.write_lock import without_waiting
from longcall_server.stores.sqlite.writes import Writes

RENEWAL_GRACE_S = 3.0
"""How long workers, which try every second, may take to renew their leases once the disk takes
writes again."""


class SqliteStore:
    """Requests and their logs in one file, durable when a verb returns.

    One thread writes and commits whatever waits in one transaction; one reads single requests, one
    listings, and one makes checkpoints. Other processes of the same machine may use the file too.

    Args:
        path: the file; it and its folder are made if they are missing.
        limits: bounds that are kept inside the transactions.
        clock, random: for tests.
        synchronous: SQLite's pragma. With anything less than `FULL` an acknowledged request can be
            lost when the machine stops (PROTOCOL 5).
    """

    name = "sqlite"

    def __init__(
        self,
        path: str | Path,
        *,
        limits: StoreLimits | None = None,
        clock: Clock = system_clock,
        random: Random = _random.random,
        synchronous: str = "FULL",
    ) -> None:
        if synchronous not in SYNCHRONOUS:
            raise ValueError(f"synchronous must be one of {SYNCHRONOUS}, not {synchronous!r}")
        self._path = Path(path)
        self._rules = Changes(limits or StoreLimits(), random)
        self._clock = clock
        self._lock = FolderLock(self._path.parent)
        self._checkpointer = Checkpointer(self._connect)
        turns = Turns()
        self._writer = WriteLane(
            "longcall-writer",
            lambda: without_waiting(prepare(self._path, synchronous)),
            lambda connection: Writes(connection, self._rules, turns, self._clock),
            self._checkpointer.after_commit,
        )
        self._reader = ReadLane("longcall-reader", self._connect)
        self._lister = ReadLane("longcall-lister", self._connect)

    async def open(self) -> None:
        """Opens or makes the file and takes the leases of dead processes back.

        Raises `StoreUnavailable`, or its subclass `IncompatibleStore` for a file of a newer version
        or of another program. A closed store is not opened again: make a new one.
        """
        try:
            await asyncio.to_thread(self._lock.share)
            # The first connection makes the file, and the writer closes last.
            await self._writer.start()
            await self._reader.start()
            await self._lister.start()
            self._checkpointer.start()
            await self._writer.run(lambda writes: Sweeps(writes).take_back())
        except (sqlite3.Error, OSError) as error:
            await self.close()
            raise StoreUnavailable(f"{self._path} cannot be opened: {error}") from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Commits what waits and closes the file."""
        await self._lister.stop()
        await self._reader.stop()
        self._checkpointer.stop()
        await self._writer.stop()
        self._lock.release()

    def now(self) -> int:
        """The store's clock: milliseconds since the epoch."""
        return self._clock()

    @property
    def commits(self) -> int:
        """Transactions committed since the store was opened: fewer than verbs under load."""
        return self._writer.commits

    # --- Requests enter ---------------------------------------------------------------------------

    async def submit(
        self, new: NewRequest, *, max_in_flight: int, promotion: Promotion | None = None
    ) -> Submitted:
        """See `Store.submit`."""
        return await self._writer.run(
            lambda writes: writes.submit(new, max_in_flight, promotion), new.key.owner
        )

    async def requeue(self, key: RequestKey, new_id: str) -> Record | None:
        """See `Store.requeue`."""
        return await self._writer.run(lambda writes: writes.requeue(key, new_id), key.owner)

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
        return await self._writer.run(
            lambda writes: writes.claim(worker, actions, limit, lease_ms, concurrency)
        )

    async def renew(self, renewals: Sequence[Renewal], *, lease_ms: int) -> Sequence[Renewed]:
        """See `Store.renew`."""
        return await self._writer.run(lambda writes: writes.renew(renewals, lease_ms))

    async def append(
        self,
        lease: Lease,
        draft: EventDraft | None,
        *,
        operation: int,
        checkpoint: str | None = None,
    ) -> int:
        """See `Store.append`."""
        return await self._writer.run(
            lambda writes: writes.append(lease, draft, operation, checkpoint), lease.key.owner
        )

    async def complete(
        self,
        lease: Lease,
        result: str,
        *,
        progress: StoredProgress | None = None,
        files: Sequence[StoredFile] = (),
    ) -> Record:
        """See `Store.complete`."""
        return await self._writer.run(
            lambda writes: writes.complete(lease, result, progress, files), lease.key.owner
        )

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
        failure = Failure(error, retryable, counted, retry_after_ms, progress)
        return await self._writer.run(lambda writes: writes.fail(lease, failure), lease.key.owner)

    # --- Cancel, sweep, removal -------------------------------------------------------------------

    async def request_cancel(self, key: RequestKey, reason: str | None) -> Record | None:
        """See `Store.request_cancel`."""
        return await self._writer.run(lambda writes: writes.request_cancel(key, reason), key.owner)

    async def sweep(self, *, limit: int = 1_000) -> Swept:
        """See `Store.sweep`. Works in several small transactions, so that nobody waits long."""
        # Leases that ran out while nobody could write tell nothing of their workers.
        if self._writer.is_failing:
            await self._writer.run(lambda writes: Sweeps(writes).touch())
        await asyncio.sleep(self._writer.recovered_at + RENEWAL_GRACE_S - time.monotonic())
        whole = Sweep(left=limit)
        while not whole.is_over:
            whole.add(await self._sweep_step(whole.left))
        return whole.swept()

    async def delete(self, key: RequestKey) -> tuple[StoredFile, ...] | None:
        """See `Store.delete`."""
        return await self._writer.run(lambda writes: Sweeps(writes).delete(key), key.owner)

    async def _sweep_step(self, limit: int) -> Sweep:
        return await self._writer.run(lambda writes: Sweeps(writes).step(limit))

    # --- Reading ----------------------------------------------------------------------------------

    async def get(self, key: RequestKey) -> Record | Tombstone | None:
        """See `Store.get`."""
        return await self._reader.run(lambda connection: reads.get(connection, key), key.owner)

    async def list(self, where: ListFilter, *, limit: int, cursor: str | None = None) -> Page:
        """See `Store.list`."""
        found = reads.Listing(where, limit, cursor)
        while not found.is_over:
            # In small steps, so that a listing that finds little in much holds up no other.
            await self._lister.run(found.step, where.owner)
        return found.page()

    async def dead_letters(
        self, where: DeadLetterFilter, *, limit: int, after: Record | None = None
    ) -> Sequence[Record]:
        """See `Store.dead_letters`."""
        return await self._lister.run(
            lambda connection: reads.dead_letters(connection, where, limit, after)
        )

    async def read(
        self, key: RequestKey, after_seq: int, *, max_bytes: int = 262_144
    ) -> LogSlice | None:
        """See `Store.read`."""
        return await self._reader.run(
            lambda connection: reads.read(connection, key, after_seq, max_bytes), key.owner
        )

    # --- Lanes ------------------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        return connect(self._path)
