# SPDX-License-Identifier: Apache-2.0
"""The composition root of a process that clients reach: a node, and the gateway on it.

async with Server(settings, handlers) as server:
    print(server.url)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

from aiohttp import web
from pydantic import MISSING

from longcall_server import __version__
from longcall_server.auth.configured import configured_authenticator
from longcall_server.config import Settings, SettingsError, milliseconds
from longcall_server.config.names import ANY
from longcall_server.core.codes import CloseCode
from longcall_server.core.messages import Limits
from longcall_server.gateway.app import (
    GatewaySettings,
    ListenerSettings,
    create_app,
    create_listener,
    drain,
)
from longcall_server.gateway.descriptors import connections_within_limits
from longcall_server.gateway.doors import ConnectionLimits
from longcall_server.gateway.entrance import EntranceSettings
from longcall_server.gateway.listener import Listener
from longcall_server.gateway.origins import is_loopback
from longcall_server.gateway.tls import Certificate
from longcall_server.handlers import Handlers
from longcall_server.node import Node, Parts
from longcall_server.requests import RequestService, ServiceSettings

_log = logging.getLogger(__name__)

SOFTWARE = "longcall-server"
_SPARE_BURSTS = 10
"""How many connections of an owner may begin with a burst at once."""
_LAST_WORDS = 1.0
"""Seconds that clients get, after the last request has ended, to take what is under way."""


class Server(Node):
    """One server process; with `claims=False` durable requests are left to `WorkerNode`s.

    `dev`: pages that are being written on this machine may connect, whatever serves them.
    """

    def __init__(
        self, settings: Settings, handlers: Handlers, *, claims: bool = True, dev: bool = False
    ) -> None:
        super().__init__(settings, handlers, claims=claims, follows=True)
        self._dev = dev
        self._authenticator = configured_authenticator(settings)
        self._tls = certificate(settings)
        self._ready = False
        self._port = settings.port
        self._app: web.Application | None = None
        self._listener: Listener | None = None

    @property
    def port(self) -> int:
        """The TCP port that it listens on."""
        return self._port

    @property
    def http_url(self) -> str:
        """Where the HTTP routes are, without a path."""
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://{_reachable(self._settings.host)}:{self._port}"

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"ws{self.http_url.removeprefix('http')}/v1/connect"

    async def _begin(self, parts: Parts) -> None:
        settings, limits = self._settings, protocol_limits(self._settings)
        service = RequestService(
            parts.store,
            parts.bus,
            handlers=self._handlers,
            executor=parts.executor,
            host=parts.worker,
            limits=limits,
            settings=service_settings(settings),
        )
        self._resources.push_async_callback(service.close)
        self._app = create_app(
            service=service,
            store=parts.store,
            bus=parts.bus,
            authenticator=self._authenticator,
            limits=limits,
            settings=gateway_settings(settings, parts.files.root, dev=self._dev),
            ready=lambda: self._ready and self._authenticator.is_ready,
        )
        self._resources.push_async_callback(self._authenticator.close)
        await self._authenticator.start()
        await self._listen(self._app)
        self._ready = True

    async def _listen(self, app: web.Application) -> None:
        settings = self._settings
        patience = ListenerSettings(request_timeout_s=settings.request_timeout.total_seconds())
        tls = None if self._tls is None else self._tls.context
        listener = create_listener(app, patience, tls)
        self._resources.push_async_callback(listener.close)
        self._port = await listener.open(settings.host, settings.port)
        self._listener = listener
        for note in exposure(settings):
            _log.warning("it listens on %s %s", settings.host or "all addresses", note)

    async def _drain(self, parts: Parts, grace: float) -> None:
        """PROTOCOL 6: `goaway` at once; sockets are closed when no request runs here any more."""
        self._ready = False
        app, listener = self._app, self._listener
        if app is None or listener is None:
            return
        listener.stop()
        reason = "the server stops"
        ends_at = asyncio.get_running_loop().time() + grace
        gone = asyncio.create_task(
            drain(app, code=CloseCode.GOING_AWAY, reason=reason, grace_s=grace)
        )
        quick = asyncio.create_task(parts.executor.settled())
        await parts.worker.drain(grace)
        # What is durable has ended or was handed back; the rest of the grace is for quick ones.
        left = max(0, ends_at - asyncio.get_running_loop().time())
        await asyncio.wait([gone, quick], timeout=left, return_when=asyncio.FIRST_COMPLETED)
        quick.cancel()
        await asyncio.wait([gone], timeout=_LAST_WORDS if grace else 0)
        if not gone.done():
            gone.cancel()
            await drain(app, code=CloseCode.GOING_AWAY, reason=reason, grace_s=0)
        await asyncio.gather(gone, quick, return_exceptions=True)


def protocol_limits(settings: Settings) -> Limits:
    """What `welcome.limits` says and the server keeps to."""
    return Limits(
        max_message_bytes=settings.max_message_bytes,
        max_depth=settings.max_depth,
        max_values=settings.max_values,
        max_string_length=_if_set(settings.max_string_length),
        max_payload_bytes=_if_set(settings.max_payload_bytes),
        max_metadata_bytes=_if_set(settings.max_metadata_bytes),
        max_in_flight=settings.max_in_flight,
        messages_per_minute=settings.messages_per_minute,
        message_burst=settings.message_burst,
        max_log_bytes=settings.max_log_bytes,
        id_retention_ms=milliseconds(settings.id_retention),
    )


def service_settings(settings: Settings) -> ServiceSettings:
    """What deciding on requests needs to know."""
    per_minute, burst = settings.submissions_per_minute, settings.submission_burst
    return ServiceSettings(
        sync_window_ms=milliseconds(settings.sync_window),
        retention_ms=milliseconds(settings.retention),
        # PROTOCOL 6.6.9: each new connection may begin with a burst.
        submissions_per_minute=(
            per_minute or settings.messages_per_minute + 60 * settings.message_burst
        ),
        submission_burst=burst or _SPARE_BURSTS * settings.message_burst,
        quick_bytes=settings.quick_bytes,
        total_quick_bytes=settings.total_quick_bytes,
    )


def gateway_settings(settings: Settings, files: Path, *, dev: bool = False) -> GatewaySettings:
    """What the gateway needs to know."""
    return GatewaySettings(
        heartbeat_interval_ms=milliseconds(settings.heartbeat_interval),
        hello_timeout_ms=milliseconds(settings.hello_timeout),
        stall_timeout_ms=milliseconds(settings.stall_timeout),
        poll_ms=milliseconds(settings.poll),
        send_buffer_bytes=settings.send_buffer_bytes,
        max_pending=settings.max_pending,
        pending_bytes=settings.pending_bytes,
        total_pending_bytes=settings.total_pending_bytes,
        owner_messages_per_minute=settings.owner_messages_per_minute or 0,
        progress_interval_ms=max(1, round(1000 / settings.progress_per_second)),
        compression=settings.compression,
        allow_query_token=settings.allow_query_token,
        entrance=entrance_settings(settings, dev=dev),
        connections=ConnectionLimits(
            total=connections_within_limits(settings.max_connections),
            per_address=settings.max_connections_per_address,
            per_owner=settings.max_connections_per_owner,
            unidentified=settings.max_unidentified,
        ),
        server_name=SOFTWARE,
        server_version=__version__,
        files_dir=files,
    )


def certificate(settings: Settings) -> Certificate | None:
    """What TLS is spoken with, None without; raises `SettingsError` if the files are not right."""
    if settings.tls_cert is None and settings.tls_key is None:
        return None
    if settings.tls_key is None:
        raise SettingsError("--tls-key: the key of --tls-cert is not given")
    if settings.tls_cert is None:
        raise SettingsError("--tls-cert: the certificate of --tls-key is not given")
    return Certificate(settings.tls_cert, settings.tls_key)


def exposure(settings: Settings) -> Iterator[str]:
    """What an operator may have overlooked who made a server reachable from elsewhere."""
    if is_loopback(settings.host):
        return
    if settings.tls_cert is None and not settings.trusted_proxies:
        yield (
            "without TLS, where tokens can be read on their way: "
            "give --tls-cert and --tls-key, or name the proxy that speaks TLS in --trusted-proxies"
        )
    if not settings.allowed_hosts:
        yield "and answers to any host name: name those that clients use in --allowed-hosts"


def entrance_settings(settings: Settings, *, dev: bool = False) -> EntranceSettings:
    """Who is let in. Where only this machine can connect, only its own names can be meant."""
    hosts = settings.allowed_hosts
    if not hosts and not is_loopback(settings.host):
        hosts = (ANY,)
    return EntranceSettings(
        allowed_origins=settings.allowed_origins,
        loopback_origins=dev,
        allowed_hosts=hosts,
        trusted_proxies=settings.trusted_proxies,
    )


def _if_set(limit: int | None) -> int | MISSING:
    return MISSING if limit is None else limit


def _reachable(host: str) -> str:
    """A host as it can be written into a URL that a client of this machine can use."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"[{host}]" if ":" in host else host
