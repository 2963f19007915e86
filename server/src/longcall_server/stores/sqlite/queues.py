# SPDX-License-Identifier: Apache-2.0
"""What is due and what runs, read off indexes: the ground on which a claim picks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator

from longcall_server.core.scheduling import Running, Waiting
from longcall_server.stores.sqlite.counts import Tenant

TENANT_AFTER = """
    SELECT tenant_id FROM requests INDEXED BY requests_ready
    WHERE is_ready = 1 AND action = ? AND tenant_id > ? ORDER BY tenant_id LIMIT 1"""
OWNER_AFTER = """
    SELECT sub FROM requests INDEXED BY requests_ready
    WHERE is_ready = 1 AND action = ? AND tenant_id = ? AND sub > ? ORDER BY sub LIMIT 1"""
DUE = """
    SELECT rank, record_id FROM requests INDEXED BY requests_ready
    WHERE is_ready = 1 AND action = ? AND tenant_id = ? AND sub = ?
    AND (deadline_at IS NULL OR deadline_at > ?)
    ORDER BY rank, record_id"""
RUNNING = """
    SELECT tenant_id, sub, action, count(*) FROM requests INDEXED BY requests_leased
    WHERE lease_worker IS NOT NULL GROUP BY tenant_id, sub, action"""


class Queues:
    """The `Queues` of `core.scheduling`, within one transaction."""

    def __init__(
        self, connection: sqlite3.Connection, now: int, tenant: Callable[[str], Tenant]
    ) -> None:
        self._execute = connection.execute
        self._now = now
        self._tenant = tenant

    def tenant_after(self, action: str, tenant_id: str) -> str | None:
        """The first tenant behind this one, by its id, with something due of an action."""
        row = self._execute(TENANT_AFTER, (action, tenant_id)).fetchone()
        return None if row is None else row[0]

    def owner_after(self, action: str, tenant_id: str, sub: str) -> str | None:
        """The first owner of a tenant behind this one, by `sub`, with something due of it."""
        row = self._execute(OWNER_AFTER, (action, tenant_id, sub)).fetchone()
        return None if row is None else row[0]

    def due(self, action: str, tenant_id: str, sub: str) -> Iterator[Waiting]:
        """What is due of an action of an owner, by rank; read no further than it is asked."""
        cursor = self._execute(DUE, (action, tenant_id, sub, self._now))
        try:
            yield from map(Waiting._make, cursor)
        finally:
            cursor.close()

    def served(self, tenant_id: str) -> str:
        """The owner of a tenant who was served last, `""` if nobody was."""
        return self._tenant(tenant_id).served

    def serve(self, tenant_id: str, sub: str) -> None:
        """Keeps which owner of a tenant was served last, with what the claim changes."""
        self._tenant(tenant_id).served = sub

    def running(self) -> Iterator[Running]:
        """What runs under any worker's lease; there are as many rows as there are places."""
        return map(Running._make, self._execute(RUNNING).fetchall())
