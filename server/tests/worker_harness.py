# SPDX-License-Identifier: Apache-2.0
"""A worker with a store, a bus and handlers, and no gateway."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from longcall_server import Backoff, Handlers
from longcall_server.bus.local import LocalBus
from longcall_server.executor import Executor
from longcall_server.files import FileStore
from longcall_server.stores.base import (
    Claimed,
    NewRequest,
    Owner,
    Promotion,
    Record,
    RequestKey,
    Store,
    StoredProgress,
    SubmitOutcome,
)
from longcall_server.stores.memory import MemoryStore
from longcall_server.worker import Worker

OWNER = Owner("tenant", "user")
SOON = Backoff(timedelta(milliseconds=1), timedelta(milliseconds=1))


def files_below(folder: Path) -> list[Path]:
    """What files are there."""
    return [path for path in folder.rglob("*") if path.is_file()]


class Follower:
    """A listener that remembers and wakes."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.progress: list[StoredProgress] = []

    def request_changed(self) -> None:
        self.changed.set()

    def progress_reported(self, progress: StoredProgress) -> None:
        self.progress.append(progress)
        self.changed.set()


class Node:
    """One worker of a store that may be shared."""

    def __init__(
        self, handlers: Handlers, folder: Path, store: Store, bus: LocalBus, **options: Any
    ) -> None:
        self.handlers = handlers
        self.store = store
        self.bus = bus
        self.files = FileStore(folder)
        self.executor = Executor()
        self.worker = Worker(
            store, bus, handlers, self.executor, self.files, **{"name": "worker-1"} | options
        )
        self.prefix = "r-"
        self._ids = itertools.count(1)

    def new(self, action: str, payload: object = None, **fields: Any) -> NewRequest:
        """A request as the edge would store it."""
        registration = self.handlers.get(action)
        assert registration is not None
        number = next(self._ids)
        key = RequestKey(OWNER, f"{self.prefix}{number}")
        given = {"cancel_grace_ms": registration.cancel_grace_ms} | fields
        text = json.dumps(payload)
        return NewRequest(key, action, text, "digest", f"s-{key.id}", registration.policy, **given)

    async def submit(self, action: str, payload: object = None, **fields: Any) -> RequestKey:
        """Stores a request and rings."""
        new = self.new(action, payload, **fields)
        submitted = await self.store.submit(new, max_in_flight=1000)
        assert submitted.outcome is SubmitOutcome.CREATED
        self.bus.work_available()
        return new.key

    async def promote(self, action: str, **fields: Any) -> Claimed:
        """Stores an execution that already runs, with its lease."""
        new = self.new(action)
        promotion = Promotion(self.worker.name, self.worker.lease_ms, **fields)
        submitted = await self.store.submit(new, max_in_flight=1000, promotion=promotion)
        assert submitted.record is not None
        assert submitted.lease is not None
        return Claimed(submitted.record, submitted.lease)

    async def record(self, key: RequestKey) -> Record:
        """A request that is there."""
        record = await self.store.get(key)
        assert isinstance(record, Record)
        return record

    async def cancel(self, key: RequestKey, reason: str | None = None) -> None:
        """Cancels as the edge would."""
        await self.store.request_cancel(key, reason)
        self.bus.request_changed(key)
        self.bus.cancel_requested(key)

    async def until(self, key: RequestKey, condition: Callable[[Record], bool]) -> Record:
        """Waits for a state of a request; only the bell is waited for, never the clock."""
        follower = Follower()
        unwatch = self.bus.watch_request(key, follower)
        try:
            while not condition(record := await self.record(key)):
                await asyncio.wait_for(follower.changed.wait(), 20)
                follower.changed.clear()
            return record
        finally:
            unwatch()

    async def finished(self, key: RequestKey) -> Record:
        """Waits for the end of a request."""
        return await self.until(key, lambda record: record.finished_at is not None)

    async def log(self, key: RequestKey) -> list[dict[str, Any]]:
        """The log of a request."""
        found = await self.store.read(key, 0)
        assert found is not None
        return [json.loads(event.frame) for event in found.events]


@asynccontextmanager
async def node(
    handlers: Handlers,
    folder: Path,
    *,
    store: Store | None = None,
    bus: LocalBus | None = None,
    alone: bool = True,
    **options: Any,
) -> AsyncIterator[Node]:
    """A worker that claims; when the block ends, nothing of it (or, `alone`, of any) is left."""
    made = Node(handlers, folder, store or MemoryStore(), bus or LocalBus(), **options)
    await made.worker.start()
    try:
        yield made
    finally:
        await made.worker.close()
        await made.executor.close(grace=0.1)
        assert made.worker.running == 0
        if alone:
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert [task.get_name() for task in left if "longcall" in task.get_name()] == []
