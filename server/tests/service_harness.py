# SPDX-License-Identifier: Apache-2.0
"""A request service with its worker, and a store that can be made to fail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from worker_harness import Node, node

from longcall_server import Handlers
from longcall_server.auth import Principal, principal_id
from longcall_server.core.messages import (
    AttachMessage,
    CancelMessage,
    Limits,
    ListMessage,
    RequestMessage,
)
from longcall_server.quick import QuickRun
from longcall_server.requests import RequestService, ServiceSettings
from longcall_server.stores.base import Owner, RequestKey
from longcall_server.stores.memory import MemoryStore

PHONE = "a connection"
LAPTOP = "another connection"


def limits(**changes: int) -> Limits:
    values = {
        "max_message_bytes": 65_536,
        "max_depth": 64,
        "max_in_flight": 1000,
        "messages_per_minute": 6000,
        "message_burst": 1000,
        "max_log_bytes": 1 << 20,
        "id_retention_ms": 604_800_000,
    }
    return Limits(**{**values, **changes})


def principal(sub: str = "ann", *permissions: str, tenant: str = "acme") -> Principal:
    owner = Owner(tenant, sub)
    return Principal(owner, frozenset(permissions or ("request:*",)), 2**50, principal_id(owner))


ANN = principal()


class FaultyStore:
    """A store whose next calls of a verb raise, before or after they were carried out."""

    def __init__(self, inner: MemoryStore) -> None:
        self._inner = inner
        self._faults: dict[str, list[tuple[type[Exception], bool]]] = defaultdict(list)
        self.calls: list[str] = []
        self.before: dict[str, Callable[[], Any]] = {}
        """Awaited before a verb is carried out."""

    def break_next(self, verb: str, *errors: type[Exception], committed: bool = False) -> None:
        """The next calls raise these, one each."""
        self._faults[verb] += [(error, committed) for error in errors]

    def __getattr__(self, verb: str) -> Any:
        real = getattr(self._inner, verb)
        if verb in ("now", "name"):
            return real

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(verb)
            if verb in self.before:
                await self.before[verb]()
            faults = self._faults[verb]
            if not faults:
                return await real(*args, **kwargs)
            error, committed = faults.pop(0)
            if committed:
                await real(*args, **kwargs)
            raise error

        return call


class Desk:
    """The service as a gateway uses it, for one principal unless another is named."""

    def __init__(self, service: RequestService, at: Node, store: FaultyStore) -> None:
        self.service = service
        self.node = at
        self.store = store

    async def submit(
        self,
        action: str,
        payload: Any = None,
        *,
        id: str = "r1",
        who: Principal = ANN,
        origin: object = PHONE,
        **fields: Any,
    ) -> Any:
        """Sends a request; a quick one comes back running."""
        message = RequestMessage(id=id, action=action, payload=payload, **fields)
        return await self.service.submit(who, message, origin=origin)

    async def call(self, action: str, payload: Any = None, **options: Any) -> Any:
        """Sends a request and waits for its answer."""
        found = await self.submit(action, payload, **options)
        return await found.outcome() if isinstance(found, QuickRun) else found

    async def cancel(
        self, id: str = "r1", *, who: Principal = ANN, origin: object = PHONE, **fields: Any
    ) -> Any:
        return await self.service.cancel(who, CancelMessage(request_id=id, **fields), origin=origin)

    async def attach(self, id: str = "r1", after_seq: int = 0, who: Principal = ANN) -> Any:
        return await self.service.attach(who, AttachMessage(request_id=id, after_seq=after_seq))

    async def list(self, *, who: Principal = ANN, **fields: Any) -> Any:
        return await self.service.list(who, ListMessage(id="l1", **fields))

    def key(self, id: str = "r1", who: Principal = ANN) -> RequestKey:
        return RequestKey(who.owner, id)


@asynccontextmanager
async def desk(
    handlers: Handlers,
    folder: Path,
    *,
    settings: ServiceSettings | None = None,
    store: MemoryStore | None = None,
    bounds: Limits | None = None,
    idle: bool = False,
    **options: Any,
) -> AsyncIterator[Desk]:
    """A service over a worker, which does nothing if it is `idle`; at the end nothing is left."""
    faulty = FaultyStore(store or MemoryStore())
    registered = Handlers() if idle else handlers
    async with node(registered, folder, store=faulty, **options) as at:
        service = RequestService(
            at.store,
            at.bus,
            handlers=handlers,
            executor=at.executor,
            host=at.worker,
            limits=bounds or limits(),
            settings=settings or ServiceSettings(),
        )
        try:
            yield Desk(service, at, faulty)
        finally:
            await service.close()
