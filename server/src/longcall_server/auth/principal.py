# SPDX-License-Identifier: Apache-2.0
"""Who is asking, and what they may do (PROTOCOL 3.4, 3.5)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Final

from longcall_server.config.identity import ADMIN
from longcall_server.stores.base import Owner

READ_TENANT: Final = "requests:read:tenant"
_REQUEST: Final = "request:"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking, and what they may do."""

    owner: Owner
    permissions: frozenset[str]
    expires_at: int
    """When the server stops accepting the token: `exp` with the leeway (PROTOCOL 3.6.4)."""
    principal_id: str
    """The opaque name of the owner (PROTOCOL 10.40)."""

    def may_request(self, action: str) -> bool:
        """Whether a `request:` permission matches the action (PROTOCOL 3.5.1, 3.5.2)."""
        return any(
            _matches(permission.removeprefix(_REQUEST), action)
            for permission in self.permissions
            if permission.startswith(_REQUEST)
        )

    def may_list(self, sub: str) -> bool:
        """Whether the requests of this subject of the tenant may be listed (PROTOCOL 3.4.4)."""
        return sub == self.owner.sub or READ_TENANT in self.permissions

    @property
    def is_operator(self) -> bool:
        """Whether they may do what operators do over the network (PROTOCOL 3.5.7)."""
        return ADMIN in self.permissions


def principal_id(owner: Owner) -> str:
    """An opaque name that stays the same for an owner, whatever key signs the tokens."""
    text = json.dumps([owner.tenant_id, owner.sub])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _matches(glob: str, action: str) -> bool:
    # No regular expression: one of many stars would take its time, and a tenant may write globs.
    first, *rest = glob.split("*")
    if not rest:
        return action == first
    last = rest.pop()
    if len(action) < len(first) + len(last):
        return False
    if not (action.startswith(first) and action.endswith(last)):
        return False
    at, end = len(first), len(action) - len(last)
    for part in rest:
        found = action.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
