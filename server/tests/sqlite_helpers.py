# SPDX-License-Identifier: Apache-2.0
"""What the tests of the SQLite engine share."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from longcall_server.stores.base import StoreLimits, Submitted
from longcall_server.stores.sqlite import SqliteStore
from longcall_server.stores.suite import ManualClock, Scene
from longcall_server.stores.suite.support import new_request


@contextlib.asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[SqliteStore]:
    """An open store over this file."""
    store = SqliteStore(path, **options)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def scene_of(
    path: Path, clock: ManualClock | None = None, **limits: int
) -> AsyncIterator[Scene]:
    """A suite's scene over this file, with these `StoreLimits`."""
    clock = clock or ManualClock()
    options = {"limits": StoreLimits(**limits), "clock": clock, "random": lambda: 0.5}
    async with opened(path, **options) as store:
        yield Scene(store, clock)


async def submit(store: SqliteStore, id: str, **fields: Any) -> Submitted:
    """Submits a request of Alice's."""
    return await store.submit(new_request(id, **fields), max_in_flight=1_000_000)


@contextlib.contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection beside the store."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()
