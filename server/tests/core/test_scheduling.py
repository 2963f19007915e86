# SPDX-License-Identifier: Apache-2.0
"""Who is next, without a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pytest

from longcall_server.core.scheduling import (
    AGING_MS,
    LEAST_WINDOW,
    UNLIMITED,
    ConcurrencyLimits,
    Running,
    Turns,
    Waiting,
    pick,
    rank,
)


class Backlog:
    """What waits: tenant -> action -> ranks; a rank is its own record number. Counts its reads."""

    def __init__(self, waiting: Mapping[str, Mapping[str, Sequence[int]]]) -> None:
        self.waiting = {
            tenant: {action: sorted(ranks) for action, ranks in actions.items()}
            for tenant, actions in waiting.items()
        }
        self.read = 0

    def tenant_after(self, action: str, tenant_id: str) -> str | None:
        self.read += 1
        found = [one for one in sorted(self.waiting) if one > tenant_id and self._of(one, action)]
        return found[0] if found else None

    def due(self, action: str, tenant_id: str) -> Iterator[Waiting]:
        for number in tuple(self._of(tenant_id, action)):
            self.read += 1
            yield Waiting(number, number)

    def take(self, numbers: Sequence[int]) -> None:
        for actions in self.waiting.values():
            for action, ranks in actions.items():
                actions[action] = [number for number in ranks if number not in numbers]

    def owner_of(self, number: int) -> tuple[str, str]:
        return next(
            (tenant, action)
            for tenant, actions in self.waiting.items()
            for action, ranks in actions.items()
            if number in ranks
        )

    def _of(self, tenant: str, action: str) -> list[int]:
        return self.waiting.get(tenant, {}).get(action, [])


def claim(
    backlog: Backlog,
    *actions: str,
    limit: int = 100,
    running: Sequence[Running] = (),
    limits: ConcurrencyLimits = UNLIMITED,
    turns: Turns | None = None,
) -> list[int]:
    names = actions or ("a",)
    return pick(backlog, names, running, limits, turns or Turns(), limit=limit)


@pytest.mark.clause("4.4.4")
def test_within_a_tenant_the_least_rank_is_first_over_all_actions() -> None:
    backlog = Backlog({"t": {"a": [3, 9], "b": [1, 5], "c": [0]}})
    assert claim(backlog, "a", "b", limit=3) == [1, 3, 5]


@pytest.mark.clause("4.4.4", "5.4.15")
def test_a_step_of_priority_is_worth_a_minute_of_waiting() -> None:
    assert rank(9, 1_000) < rank(5, 1_000) < rank(0, 1_000)
    assert rank(0, 0) == rank(9, 9 * AGING_MS)
    assert rank(0, 0) < rank(9, 9 * AGING_MS + 1)


@pytest.mark.clause("5.4.15")
def test_no_priority_keeps_a_request_waiting_for_ever() -> None:
    # One place, and a request of the highest priority comes with each that is taken.
    low = rank(0, 0)
    for turn in range(1_000):
        now = turn * 1_000
        if claim(Backlog({"t": {"a": [low, rank(9, now)]}}), limit=1) == [low]:
            assert now == 9 * AGING_MS
            return
    pytest.fail("the request of the lowest priority was never taken")


@pytest.mark.clause("5.4.14")
def test_one_tenants_backlog_does_not_delay_anothers_first_request() -> None:
    backlog = Backlog({"big": {"a": range(10_000)}, "small": {"a": [99_999]}})
    turns = Turns()
    taken: list[int] = []
    for _ in range(2):
        taken += claim(backlog, limit=1, turns=turns)
        backlog.take(taken)
    assert 99_999 in taken
    assert backlog.read < 20, "a claim reads no further than it must"


@pytest.mark.clause("5.4.14")
def test_tenants_take_turns() -> None:
    backlog = Backlog(
        {name: {"a": range(n, n + 9)} for n, name in ((0, "x"), (10, "y"), (20, "z"))}
    )
    turns = Turns()
    order = []
    for _ in range(9):
        (number,) = claim(backlog, limit=1, turns=turns)
        order.append(backlog.owner_of(number)[0])
        backlog.take([number])
    assert order == ["x", "y", "z"] * 3


def test_one_claim_deals_to_all_tenants_in_turn() -> None:
    backlog = Backlog({"x": {"a": [1, 2, 3]}, "y": {"a": [11, 12, 13]}, "z": {"a": [21]}})
    turns = Turns()
    assert claim(backlog, limit=5, turns=turns) == [1, 11, 21, 2, 12]
    backlog.take([1, 11, 21, 2, 12])
    assert claim(backlog, limit=5, turns=turns) == [3, 13]


def test_who_runs_least_is_first() -> None:
    # The requests of x are long: by turns alone it would hold more and more of the places.
    backlog = Backlog({"x": {"a": [1, 2]}, "y": {"a": [11, 12]}})
    assert claim(backlog, limit=3, running=[Running("x", "a", 1), Running("y", "z", 3)]) == [
        1,
        2,
        11,
    ]


def test_a_tenant_at_its_limit_is_passed_over_and_not_read() -> None:
    limits = ConcurrencyLimits(per_tenant=3)
    backlog = Backlog({"x": {"a": range(5_000)}, "y": {"a": [9_001]}})
    running = [Running("x", "a", 2), Running("x", "b", 1)]
    assert claim(backlog, limits=limits, running=running) == [9_001]
    assert backlog.read < 20
    assert claim(backlog, limits=limits, running=running[:1]) == [9_001, 0]


def test_an_action_at_its_limit_is_passed_over_and_not_read() -> None:
    limits = ConcurrencyLimits(per_action={"a": 2})
    backlog = Backlog({"x": {"a": range(5_000), "b": [9_001]}, "y": {"a": [9_002]}})
    assert claim(backlog, "a", "b", limits=limits) == [0, 9_002, 9_001]
    backlog.read = 0
    full = [Running("other", "a", 2)]
    assert claim(backlog, "a", "b", limits=limits, running=full) == [9_001]
    assert backlog.read < 20


def test_many_tenants_are_all_served_though_a_claim_looks_at_few_of_them() -> None:
    names = [f"t{n:03}" for n in range(10 * LEAST_WINDOW)]
    backlog = Backlog({name: {"a": [n, 1_000 + n]} for n, name in enumerate(names)})
    turns = Turns()
    served: Counter[str] = Counter()
    for _ in names:
        (number,) = claim(backlog, limit=1, turns=turns)
        served[backlog.owner_of(number)[0]] += 1
        backlog.take([number])
    assert served == Counter(names)


def test_a_record_is_taken_once() -> None:
    backlog = Backlog({"x": {"a": range(10), "b": range(20, 30)}, "y": {"b": range(40, 45)}})
    taken = claim(backlog, "a", "b", "a")
    assert len(taken) == len(set(taken)) == 25


def test_there_is_nothing_to_take_where_nothing_is_due_or_wanted() -> None:
    assert claim(Backlog({})) == []
    assert pick(Backlog({"x": {"a": [1]}}), [], [], UNLIMITED, Turns(), limit=5) == []
    assert claim(Backlog({"x": {"a": [1]}}), limit=0) == []


def test_limits_of_less_than_one_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        ConcurrencyLimits(per_tenant=0)
    with pytest.raises(ValueError, match="at least 1, not -1"):
        ConcurrencyLimits(per_action={"a": -1})


def test_an_end_makes_room_only_where_a_limit_holds() -> None:
    assert not UNLIMITED.hold_back("a")
    assert ConcurrencyLimits(per_tenant=1).hold_back("a")
    assert ConcurrencyLimits(per_action={"a": 1}).hold_back("a")
    assert not ConcurrencyLimits(per_action={"a": 1}).hold_back("b")
