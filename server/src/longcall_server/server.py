# SPDX-License-Identifier: Apache-2.0
"""The composition root: puts store, bus, worker and gateway together. The only file that knows all.

async with Server(settings, handlers) as server:
    print(server.url)
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from longcall_server import __version__
from longcall_server.auth import Authenticator, AuthSettings
from longcall_server.bus.local import LocalBus
from longcall_server.config import Settings, SettingsError, milliseconds
from longcall_server.core.codes import CloseCode
from longcall_server.core.messages import Limits
from longcall_server.executor import Executor
from longcall_server.files import FileStore
from longcall_server.gateway.app import GatewaySettings, create_app, drain
from longcall_server.handlers import Handlers, ServerInfo
from longcall_server.handlers.attempt import Bounds
from longcall_server.requests import RequestService, ServiceSettings
from longcall_server.stores.base import Store, StoreLimits
from longcall_server.stores.memory import MemoryStore
from longcall_server.stores.workers import worker_name
from longcall_server.worker import Worker

_log = logging.getLogger(__name__)

SOFTWARE = "longcall-server"
_LAST_WORDS = 1.0
"""Seconds that clients get, after the last request has ended, to take what is under way."""


class Server:
    """One server process. Started once, stopped once; an async context manager does both."""

    def __init__(self, settings: Settings, handlers: Handlers) -> None:
        if settings.jwt_secret is None:
            raise SettingsError("LONGCALL_JWT_SECRET: the key of the tokens is not set")
        self._settings = settings
        self._handlers = handlers
        self._auth = auth_settings(settings)
        self._resources = AsyncExitStack()
        self._ready = False
        self._port = settings.port
        self._app: web.Application | None = None
        self._site: web.TCPSite | None = None
        self._worker: Worker | None = None
        self._executor: Executor | None = None

    async def start(self) -> None:
        """Opens the store, begins to work and listens.

        Raises `StoreUnavailable` if the store cannot be opened and `OSError` if the folder cannot
        be made or the port is taken; then nothing is left behind.
        """
        try:
            await self._start()
        except BaseException:
            await self._resources.aclose()
            raise

    async def stop(self, *, grace: float | None = None) -> None:
        """Sends the clients away, lets running requests finish and hands the rest back.

        `grace` is in seconds, by default the setting `drain_grace`.
        """
        if grace is None:
            grace = self._settings.drain_grace.total_seconds()
        self._ready = False
        try:
            if self._site is not None and self._app is not None:
                await self._site.stop()
                await self._drain(self._app, grace)
        finally:
            await self._resources.aclose()

    @property
    def running_handlers(self) -> int:
        """How many handlers have not ended; after `stop`, those that ignore that they should."""
        return 0 if self._executor is None else self._executor.running

    @property
    def port(self) -> int:
        """The TCP port that it listens on."""
        return self._port

    @property
    def http_url(self) -> str:
        """Where the HTTP routes are, without a path."""
        return f"http://{_reachable(self._settings.host)}:{self._port}"

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"ws{self.http_url.removeprefix('http')}/v1/connect"

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

    async def _start(self) -> None:
        settings, push = self._settings, self._resources.push_async_callback
        folder = self._folder()
        store = self._store(folder)
        await store.open()
        push(store.close)
        bus = LocalBus()
        limits = protocol_limits(settings)
        self._executor = executor = Executor(
            server=ServerInfo(__version__, store.name, datetime.now(UTC)),
            bounds=Bounds(settings.max_message_bytes, settings.max_depth),
            threads=settings.threads,
            clock=store.now,
        )
        push(executor.close)
        files = FileStore(folder / "files")
        files.prepare()
        self._worker = worker = Worker(
            store,
            bus,
            self._handlers,
            executor,
            files,
            name=worker_name(),
            concurrency=settings.concurrency,
            tenant_concurrency=settings.tenant_concurrency,
            lease_ms=milliseconds(settings.lease),
            poll_ms=milliseconds(settings.poll),
        )
        await worker.start()
        push(worker.close)
        service = RequestService(
            store,
            bus,
            handlers=self._handlers,
            executor=executor,
            host=worker,
            limits=limits,
            settings=ServiceSettings(
                sync_window_ms=milliseconds(settings.sync_window),
                retention_ms=milliseconds(settings.retention),
            ),
        )
        push(service.close)
        self._app = create_app(
            service=service,
            store=store,
            bus=bus,
            authenticator=Authenticator(self._auth),
            limits=limits,
            settings=gateway_settings(settings, files.root),
            ready=lambda: self._ready,
        )
        await self._listen(self._app)
        self._find_orphans(files, store)
        self._ready = True

    async def _listen(self, app: web.Application) -> None:
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        self._resources.push_async_callback(runner.cleanup)
        self._site = web.TCPSite(runner, self._settings.host, self._settings.port)
        await self._site.start()
        self._port = runner.addresses[0][1]

    def _folder(self) -> Path:
        if self._settings.store == "memory":
            # Files live as long as the requests: neither outlives the process.
            folder = tempfile.TemporaryDirectory(prefix="longcall-", ignore_cleanup_errors=True)
            return Path(self._resources.enter_context(folder))
        folder_path = self._settings.data_dir
        folder_path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder_path

    def _store(self, folder: Path) -> Store:
        limits = StoreLimits(
            max_log_bytes=self._settings.max_log_bytes,
            id_retention_ms=milliseconds(self._settings.id_retention),
        )
        if self._settings.store == "memory":
            return MemoryStore(limits=limits)
        from longcall_server.stores.sqlite import SqliteStore  # noqa: PLC0415  (memory needs none)

        return SqliteStore(self._settings.database, limits=limits)

    def _find_orphans(self, files: FileStore, store: Store) -> None:
        async def search() -> None:
            removed = await files.remove_orphans(store.get)
            if removed:
                _log.info("removed %d files that no request has", removed)

        task = asyncio.create_task(search(), name="longcall orphaned files")

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._resources.push_async_callback(end)

    async def _drain(self, app: web.Application, grace: float) -> None:
        """PROTOCOL 6: `goaway` at once; sockets are closed when no request runs here any more."""
        assert self._worker is not None
        assert self._executor is not None
        reason = "the server stops"
        ends_at = asyncio.get_running_loop().time() + grace
        gone = asyncio.create_task(
            drain(app, code=CloseCode.GOING_AWAY, reason=reason, grace_s=grace)
        )
        quick = asyncio.create_task(self._executor.settled())
        await self._worker.drain(grace)
        # What is durable has ended or was handed back; the rest of the grace is for quick ones.
        left = max(0, ends_at - asyncio.get_running_loop().time())
        await asyncio.wait([gone, quick], timeout=left, return_when=asyncio.FIRST_COMPLETED)
        quick.cancel()
        await asyncio.wait([gone], timeout=_LAST_WORDS if grace else 0)
        if not gone.done():
            gone.cancel()
            await drain(app, code=CloseCode.GOING_AWAY, reason=reason, grace_s=0)
        await asyncio.gather(gone, quick, return_exceptions=True)


def auth_settings(settings: Settings) -> AuthSettings:
    """How tokens are made and verified; raises `SettingsError` without a key."""
    if settings.jwt_secret is None:
        raise SettingsError("LONGCALL_JWT_SECRET: the key of the tokens is not set")
    return AuthSettings(
        secret=settings.jwt_secret.get_secret_value().encode(),
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
    )


def protocol_limits(settings: Settings) -> Limits:
    """What `welcome.limits` says and the server keeps to."""
    return Limits(
        max_message_bytes=settings.max_message_bytes,
        max_depth=settings.max_depth,
        max_in_flight=settings.max_in_flight,
        messages_per_minute=settings.messages_per_minute,
        message_burst=settings.message_burst,
        max_log_bytes=settings.max_log_bytes,
        id_retention_ms=milliseconds(settings.id_retention),
    )


def gateway_settings(settings: Settings, files: Path) -> GatewaySettings:
    """What the gateway needs to know."""
    return GatewaySettings(
        heartbeat_interval_ms=milliseconds(settings.heartbeat_interval),
        hello_timeout_ms=milliseconds(settings.hello_timeout),
        stall_timeout_ms=milliseconds(settings.stall_timeout),
        poll_ms=milliseconds(settings.poll),
        send_buffer_bytes=settings.send_buffer_bytes,
        progress_interval_ms=max(1, round(1000 / settings.progress_per_second)),
        server_name=SOFTWARE,
        server_version=__version__,
        files_dir=files,
    )


def _reachable(host: str) -> str:
    """A host as it can be written into a URL that a client of this machine can use."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"[{host}]" if ":" in host else host
