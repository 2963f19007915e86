# SPDX-License-Identifier: Apache-2.0
"""Tells when a process has ended that is nobody's child here."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from wire import PATIENCE


class Ended:
    """Whether a process has ended."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def is_set(self) -> bool:
        """Whether it has, whoever has to bury it."""
        return bool(select.select([self._descriptor], [], [], 0)[0])

    async def wait(self) -> None:
        """Waits until it has."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._descriptor, ready.set)
        try:
            async with asyncio.timeout(PATIENCE):
                await ready.wait()
        finally:
            loop.remove_reader(self._descriptor)


@asynccontextmanager
async def ended(pid: int) -> AsyncIterator[Ended]:
    """Watches a process that still lives; its number may be given to another only afterwards."""
    descriptor = os.pidfd_open(pid)
    try:
        yield Ended(descriptor)
    finally:
        os.close(descriptor)
