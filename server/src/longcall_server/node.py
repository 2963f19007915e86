# SPDX-License-Identifier: Apache-2.0
"""The composition root of what every process runs: store, bus, files, an executor and a worker.

async with WorkerNode(settings, handlers):
    await stopping.wait()
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from longcall_server import __version__
from longcall_server.bus.base import Bus
from longcall_server.config import Settings, SettingsError, milliseconds
from longcall_server.engines import open_engines
from longcall_server.executor import Executor
from longcall_server.files import FileStore
from longcall_server.handlers import Handlers, ServerInfo
from longcall_server.handlers.attempt import Bounds
from longcall_server.stores.base import Store
from longcall_server.stores.workers import worker_name
from longcall_server.worker import Worker

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a node is made of, opened."""

    store: Store
    bus: Bus
    files: FileStore
    executor: Executor
    worker: Worker


class Node(ABC):
    """One process on a data folder. Started once, stopped once; a context manager does both.

    `claims`: whether it runs what is stored; a node that does not runs only the quick requests that
    it promoted itself. `follows`: whether clients follow requests here.
    """

    def __init__(
        self, settings: Settings, handlers: Handlers, *, claims: bool, follows: bool
    ) -> None:
        if settings.store == "memory" and not (claims and follows):
            raise SettingsError(
                "--store memory: its requests are seen by one process only, which must both serve "
                "and work; use --store sqlite"
            )
        handlers.check()
        self._settings = settings
        self._handlers = handlers
        self._claims = claims
        self._follows = follows
        self._resources = AsyncExitStack()
        self._parts: Parts | None = None

    async def start(self) -> None:
        """Opens the store and begins to work, and to listen if clients come here.

        Raises `StoreUnavailable` if the store cannot be opened and `OSError` if the folder cannot
        be used or the port is taken; then nothing is left behind.
        """
        try:
            self._parts = parts = await self._open()
            await self._begin(parts)
            self._find_orphans(parts)
        except BaseException:
            await self._resources.aclose()
            raise

    async def stop(self, *, grace: float | None = None) -> None:
        """Sends the clients away, lets running requests finish and hands the rest back.

        `grace` is in seconds, by default the setting `drain_grace`.
        """
        if grace is None:
            grace = self._settings.drain_grace.total_seconds()
        try:
            if self._parts is not None:
                await self._drain(self._parts, grace)
        finally:
            await self._resources.aclose()

    async def broken(self) -> None:
        """Waits until a defect has ended what a started node cannot work without."""
        if self._parts is not None:
            await self._parts.worker.broken()

    @property
    def running_handlers(self) -> int:
        """How many handlers have not ended; after `stop`, those that ignore that they should."""
        return 0 if self._parts is None else self._parts.executor.running

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop(grace=0)

    @abstractmethod
    async def _begin(self, parts: Parts) -> None:
        """Does what only this kind of node does; what it opens goes to `_resources`."""

    @abstractmethod
    async def _drain(self, parts: Parts, grace: float) -> None:
        """Takes nothing new, and lets what runs here come to its end."""

    async def _open(self) -> Parts:
        settings, resources = self._settings, self._resources
        engines = await resources.enter_async_context(open_engines(settings, follows=self._follows))
        store = engines.store
        executor = Executor(
            server=ServerInfo(__version__, store.name, datetime.now(UTC)),
            bounds=Bounds(settings.max_message_bytes, settings.max_depth),
            threads=settings.threads,
            processes=settings.processes,
            clock=store.now,
        )
        resources.push_async_callback(executor.close)
        files = FileStore(engines.files_dir)
        files.prepare()
        worker = Worker(
            store,
            engines.bus,
            self._handlers,
            executor,
            files,
            name=worker_name(),
            claims=self._claims,
            concurrency=settings.concurrency,
            tenant_concurrency=settings.tenant_concurrency,
            owner_concurrency=settings.owner_concurrency,
            lease_ms=milliseconds(settings.lease),
            poll_ms=milliseconds(settings.poll),
        )
        await worker.start()
        resources.push_async_callback(worker.close)
        return Parts(store, engines.bus, files, executor, worker)

    def _find_orphans(self, parts: Parts) -> None:
        async def search() -> None:
            removed = await parts.files.remove_orphans(parts.store.get)
            if removed:
                _log.info("removed %d files that no request has", removed)

        task = asyncio.create_task(search(), name="longcall orphaned files")

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._resources.push_async_callback(end)


class WorkerNode(Node):
    """A process that runs the requests of a data folder, and that no client reaches."""

    def __init__(self, settings: Settings, handlers: Handlers) -> None:
        super().__init__(settings, handlers, claims=True, follows=False)

    async def _begin(self, parts: Parts) -> None:
        pass  # it works already

    async def _drain(self, parts: Parts, grace: float) -> None:
        await parts.worker.drain(grace)
