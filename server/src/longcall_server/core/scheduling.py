# SPDX-License-Identifier: Apache-2.0
"""Who is next: tenants and owners take turns, waiting counts, nobody runs more than a limit allows.

A store engine tells what is due; here it is decided which of it a claim takes. Tenants share what
workers can run, and so do the owners of a tenant (PROTOCOL 5.4.14), so that one's backlog does not
delay another's first request. Among the requests of one owner `rank` decides (PROTOCOL 5.4.15,
5.4.16): fixed when the request is accepted, so that engines can keep their queues in its order.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby, takewhile
from typing import NamedTuple, Protocol

AGING_MS = 60_000
"""How many milliseconds of waiting weigh as much as one step of `priority`."""
LEAST_WINDOW = 16
"""Tenants, and owners of a tenant, that a claim compares if that many have something due: bounds
what it reads."""


def rank(priority: int, first_due_at: int) -> int:
    """The place of a request among those of its owner; the least is first (PROTOCOL 5.4.15).

    One step of `priority` is worth a minute of waiting: sooner or later whatever waits is older
    than all that could overtake it.
    """
    return first_due_at - priority * AGING_MS


@dataclass(frozen=True, slots=True)
class ConcurrencyLimits:
    """The most requests that run at once, over all workers of a store."""

    per_tenant: int | None = None
    """Of one tenant, whatever the action; None for no limit."""
    per_action: Mapping[str, int] = field(default_factory=dict)
    """Of one action, over all tenants; an action that is not named has no limit."""
    per_owner: int | None = None
    """Of one owner, whatever the action; None for no limit."""
    kept_places: int = 0
    """How many of a claim's places, the last ones, are for owners of whom nothing runs: requests
    that run long cannot fill a worker for one owner alone."""

    def __post_init__(self) -> None:
        for limit in (self.per_tenant, self.per_owner, *self.per_action.values()):
            if limit is not None and limit < 1:
                raise ValueError(f"a concurrency limit must be at least 1, not {limit}")
        if self.kept_places < 0:
            raise ValueError(f"kept_places must not be negative, not {self.kept_places}")

    def hold_back(self, action: str) -> bool:
        """Whether the end of a request of this action may let another one begin, anywhere."""
        limits = (self.per_tenant, self.per_owner, self.per_action.get(action))
        return any(limit is not None for limit in limits)


UNLIMITED = ConcurrencyLimits()


class Waiting(NamedTuple):
    """A request that can be claimed."""

    rank: int
    record_id: int


class Running(NamedTuple):
    """How many requests run of one action of one owner."""

    tenant_id: str
    sub: str
    action: str
    number: int


class Queues(Protocol):
    """What an engine tells of what is due, and keeps of whose turn it is."""

    def tenant_after(self, action: str, tenant_id: str) -> str | None:
        """The first tenant behind this one, by its id, with something due of an action."""

    def owner_after(self, action: str, tenant_id: str, sub: str) -> str | None:
        """The first owner of a tenant behind this one, by `sub`, with something due of it."""

    def due(self, action: str, tenant_id: str, sub: str) -> Iterator[Waiting]:
        """What is due of an action of an owner, by rank; read no further than it is asked."""

    def served(self, tenant_id: str) -> str:
        """The owner of a tenant who was served last, `""` if nobody was."""

    def serve(self, tenant_id: str, sub: str) -> None:
        """Keeps which owner of a tenant was served last, with what the claim changes."""


@dataclass(slots=True)
class Turns:
    """Remembers between claims which tenant was served last."""

    served: str = ""


def pick(
    queues: Queues,
    actions: Iterable[str],
    running: Iterable[Running],
    limits: ConcurrencyLimits,
    turns: Turns,
    *,
    limit: int,
) -> list[int]:
    """The numbers of the records that a claim takes, `limit` at most, in their order.

    Whoever runs least is served first, and who is equal in that by turns: of the tenants first, and
    then of the owners of that tenant.
    """
    counts = _Counts(running, limits)
    names = sorted({action for action in actions if counts.has_room_for(action)})
    window = max(limit, LEAST_WINDOW)
    ring = _Ring(
        _around(queues.tenant_after, names, turns.served), counts.of_tenant.__getitem__, window
    )
    open_tenants: dict[str, _Tenant] = {}
    picked: list[int] = []
    while len(picked) < limit:
        counts.only_new_owners = limit - len(picked) <= limits.kept_places
        tenant_id = ring.first(counts.has_room_of)
        if tenant_id is None:
            break
        tenant = open_tenants.get(tenant_id)
        if tenant is None:
            tenant = open_tenants[tenant_id] = _Tenant(queues, names, tenant_id, counts, window)
        found = tenant.take()
        if found is None:
            ring.drop(tenant_id)
            continue
        picked.append(found.record_id)
        ring.serve(tenant_id)
    for tenant in open_tenants.values():
        tenant.keep_turn()
    turns.served = ring.last_served or turns.served
    return picked


class _Counts:
    """What runs, and what more may run."""

    def __init__(self, running: Iterable[Running], limits: ConcurrencyLimits) -> None:
        self.only_new_owners = False
        self.of_tenant: Counter[str] = Counter()
        self.of_owner: Counter[tuple[str, str]] = Counter()
        self._of_action: Counter[str] = Counter()
        self._limits = limits
        for tenant, sub, action, number in running:
            self.of_tenant[tenant] += number
            self.of_owner[tenant, sub] += number
            self._of_action[action] += number

    def add(self, tenant: str, sub: str, action: str) -> None:
        self.of_tenant[tenant] += 1
        self.of_owner[tenant, sub] += 1
        self._of_action[action] += 1

    def has_room_for(self, action: str) -> bool:
        limit = self._limits.per_action.get(action)
        return limit is None or self._of_action[action] < limit

    def has_room_of(self, tenant: str) -> bool:
        limit = self._limits.per_tenant
        return limit is None or self.of_tenant[tenant] < limit

    def has_room_of_owner(self, tenant: str, sub: str) -> bool:
        number, limit = self.of_owner[tenant, sub], self._limits.per_owner
        if self.only_new_owners and number:
            return False
        return limit is None or number < limit


class _Ring:
    """Names in the order of their turns, of which the one with the least count is first.

    It reads no more names than it has to: nobody who was not read yet can come before one that
    counts nothing.
    """

    def __init__(self, names: Iterator[str], count: Callable[[str], int], window: int) -> None:
        self.last_served: str | None = None
        self._names = names
        self._count = count
        self._left = window
        self._order: list[tuple[int, int, str]] = []
        self._read = 0

    def first(self, has_room: Callable[[str], bool]) -> str | None:
        """Who is next of those that have room; whoever has none is dropped."""
        while True:
            while self._left and (not self._order or self._order[0][0] > 0):
                name = next(self._names, None)
                if name is None:
                    self._left = 0
                elif has_room(name):
                    self._left -= 1
                    heapq.heappush(self._order, (self._count(name), self._read, name))
                    self._read += 1
            if not self._order:
                return None
            name = self._order[0][2]
            if has_room(name):
                return name
            self._leave()

    def serve(self, name: str) -> None:
        """The first got what it asked for; its count has changed."""
        _, turn, _ = self._order[0]
        self.last_served = name
        heapq.heapreplace(self._order, (self._count(name), turn, name))

    def drop(self, name: str) -> None:
        """The first has nothing more."""
        assert self._order[0][2] == name
        self._leave()

    def _leave(self) -> None:
        """The first gets nothing more of this claim. If something of it runs, another one is read
        for it, who may be one of whom nothing does: no more such leave than there are places."""
        _, _, name = heapq.heappop(self._order)
        if self._count(name):
            self._left += 1


class _Tenant:
    """What one tenant has waiting: the lines of its owners, who take turns."""

    def __init__(
        self, queues: Queues, actions: Sequence[str], tenant_id: str, counts: _Counts, window: int
    ) -> None:
        self._queues = queues
        self._actions = actions
        self._id = tenant_id
        self._counts = counts
        self._lines: dict[str, _Line] = {}
        # Nothing here may hold itself: an engine's streams end with the claim, on its thread.
        self._ring = _Ring(
            _around(
                lambda action, sub: queues.owner_after(action, tenant_id, sub),
                actions,
                queues.served(tenant_id),
            ),
            lambda sub: counts.of_owner[tenant_id, sub],
            window,
        )

    def take(self) -> Waiting | None:
        """The first that may run now, which is counted as running from here on."""
        while (sub := self._ring.first(self._has_room)) is not None:
            line = self._lines.get(sub)
            if line is None:
                line = self._lines[sub] = _Line(self._queues, self._actions, self._id, sub)
            found = line.take(self._counts)
            if found is None:
                self._ring.drop(sub)
                continue
            action, waiting = found
            self._counts.add(self._id, sub, action)
            self._ring.serve(sub)
            return waiting
        return None

    def keep_turn(self) -> None:
        """The next claim begins behind whom this one has served."""
        if self._ring.last_served is not None:
            self._queues.serve(self._id, self._ring.last_served)

    def _has_room(self, sub: str) -> bool:
        return self._counts.has_room_of_owner(self._id, sub)


class _Line:
    """What one owner has waiting: a stream for each action, merged by rank."""

    def __init__(self, queues: Queues, actions: Sequence[str], tenant: str, sub: str) -> None:
        self._streams = {action: queues.due(action, tenant, sub) for action in actions}
        self._heads: dict[str, Waiting] = {}

    def take(self, counts: _Counts) -> tuple[str, Waiting] | None:
        """The first that may run now, with its action."""
        for action, stream in tuple(self._streams.items()):
            if action not in self._heads:
                head = next(stream, None)
                if head is None:
                    del self._streams[action]
                else:
                    self._heads[action] = head
        ready = [(head, name) for name, head in self._heads.items() if counts.has_room_for(name)]
        if not ready:
            return None
        head, action = min(ready)
        del self._heads[action]
        return action, head


After = Callable[[str, str], "str | None"]
"""`(action, name) -> the first name behind it with something due of the action`."""


def _around(after: After, actions: Sequence[str], served: str) -> Iterator[str]:
    """Names with something due, from the one behind `served` once around, `served` last."""
    before = takewhile(lambda name: name <= served, _names(after, actions, ""))
    return chain(_names(after, actions, served), before)


def _names(after: After, actions: Sequence[str], behind: str) -> Iterator[str]:
    """Names with something due of one of the actions, in order, each once."""
    streams = [_names_of(after, action, behind) for action in actions]
    return (name for name, _ in groupby(heapq.merge(*streams)))


def _names_of(after: After, action: str, behind: str) -> Iterator[str]:
    while (name := after(action, behind)) is not None:
        yield name
        behind = name
