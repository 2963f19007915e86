# SPDX-License-Identifier: Apache-2.0
"""The data folder as an operator's command opens it: it must be there already."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from longcall_server.config import Settings, milliseconds
from longcall_server.operating.failure import CommandFailed
from longcall_server.stores.base import Store, StoreLimits, StoreUnavailable
from longcall_server.stores.sqlite import SqliteStore


def existing_database(settings: Settings) -> Path:
    """The database of the data folder; raises `CommandFailed` if there is none."""
    path = settings.database
    if not path.is_file():
        raise CommandFailed(
            f"there is no database {path}: say with --data-dir or LONGCALL_DATA_DIR where the "
            "server keeps its data"
        )
    return path


@asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[Store]:
    """The store of the data folder, opened beside the servers that use it."""
    limits = StoreLimits(
        max_log_bytes=settings.max_log_bytes, id_retention_ms=milliseconds(settings.id_retention)
    )
    store = SqliteStore(existing_database(settings), limits=limits)
    try:
        await store.open()
    except StoreUnavailable as error:
        raise CommandFailed(str(error)) from error
    try:
        yield store
    finally:
        await store.close()
