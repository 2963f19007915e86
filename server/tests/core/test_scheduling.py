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

Backlogs = Mapping[str, Mapping[str, Sequence[int]]]


class Backlog:
    """What waits: tenant -> action -> ranks; a rank is its own record number. Counts its reads.

    All of a tenant is one owner's; with `/` in its name, `tenant/sub`, an owner is named.
    """

    def __init__(self, waiting: Backlogs) -> None:
        self.waiting: dict[tuple[str, str], dict[str, list[int]]] = {
            self._owner(name): {action: sorted(ranks) for action, ranks in actions.items()}
            for name, actions in waiting.items()
        }
        self.read = 0
        self._served: dict[str, str] = {}

    def tenant_after(self, action: str, tenant_id: str) -> str | None:
        self.read += 1
        found = {tenant for tenant, sub in self.waiting if self._of((tenant, sub), action)}
        return min((one for one in found if one > tenant_id), default=None)

    def owner_after(self, action: str, tenant_id: str, sub: str) -> str | None:
        self.read += 1
        found = {one for tenant, one in self.waiting if self._of((tenant_id, one), action)}
        return min((one for one in found if one > sub), default=None)

    def due(self, action: str, tenant_id: str, sub: str) -> Iterator[Waiting]:
        for number in tuple(self._of((tenant_id, sub), action)):
            self.read += 1
            yield Waiting(number, number)

    def served(self, tenant_id: str) -> str:
        return self._served.get(tenant_id, "")

    def serve(self, tenant_id: str, sub: str) -> None:
        self._served[tenant_id] = sub

    def take(self, numbers: Sequence[int]) -> None:
        for actions in self.waiting.values():
            for action, ranks in actions.items():
                actions[action] = [number for number in ranks if number not in numbers]

    def owner_of(self, number: int) -> tuple[str, str]:
        return next(
            owner
            for owner, actions in self.waiting.items()
            for ranks in actions.values()
            if number in ranks
        )

    def _of(self, owner: tuple[str, str], action: str) -> list[int]:
        return self.waiting.get(owner, {}).get(action, [])

    @staticmethod
    def _owner(name: str) -> tuple[str, str]:
        tenant, _, sub = name.partition("/")
        return tenant, sub or "someone"


def count(name: str, action: str, number: int) -> Running:
    return Running(*Backlog._owner(name), action, number)


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
def test_of_one_owner_the_least_rank_is_first_over_all_actions() -> None:
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
    assert claim(backlog, limit=3, running=[count("x", "a", 1), count("y", "z", 3)]) == [
        1,
        2,
        11,
    ]


def test_a_tenant_at_its_limit_is_passed_over_and_not_read() -> None:
    limits = ConcurrencyLimits(per_tenant=3)
    backlog = Backlog({"x": {"a": range(5_000)}, "y": {"a": [9_001]}})
    running = [count("x", "a", 2), count("x", "b", 1)]
    assert claim(backlog, limits=limits, running=running) == [9_001]
    assert backlog.read < 20
    assert claim(backlog, limits=limits, running=running[:1]) == [9_001, 0]


def test_an_action_at_its_limit_is_passed_over_and_not_read() -> None:
    limits = ConcurrencyLimits(per_action={"a": 2})
    backlog = Backlog({"x": {"a": range(5_000), "b": [9_001]}, "y": {"a": [9_002]}})
    assert claim(backlog, "a", "b", limits=limits) == [0, 9_002, 9_001]
    backlog.read = 0
    full = [count("other", "a", 2)]
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


@pytest.mark.clause("5.4.14")
def test_one_owners_backlog_does_not_delay_anothers_first_request() -> None:
    backlog = Backlog({"t/big": {"a": range(10_000)}, "t/small": {"a": [99_999]}})
    taken: list[int] = []
    for _ in range(2):
        taken += claim(backlog, limit=1)
        backlog.take(taken)
    assert 99_999 in taken
    assert backlog.read < 20, "a claim reads no further than it must"


@pytest.mark.clause("5.4.14", "5.4.16")
def test_owners_of_a_tenant_take_turns_whatever_their_ranks() -> None:
    backlog = Backlog(
        {f"t/{sub}": {"a": range(n, n + 9)} for n, sub in ((0, "x"), (10, "y"), (20, "z"))}
    )
    order = []
    for _ in range(9):
        (number,) = claim(backlog, limit=1)
        order.append(backlog.owner_of(number)[1])
        backlog.take([number])
    assert order == ["x", "y", "z"] * 3


@pytest.mark.clause("5.4.14")
def test_a_tenants_share_does_not_grow_with_its_owners() -> None:
    crowd = {f"crowd/{n:03}": {"a": [n, 1_000 + n]} for n in range(100)}
    backlog = Backlog({**crowd, "one/alone": {"a": range(5_000, 5_050)}})
    turns = Turns()
    taken: list[int] = []
    for _ in range(20):
        taken += claim(backlog, limit=5, turns=turns)
        backlog.take(taken[-5:])
    assert sum(number >= 5_000 for number in taken) == 50
    assert len({number % 1_000 for number in taken if number < 5_000}) == 50


def test_one_claim_deals_to_the_owners_of_a_tenant_in_turn() -> None:
    backlog = Backlog({"t/x": {"a": [1, 2, 3]}, "t/y": {"a": [11, 12]}, "t/z": {"a": [21]}})
    assert claim(backlog, limit=4) == [1, 11, 21, 2]


def test_an_owner_of_whom_less_runs_is_first() -> None:
    backlog = Backlog({"t/x": {"a": [1, 2]}, "t/y": {"a": [11, 12]}})
    assert claim(backlog, limit=3, running=[count("t/x", "b", 2)]) == [11, 12, 1]


def test_an_owner_at_its_limit_is_passed_over_and_not_read() -> None:
    limits = ConcurrencyLimits(per_owner=3)
    backlog = Backlog({"t/x": {"a": range(5_000)}, "t/y": {"a": [9_001]}})
    full = [count("t/x", "a", 2), count("t/x", "b", 1)]
    assert claim(backlog, limits=limits, running=full) == [9_001]
    assert backlog.read < 20
    assert claim(backlog, limits=limits, running=full[:1]) == [9_001, 0]


@pytest.mark.clause("5.4.14")
def test_the_last_places_are_kept_for_owners_of_whom_nothing_runs() -> None:
    limits = ConcurrencyLimits(kept_places=2)
    backlog = Backlog({"t/x": {"a": range(100)}, "u/x": {"a": range(200, 300)}})
    assert claim(backlog, limit=6, limits=limits) == [0, 200, 1, 201]
    running = [count("t/x", "a", 2), count("u/x", "a", 2)]
    assert claim(backlog, limit=2, limits=limits, running=running) == []
    backlog.waiting["t", "late"] = {"a": [500, 501]}
    assert claim(backlog, limit=2, limits=limits, running=running) == [500]
    assert claim(backlog, limit=3, limits=limits, running=running) == [500]


@pytest.mark.clause("5.4.14")
@pytest.mark.parametrize(
    "limits", [ConcurrencyLimits(kept_places=4), ConcurrencyLimits(per_owner=1)]
)
@pytest.mark.parametrize("owner", ["t{:02}/x", "t/o{:02}"])
def test_who_is_new_is_found_behind_any_number_of_whom_enough_runs(
    limits: ConcurrencyLimits, owner: str
) -> None:
    busy = [owner.format(n) for n in range(2 * LEAST_WINDOW)]
    backlog = Backlog({name: {"a": [n, 1_000 + n]} for n, name in enumerate(busy)})
    backlog.waiting["u", "late"] = {"a": [9_000]}
    backlog.waiting["t", "z-late"] = {"a": [9_001]}
    running = [count(name, "a", 1) for name in busy]
    assert set(claim(backlog, limit=4, limits=limits, running=running)) == {9_000, 9_001}
    # Also where the claim gives them what is not kept, before it looks for such.
    if limits.kept_places:
        taken = claim(backlog, limit=6, limits=limits, running=running)
        assert {9_000, 9_001} <= set(taken)


def test_many_owners_are_all_served_though_a_claim_looks_at_few_of_them() -> None:
    names = [f"o{n:03}" for n in range(10 * LEAST_WINDOW)]
    backlog = Backlog({f"t/{name}": {"a": [n, 1_000 + n]} for n, name in enumerate(names)})
    served: Counter[str] = Counter()
    for _ in names:
        (number,) = claim(backlog, limit=1)
        served[backlog.owner_of(number)[1]] += 1
        backlog.take([number])
    assert served == Counter(names)
    backlog.read = 0
    everybody = [count(f"t/{name}", "a", 1) for name in names]
    assert len(claim(backlog, limit=1, running=everybody)) == 1
    assert backlog.read < 2 * LEAST_WINDOW + 5, "more owners were read than the window is wide"


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
    with pytest.raises(ValueError, match="at least 1, not 0"):
        ConcurrencyLimits(per_owner=0)
    with pytest.raises(ValueError, match="must not be negative, not -1"):
        ConcurrencyLimits(kept_places=-1)


def test_an_end_makes_room_only_where_a_limit_holds() -> None:
    assert not UNLIMITED.hold_back("a")
    assert ConcurrencyLimits(per_tenant=1).hold_back("a")
    assert ConcurrencyLimits(per_owner=1).hold_back("a")
    assert ConcurrencyLimits(per_action={"a": 1}).hold_back("a")
    assert not ConcurrencyLimits(per_action={"a": 1}).hold_back("b")
