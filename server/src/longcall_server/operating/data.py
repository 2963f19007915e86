# SPDX-License-Identifier: Apache-2.0
"""The data folder as an operator's command finds it: it must be there already."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from longcall_server.config import Settings
from longcall_server.engines import Engines, open_engines
from longcall_server.operating.failure import CommandFailed
from longcall_server.stores.base import StoreUnavailable


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
async def opened(settings: Settings) -> AsyncIterator[Engines]:
    """The engines of the data folder, beside the servers that use it, which hear its rings."""
    existing_database(settings)
    async with AsyncExitStack() as stack:
        try:
            engines = await stack.enter_async_context(
                open_engines(settings, follows=False, listens=False)
            )
        except (StoreUnavailable, OSError) as error:
            raise CommandFailed(str(error)) from error
        try:
            yield engines
        except StoreUnavailable as error:
            raise CommandFailed(str(error)) from error
