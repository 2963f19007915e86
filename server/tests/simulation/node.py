# SPDX-License-Identifier: Apache-2.0
"""One server process, put together from the shipped parts as `server.py` does it.

This is the only file of the simulation that knows how the server is built. What it leaves out are
sockets (a `Link` stands for them), disk (no handler here writes files), threads and tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, MutableSet
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from longcall_server.auth import Principal, principal_id
from longcall_server.core.codes import CloseCode
from longcall_server.core.messages import Limits
from longcall_server.executor import Executor
from longcall_server.files import FileStore
from longcall_server.gateway.app import drain
from longcall_server.gateway.connection import Connection
from longcall_server.gateway.context import GATEWAY, Gateway, GatewaySettings
from longcall_server.gateway.doors import Place
from longcall_server.gateway.outbox import Gone
from longcall_server.handlers import ServerInfo
from longcall_server.requests import RequestService, ServiceSettings
from longcall_server.stores.base import Owner
from longcall_server.worker import Worker
from simulation.bus import Bells, ShakyBus
from simulation.handlers import HANDLERS, SYNC_WINDOW_MS
from simulation.loop import Life
from simulation.network import Link
from simulation.store import ShakyStore

T = TypeVar("T")

LEASE_MS = 4_000
POLL_MS = 5_000
_PARTS = {
    "executor": "_running",
    "worker": "_drives",
    "worker._leases": "_asked",
    "gateway": "connections",
}
"""Sets of the shipped objects whose order would differ from run to run."""


class InOrder(MutableSet[T], Generic[T]):
    """A set in the order of its filling: where the server goes through one, a seed must decide."""

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._items = dict.fromkeys(items)

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def __iter__(self) -> Iterator[T]:
        return iter(tuple(self._items))

    def __len__(self) -> int:
        return len(self._items)

    def add(self, value: T) -> None:
        self._items[value] = None

    def discard(self, value: T) -> None:
        self._items.pop(value, None)

    def update(self, items: Iterable[T]) -> None:
        self._items |= dict.fromkeys(items)


class Tokens:
    """Stands for the verifier of tokens: `tenant/sub` is a token."""

    async def verify(self, token: str) -> Principal:
        owner = Owner(*token.split("/"))
        return Principal(owner, frozenset({"request:*"}), 2_000_000_000_000, principal_id(owner))


class Node:
    """A process with gateway, service, worker and executor."""

    def __init__(
        self,
        life: Life,
        store: ShakyStore,
        bells: Bells,
        limits: Limits,
        *,
        concurrency: int,
        tenant_concurrency: int | None,
        owner_concurrency: int | None,
    ) -> None:
        self.life = life
        self.name = life.name
        self.context = life.context()
        self.links: list[Link] = []
        self.closing = False
        self._loop = asyncio.get_running_loop()
        self.bus = ShakyBus(bells, self.context)
        self.store = cast(Any, store)
        server = ServerInfo("0", store.name, datetime.now(UTC))
        self.executor = Executor(server=server, threads=1, clock=store.now)
        self.worker = Worker(
            self.store,
            self.bus,
            HANDLERS,
            self.executor,
            FileStore(Path("/nowhere")),
            name=life.name,
            concurrency=concurrency,
            tenant_concurrency=tenant_concurrency,
            owner_concurrency=owner_concurrency,
            lease_ms=LEASE_MS,
            poll_ms=POLL_MS,
        )
        self.service = RequestService(
            self.store,
            self.bus,
            handlers=HANDLERS,
            executor=self.executor,
            host=self.worker,
            limits=limits,
            settings=ServiceSettings(sync_window_ms=SYNC_WINDOW_MS, patience_ms=2_000),
        )
        self.gateway = Gateway(
            service=self.service,
            bus=self.bus,
            authenticator=cast(Any, Tokens()),
            clock=store.now,
            limits=limits,
            settings=GatewaySettings(
                heartbeat_interval_ms=8_000, stall_timeout_ms=6_000, close_timeout_ms=500
            ),
            ready=lambda: True,
        )
        for part, name in _PARTS.items():
            order(attrgetter(part)(self), name)

    def start(self) -> None:
        """Begins to work."""
        self._loop.create_task(self.worker.start(), context=self.context)

    def accept(self, link: Link) -> None:
        """Somebody connects."""
        self.links.append(link)
        self._loop.create_task(self._serve(link), context=self.context)

    def stop(self, grace: float) -> asyncio.Task[None]:
        """Stops in an orderly way: the clients move, what runs may end, the rest is handed back."""
        self.closing = True
        return self._loop.create_task(self._stop(grace), context=self.context)

    async def _serve(self, link: Link) -> None:
        if self.gateway.draining:
            await link.close(code=CloseCode.GOING_AWAY, message=b"draining")
            return
        stand_in = cast(Any, link)  # socket, request, transport and writer in one
        place = self.gateway.doors.enter(link.name)
        assert isinstance(place, Place), "nobody floods here"
        try:
            connection = Connection(self.gateway, stand_in, stand_in, None, place)
        except Gone:
            place.leave()
            return
        self.gateway.add(connection)
        try:
            await connection.run()
        finally:
            self.gateway.remove(connection)
            place.leave()

    async def _stop(self, grace: float) -> None:
        app = cast(Any, {GATEWAY: self.gateway})
        gone = asyncio.create_task(
            drain(app, code=CloseCode.GOING_AWAY, reason="stops", grace_s=grace + 1)
        )
        await self.worker.drain(grace)
        await gone
        await self.service.close()
        await self.worker.close()
        await self.executor.close()


def order(owner: Any, name: str) -> None:
    """Puts an ordered set in the place of a set of the server's; it must be there."""
    found = getattr(owner, name)
    if type(found) is not set:
        raise TypeError(f"{type(owner).__name__}.{name} is a {type(found).__name__} now")
    setattr(owner, name, InOrder(found))
