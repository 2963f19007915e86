# SPDX-License-Identifier: Apache-2.0
"""Who is next: tenants take turns, waiting counts, and nobody runs more than a limit allows.

A store engine tells what is due; here it is decided which of it a claim takes. Tenants share what
workers can run (PROTOCOL 5.4.14), so that one's backlog does not delay another's first request.
Within a tenant a request's `rank` decides (PROTOCOL 5.4.15): fixed when the request is accepted, so
that engines can keep their queues in its order.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby, islice, takewhile
from typing import NamedTuple, Protocol

AGING_MS = 60_000
"""How many milliseconds of waiting weigh as much as one step of `priority`."""
LEAST_WINDOW = 16
"""Tenants that a claim compares, if that many have something due: bounds what it reads."""


def rank(priority: int, first_due_at: int) -> int:
    """The place of a request among those of its tenant; the least is first (PROTOCOL 5.4.15).

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

    def __post_init__(self) -> None:
        for limit in (self.per_tenant, *self.per_action.values()):
            if limit is not None and limit < 1:
                raise ValueError(f"a concurrency limit must be at least 1, not {limit}")

    def hold_back(self, action: str) -> bool:
        """Whether the end of a request of this action may let another one begin."""
        return self.per_tenant is not None or action in self.per_action


UNLIMITED = ConcurrencyLimits()


class Waiting(NamedTuple):
    """A request that can be claimed."""

    rank: int
    record_id: int


class Running(NamedTuple):
    """How many requests run of one action of one tenant."""

    tenant_id: str
    action: str
    number: int


class Queues(Protocol):
    """What an engine tells of what is due."""

    def tenant_after(self, action: str, tenant_id: str) -> str | None:
        """The first tenant behind this one, by its id, with something due of an action."""

    def due(self, action: str, tenant_id: str) -> Iterator[Waiting]:
        """What is due of an action of a tenant, by rank; read no further than it is asked."""


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

    Whoever runs least is served first, and who is equal in that by turns.
    """
    counts = _Counts(running, limits)
    names = sorted({action for action in actions if counts.has_room_for(action)})
    tenants = _next_tenants(queues, names, counts, turns.served, max(limit, LEAST_WINDOW))
    lines = {tenant: _Line(queues, names, tenant) for tenant in tenants}
    order = [(counts.of_tenant[tenant], turn, tenant) for turn, tenant in enumerate(tenants)]
    heapq.heapify(order)
    picked: list[int] = []
    last_turn = -1
    while order and len(picked) < limit:
        _, turn, tenant = heapq.heappop(order)
        found = lines[tenant].take(counts)
        if found is None:
            continue
        action, waiting = found
        picked.append(waiting.record_id)
        counts.add(tenant, action)
        last_turn = max(last_turn, turn)
        if counts.has_room_of(tenant):
            heapq.heappush(order, (counts.of_tenant[tenant], turn, tenant))
    if picked:
        turns.served = tenants[last_turn]
    return picked


class _Counts:
    """What runs, and what more may run."""

    def __init__(self, running: Iterable[Running], limits: ConcurrencyLimits) -> None:
        self.of_tenant: Counter[str] = Counter()
        self._of_action: Counter[str] = Counter()
        self._limits = limits
        for tenant, action, number in running:
            self.of_tenant[tenant] += number
            self._of_action[action] += number

    def add(self, tenant: str, action: str) -> None:
        self.of_tenant[tenant] += 1
        self._of_action[action] += 1

    def has_room_for(self, action: str) -> bool:
        limit = self._limits.per_action.get(action)
        return limit is None or self._of_action[action] < limit

    def has_room_of(self, tenant: str) -> bool:
        limit = self._limits.per_tenant
        return limit is None or self.of_tenant[tenant] < limit


class _Line:
    """What one tenant has waiting: a stream for each action, merged by rank."""

    def __init__(self, queues: Queues, actions: Sequence[str], tenant: str) -> None:
        self._streams = {action: queues.due(action, tenant) for action in actions}
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


def _next_tenants(
    queues: Queues, actions: Sequence[str], counts: _Counts, served: str, most: int
) -> list[str]:
    """Tenants with something due, from the one behind `served` once around, `served` last."""
    behind = _tenants(queues, actions, served)
    before = takewhile(lambda tenant: tenant <= served, _tenants(queues, actions, ""))
    return list(islice(filter(counts.has_room_of, chain(behind, before)), most))


def _tenants(queues: Queues, actions: Sequence[str], after: str) -> Iterator[str]:
    """Tenants with something due of one of the actions, by their id, each once."""
    streams = [_tenants_of(queues, action, after) for action in actions]
    return (tenant for tenant, _ in groupby(heapq.merge(*streams)))


def _tenants_of(queues: Queues, action: str, after: str) -> Iterator[str]:
    while (tenant := queues.tenant_after(action, after)) is not None:
        yield tenant
        after = tenant
