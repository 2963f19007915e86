# SPDX-License-Identifier: Apache-2.0
"""Which store and which bus the settings name: the only module that knows an engine.

A command of an operator needs no more than this:

    async with open_engines(settings, listens=False) as engines:
        if await engines.store.requeue(key, new_id) is not None:
            engines.bus.work_available()  # the workers of this data folder hear it
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from longcall_server.bus.base import Bus
from longcall_server.bus.local import LocalBus
from longcall_server.config import Settings, milliseconds
from longcall_server.stores.base import Store, StoreLimits
from longcall_server.stores.memory import MemoryStore


@dataclass(frozen=True, slots=True)
class Engines:
    """Where requests live and how processes wake each other."""

    store: Store
    bus: Bus
    files_dir: Path
    """Where handlers' files are; with the memory store they are gone with the process as well."""


@asynccontextmanager
async def open_engines(
    settings: Settings, *, follows: bool = True, listens: bool = True
) -> AsyncIterator[Engines]:
    """Opens what the settings name and closes it at the end.

    `follows` and `listens` say what this process wants to hear from others on the same data folder:
    of requests, and at all. Raises `StoreUnavailable` if the store cannot be opened, and `OSError`
    if the folder cannot be made or is somebody else's.
    """
    async with AsyncExitStack() as stack:
        if settings.store == "memory":
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="longcall-", ignore_cleanup_errors=True)
            )
            store: Store = MemoryStore(limits=store_limits(settings))
            await store.open()
            stack.push_async_callback(store.close)
            yield Engines(store, LocalBus(), Path(folder) / "files")
            return
        from longcall_server.bus.doorbell import DoorbellBus  # noqa: PLC0415  (memory needs none)
        from longcall_server.stores.sqlite import SqliteStore  # noqa: PLC0415  (memory needs none)

        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        store = SqliteStore(settings.database, limits=store_limits(settings))
        await store.open()
        stack.push_async_callback(store.close)
        bus = DoorbellBus(LocalBus(), settings.bell_dir, follows=follows, listens=listens)
        await bus.open()
        stack.push_async_callback(bus.close)
        yield Engines(store, bus, settings.files_dir)


def store_limits(settings: Settings) -> StoreLimits:
    """Bounds that the store keeps."""
    return StoreLimits(
        max_log_bytes=settings.max_log_bytes,
        id_retention_ms=milliseconds(settings.id_retention),
        max_waiting_per_tenant=settings.max_waiting_per_tenant,
    )
