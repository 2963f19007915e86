# SPDX-License-Identifier: Apache-2.0
"""What the hostile send follows from the seed alone, and what is expected from PROTOCOL.md."""

from __future__ import annotations

import expectations
import pytest
from expectations import Fate
from memory import MIB, Memory
from plays import Play, play
from vocabulary import Stock

STOCK = Stock(
    token="good",
    foreign_tokens=("other",),
    bad_tokens=("bad",),
    own_ids=("m1", "m2"),
    foreign_ids=("c1",),
)


def told(played: Play) -> list[tuple[str, Fate]]:
    shots = [played.first, *(shot for volley in played.volleys for shot in volley)]
    return [(shot.told, shot.fate) for shot in shots]


def test_a_play_can_be_done_again_whatever_was_played_before() -> None:
    first = [told(play(STOCK, 65_536, 7, 1, number)) for number in range(40)]
    again = [told(play(STOCK, 65_536, 7, 1, number)) for number in reversed(range(40))]
    assert again[::-1] == first
    assert told(play(STOCK, 65_536, 8, 1, 0)) != first[0]


def test_only_the_last_shot_of_a_play_ends_the_connection() -> None:
    for number in range(60):
        played = play(STOCK, 65_536, 3, 0, number)
        shots = [shot for volley in played.volleys for shot in volley]
        assert all(not shot.fate.ends and not shot.drops for shot in shots[:-1])


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        (b'{"type":"hello","token":"good"}', Fate(is_welcomed=True)),
        (b'{"type":"hello","token":"bad"}', Fate(frozenset({4401}))),
        (b'{"type":"hello"}', Fate(frozenset({4401}))),
        (b'{"type":"hello","token":7}', Fate(frozenset({4401}))),
        (b'{"type":"hello","token":7,"client":{}}', Fate(frozenset({4400}))),
        (b'{"type":"hello","token":"good","client":1}', Fate(frozenset({4400}))),
        (b'{"type":"ping"}', Fate(frozenset({4400}))),
        (b"{", Fate(frozenset({4400}))),
        (b"\xff", Fate(frozenset({1007}))),
        (b'{"type":"hello","token":"good","x":1e400}', Fate(frozenset({4400, 4401}), False, True)),
    ],
)
def test_the_first_message_has_the_fate_that_the_protocol_gives_it(text: bytes, fate: Fate) -> None:
    assert expectations.of_first(text, 100, frozenset({"good"})) == fate


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        (b'{"type":"request"}', Fate()),
        (b'{"type":"subscribe"}', Fate(is_refused=True)),
        (b'{"type":["ping"]}', Fate(is_refused=True)),
        (b"[" * 50 + b"]" * 50, Fate(is_refused=True)),
        (b'{"type":"ping","x":NaN}', Fate(is_refused=True)),
        (b"x" * 101, Fate(frozenset({1009}))),
        (b'"\xc3"', Fate(frozenset({1007}))),
    ],
)
def test_a_later_message_is_survived_unless_it_is_no_text(text: bytes, fate: Fate) -> None:
    assert expectations.of_text(text, 100) == fate


def test_memory_that_settles_does_not_grow_and_memory_that_leaks_does() -> None:
    settled = Memory([(float(at), min(at, 50) * MIB) for at in range(101)])
    leaking = Memory([(float(at), at * MIB) for at in range(101)])
    assert (settled.peak, settled.growth()) == (50 * MIB, 0)
    assert leaking.growth() == pytest.approx(50 * MIB)
