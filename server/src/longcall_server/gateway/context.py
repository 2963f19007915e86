# SPDX-License-Identifier: Apache-2.0
"""What all parts of the gateway share: what it is built from, and which connections are open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from aiohttp import web

from longcall_server.announcements import Announcer
from longcall_server.auth import Authenticator
from longcall_server.bus.base import Announcement, Bus
from longcall_server.core.codes import CloseCode
from longcall_server.core.messages import Limits, Software
from longcall_server.core.session import SessionSettings
from longcall_server.gateway.deflate import Deflater
from longcall_server.gateway.doors import ConnectionLimits, Doors
from longcall_server.gateway.entrance import Entrance, EntranceSettings
from longcall_server.gateway.loop_turns import LoopTurns
from longcall_server.limits import OwnerPace, PendingMemory
from longcall_server.requests import RequestService
from longcall_server.stores.base import Clock
from longcall_server.telemetry import Seldom

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """How the gateway treats its connections; durations in milliseconds."""

    heartbeat_interval_ms: int = 25_000
    """How often the server pings."""
    hello_timeout_ms: int = 10_000
    """How long a connection may be silent before `hello`."""
    stall_timeout_ms: int = 30_000
    """How long a reader may take nothing of what waits for it."""
    close_timeout_ms: int = 3_000
    """How long a closing connection may take to send what is left and to say goodbye."""
    body_timeout_ms: int = 30_000
    """How long the body of an HTTP request may take."""
    poll_ms: int = 5_000
    """How often a followed log is read without a wake-up (PROTOCOL 10.34)."""
    send_buffer_bytes: int = 1_048_576
    """Unsent frames held for one connection."""
    progress_interval_ms: int = 100
    """The least time between two progress messages of a request to a connection."""
    max_pending: int = 2_000
    """Messages of one connection that are being decided; beyond it nothing more is read."""
    pending_bytes: int = 16_777_216
    """The memory that they may take."""
    total_pending_bytes: int = 268_435_456
    """The memory that those of all connections may take."""
    owner_messages_per_minute: int = 0
    """How fast the messages of one owner are read, and at least as fast as one connection may be
    (PROTOCOL 6.6.13)."""
    allow_query_token: bool = False
    """Whether `?access_token=` is looked at (PROTOCOL 3.2.4)."""
    compression: bool = False
    """Whether messages are compressed with clients that offer it (PROTOCOL 2.6.1)."""
    entrance: EntranceSettings = field(default_factory=EntranceSettings)
    """Who is let in at all."""
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    """How many there may be."""
    server_name: str = "longcall-server"
    server_version: str = "0"
    files_dir: Path | None = None
    """Where files of handlers are; None: there are none."""


class OpenConnection(Protocol):
    """A connection, as those see it who have something to say to all of them."""

    def goaway(self, reason: str, reconnect_after_ms: int) -> None:
        """Asks the client to move over."""

    def announce(self, announcement: Announcement) -> None:
        """Says an operator's word, if it is for this client."""

    def close(self, code: CloseCode, reason: str) -> None:
        """Begins to close it."""


@dataclass(slots=True)
class Gateway:
    """One gateway."""

    service: RequestService
    bus: Bus
    authenticator: Authenticator
    clock: Clock
    limits: Limits
    settings: GatewaySettings
    ready: Callable[[], bool]
    session_settings: SessionSettings = field(init=False)
    announcer: Announcer = field(init=False)
    entrance: Entrance = field(init=False)
    doors: Doors = field(init=False)
    complaints: Seldom = field(init=False)
    deflater: Deflater | None = None
    memory: PendingMemory = field(init=False)
    pace: OwnerPace = field(init=False)
    loop_turns: LoopTurns = field(default_factory=LoopTurns)
    draining: bool = False
    connections: set[OpenConnection] = field(default_factory=set)
    _empty: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        settings = self.settings
        self.session_settings = SessionSettings(
            limits=self.limits,
            server=Software(name=settings.server_name, version=settings.server_version),
            heartbeat_interval_ms=settings.heartbeat_interval_ms,
            hello_timeout_ms=settings.hello_timeout_ms,
        )
        self.announcer = Announcer(self.bus, self.clock, self.limits)
        self.complaints = Seldom(_log)
        self.entrance = Entrance(settings.entrance, self.complaints)
        self.doors = Doors(settings.connections)
        if settings.compression:
            self.deflater = Deflater()
        self.memory = PendingMemory(settings.total_pending_bytes)
        self.pace = OwnerPace(
            max(settings.owner_messages_per_minute, self.limits.messages_per_minute)
        )
        self._empty.set()

    def add(self, connection: OpenConnection) -> None:
        """A connection was opened."""
        self.connections.add(connection)
        self._empty.clear()

    def remove(self, connection: OpenConnection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    async def empty(self) -> None:
        """Waits until no connection is open."""
        await self._empty.wait()


GATEWAY: web.AppKey[Gateway] = web.AppKey("gateway", Gateway)
