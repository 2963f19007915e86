# SPDX-License-Identifier: Apache-2.0
"""How many connections there may be: in all, of an address, of an owner, and without a name.

Counts and nothing else. What is counted of one address is so of a whole IPv6 /64, see `subscriber`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from longcall_server.stores.base import Owner

_Key = TypeVar("_Key")
_SHARE = 4
"""An address may have this part of all connections that have not said who they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """How many there may be in one process."""

    total: int = 16_000
    per_address: int = 2_000
    per_owner: int = 1_000
    unidentified: int = 2_000
    """That have not said hello; an address may hold a quarter of them."""

    def __post_init__(self) -> None:
        if min(self.total, self.per_address, self.per_owner, self.unidentified) < 1:
            raise ValueError("there is no limit of connections below 1")


class Full(StrEnum):
    """Why there is no place."""

    TOTAL = "total"
    ADDRESS = "address"


class Place:
    """What one connection takes up, until it is left."""

    __slots__ = ("_doors", "_is_identified", "_is_left", "_owner", "_subscriber")

    def __init__(self, doors: Doors, subscriber: str) -> None:
        self._doors = doors
        self._subscriber = subscriber
        self._owner: Owner | None = None
        self._is_identified = False
        self._is_left = False

    def identify(self, owner: Owner) -> bool:
        """The connection has said whose it is; whether that owner may have one more.

        Either way it counts no longer among those that have not said so.
        """
        if self._is_left or self._is_identified:
            return True
        self._is_identified = True
        doors = self._doors
        doors.forget(self._subscriber)
        if doors.of_owner[owner] >= doors.limits.per_owner:
            return False
        doors.of_owner[owner] += 1
        self._owner = owner
        return True

    def leave(self) -> None:
        """The connection has ended."""
        if self._is_left:
            return
        self._is_left = True
        doors = self._doors
        doors.connections -= 1
        _decrease(doors.of_address, self._subscriber)
        if not self._is_identified:
            doors.forget(self._subscriber)
        if self._owner is not None:
            _decrease(doors.of_owner, self._owner)


class Doors:
    """The counts of one process."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self.connections = 0
        self.of_address: Counter[str] = Counter()
        self.of_owner: Counter[Owner] = Counter()
        self._unidentified: Counter[str] = Counter()
        self._all_unidentified = 0
        self._sockets: Counter[str] = Counter()
        self._all_sockets = 0

    def enter(self, subscriber: str) -> Place | Full:
        """A place for one more connection of an address, or why there is none."""
        limits = self.limits
        share = max(1, limits.unidentified // _SHARE)
        if (
            self.of_address[subscriber] >= limits.per_address
            or self._unidentified[subscriber] >= share
        ):
            return Full.ADDRESS
        if self.connections >= limits.total or self._all_unidentified >= limits.unidentified:
            return Full.TOTAL
        self.connections += 1
        self.of_address[subscriber] += 1
        self._unidentified[subscriber] += 1
        self._all_unidentified += 1
        return Place(self, subscriber)

    def forget(self, subscriber: str) -> None:
        """A connection of this address is no longer one that has not said who it is."""
        _decrease(self._unidentified, subscriber)
        self._all_unidentified -= 1

    def open_socket(self, subscriber: str | None) -> bool:
        """Counts a socket on which nothing was said yet; False: it must be closed at once.

        There may be some more sockets than connections, so that each that is refused can be told
        why. None is a proxy that is trusted: its sockets are many clients'.
        """
        limits = self.limits
        if self._all_sockets >= limits.total + limits.unidentified:
            return False
        if subscriber is not None:
            if self._sockets[subscriber] >= limits.per_address + limits.unidentified // _SHARE:
                return False
            self._sockets[subscriber] += 1
        self._all_sockets += 1
        return True

    def close_socket(self, subscriber: str | None) -> None:
        """A socket that was counted is closed."""
        self._all_sockets -= 1
        if subscriber is not None:
            _decrease(self._sockets, subscriber)


def _decrease(counter: Counter[_Key], key: _Key) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        # Addresses come and go for ever.
        del counter[key]
