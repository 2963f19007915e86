# SPDX-License-Identifier: Apache-2.0
"""A queue of turns, against what it promises to each of those who wait."""

from __future__ import annotations

import random

import pytest

from longcall_server.core.turns import KEPT_PART, TurnQueue, kept_of


def test_whoever_comes_new_waits_for_one_of_each_other() -> None:
    queue: TurnQueue[int] = TurnQueue()
    for n in range(1_000):
        queue.put("flood", n)
    queue.put("second", 1)
    queue.put("first", 1)
    queue.put("first", 2)
    order = [queue.take() for _ in range(6)]
    assert [who for who, _ in filter(None, order)] == [
        *("flood", "second", "first"),
        *("flood", "first", "flood"),
    ]
    assert len(queue) == 997


def test_what_one_has_put_in_stays_in_order_whatever_others_do() -> None:
    dice = random.Random(1)
    queue: TurnQueue[int] = TurnQueue()
    put: dict[str, list[int]] = {who: [] for who in "abc"}
    taken: dict[str, list[int]] = {who: [] for who in "abc"}
    for n in range(3_000):
        if dice.random() < 0.55:
            who = dice.choice("aaaabc")
            queue.put(who, n)
            put[who].append(n)
        elif (found := queue.take()) is not None:
            taken[str(found[0])].append(found[1])
        assert len(queue) == sum(map(len, put.values())) - sum(map(len, taken.values()))
    while (found := queue.take()) is not None:
        taken[str(found[0])].append(found[1])
    assert taken == put
    assert not queue


def test_only_those_who_may_are_served_and_others_keep_their_turn() -> None:
    queue: TurnQueue[int] = TurnQueue()
    for who in "abc":
        queue.put(who, 1)
    assert queue.take(lambda who: who == "c") == ("c", 1)
    assert queue.take(lambda who: who == "c") is None
    assert queue.take() == ("a", 1)
    assert queue.take() == ("b", 1)
    assert queue.take() is None


def test_what_is_withdrawn_does_not_come() -> None:
    queue: TurnQueue[int] = TurnQueue()
    queue.put("a", 1)
    queue.put("a", 2)
    queue.put("b", 1)
    assert queue.withdraw("a", 1)
    assert not queue.withdraw("a", 1)
    assert queue.withdraw("b", 1)
    assert not queue.withdraw("nobody", 1)
    queue.put("b", 3)
    assert [queue.take() for _ in range(3)] == [("a", 2), ("b", 3), None]
    queue.put("a", 1)
    queue.clear()
    assert queue.take() is None


@pytest.mark.clause("5.4.14")
def test_some_places_are_kept_where_there_are_many() -> None:
    assert [kept_of(n) for n in (1, KEPT_PART - 1, KEPT_PART, 4 * KEPT_PART)] == [0, 0, 1, 4]
