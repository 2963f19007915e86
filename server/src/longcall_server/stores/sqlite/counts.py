# SPDX-License-Identifier: Apache-2.0
"""What a transaction knows of owners and tenants: read once, written at its end.

Many verbs of a transaction change the same few numbers; `flush` writes each once.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from longcall_server.stores.base import Owner

_FORGET_OWNER = """
    DELETE FROM owners WHERE owner_id = ?1
    AND NOT EXISTS (SELECT 1 FROM requests WHERE owner_id = ?1)
    AND NOT EXISTS (SELECT 1 FROM tombstones WHERE owner_id = ?1)
    RETURNING tenant_id"""
_FORGET_TENANT = """
    DELETE FROM tenants WHERE tenant_id = ?1
    AND NOT EXISTS (SELECT 1 FROM owners WHERE tenant_id = ?1)"""


@dataclass(slots=True)
class Owned:
    """An owner."""

    owner_id: int
    in_flight: int
    """Unfinished requests (PROTOCOL 10.45)."""


@dataclass(slots=True)
class Tenant:
    """A tenant."""

    waiting: int
    """Requests that are queued or retrying."""
    served: str
    """The owner who was served last."""


class Counts:
    """The owners and tenants of one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._owners: dict[Owner, Owned] = {}
        self._tenants: dict[str, Tenant] = {}
        self._stored: dict[object, tuple[int | str, ...]] = {}

    def find(self, owner: Owner) -> Owned | None:
        """An owner that has, or had, requests."""
        owned = self._owners.get(owner)
        if owned is None:
            row = self._execute(
                "SELECT owner_id, in_flight FROM owners WHERE tenant_id = ? AND sub = ?",
                (owner.tenant_id, owner.sub),
            ).fetchone()
            if row is None:
                return None
            owned = self._owners[owner] = Owned(*row)
            self._stored[owner] = (owned.in_flight,)
        return owned

    def present(self, owner: Owner) -> Owned:
        """The owner of a request that is there."""
        owned = self.find(owner)
        assert owned is not None
        return owned

    def found_or_made(self, owner: Owner) -> Owned:
        """An owner whose request enters."""
        owned = self.find(owner)
        if owned is None:
            cursor = self._execute(
                "INSERT INTO owners (tenant_id, sub, in_flight) VALUES (?, ?, 0)",
                (owner.tenant_id, owner.sub),
            )
            assert cursor.lastrowid is not None
            owned = self._owners[owner] = Owned(cursor.lastrowid, 0)
            self._stored[owner] = (0,)
        return owned

    def tenant(self, tenant_id: str) -> Tenant:
        """A tenant, known or new."""
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            row = self._execute(
                "SELECT waiting, served FROM tenants WHERE tenant_id = ?", (tenant_id,)
            ).fetchone()
            tenant = self._tenants[tenant_id] = Tenant(*(row or (0, "")))
            self._stored[tenant_id] = row or (0, "")
        return tenant

    def flush(self) -> None:
        """Writes what has changed."""
        for owner, owned in self._owners.items():
            if self._stored[owner] != (owned.in_flight,):
                self._execute(
                    "UPDATE owners SET in_flight = ? WHERE owner_id = ?",
                    (owned.in_flight, owned.owner_id),
                )
                self._stored[owner] = (owned.in_flight,)
        for tenant_id, tenant in self._tenants.items():
            now = (tenant.waiting, tenant.served)
            if self._stored[tenant_id] != now:
                self._execute(
                    "INSERT INTO tenants (tenant_id, waiting, served) VALUES (?, ?, ?)"
                    " ON CONFLICT (tenant_id) DO UPDATE"
                    " SET waiting = excluded.waiting, served = excluded.served",
                    (tenant_id, *now),
                )
                self._stored[tenant_id] = now

    def forget(self, owner_id: int) -> None:
        """Removes an owner of whom nothing is left, and a tenant that has no other."""
        self.flush()
        self._owners.clear()
        self._tenants.clear()
        self._stored.clear()
        for (tenant_id,) in self._execute(_FORGET_OWNER, (owner_id,)).fetchall():
            self._execute(_FORGET_TENANT, (tenant_id,))
