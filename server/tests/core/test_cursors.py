# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from longcall_server.core.cursors import Cursor
from longcall_server.core.progress import ProgressGate


@dataclass(frozen=True)
class Event:
    seq: int
    is_terminal: bool = False

    @property
    def frame(self) -> str:
        return f'{{"type":"event","seq":{self.seq}}}'


@dataclass(frozen=True)
class Report:
    attempt: int
    version: int

    @property
    def body(self) -> str:
        return f'{{"attempt":{self.attempt},"version":{self.version}}}'


def cursor(position: int = 0, until: int | None = None, sent: tuple[int, int] = (0, 0)) -> Cursor:
    return Cursor("r1", 1, position, until, ProgressGate(100, sent=sent))


def shown(frames: list[str]) -> list[int | str]:
    messages = [json.loads(frame) for frame in frames]
    return [
        message["seq"] if "seq" in message else f"{message['attempt']}.{message['version']}"
        for message in messages
    ]


LOG = [Event(1), Event(2), Event(3), Event(4, is_terminal=True)]


@pytest.mark.clause("4.5.2", "6.1.1")
def test_events_are_given_once_and_in_order() -> None:
    reader = cursor(position=1)
    assert shown(list(reader.frames(LOG[:3], None))) == [2, 3]
    assert shown(list(reader.frames(LOG[:3], None))) == []
    assert shown(list(reader.frames(LOG, None))) == [4]
    assert reader.ended
    assert not reader.follows


@pytest.mark.clause("4.5.4", "4.5.5")
def test_a_read_without_following_ends_at_its_snapshot() -> None:
    reader = cursor(position=1, until=3)
    assert not reader.follows
    assert shown(list(reader.frames(LOG, Report(1, 9)))) == [2, 3]
    assert reader.ended
    assert cursor(position=3, until=3).ended


@pytest.mark.clause("6.1.2", "10.35.2")
def test_the_stored_progress_goes_before_the_terminal_event_if_it_is_newer() -> None:
    assert shown(list(cursor(3).frames(LOG, Report(2, 7)))) == ["2.7", 4]
    assert shown(list(cursor(3, sent=(2, 7)).frames(LOG, Report(2, 7)))) == [4]
    assert shown(list(cursor(3, sent=(2, 6)).frames(LOG, Report(2, 7)))) == ["2.7", 4]


@pytest.mark.clause("6.1.2", "6.3.3")
def test_progress_held_back_goes_before_the_terminal_event_too() -> None:
    reader = cursor(3)
    assert reader.offer(Report(1, 1))
    assert reader.take_progress(1000) is not None
    assert reader.offer(Report(1, 2))
    assert reader.take_progress(1001) is None
    assert shown(list(reader.frames(LOG, None))) == ["1.2", 4]


@pytest.mark.clause("10.35.3")
def test_there_is_no_progress_behind_the_terminal_event() -> None:
    reader = cursor(3)
    list(reader.frames(LOG, None))
    assert not reader.offer(Report(9, 9))
    assert reader.take_progress(10_000) is None


@pytest.mark.clause("1.1.8")
def test_stored_progress_reaches_a_reader_who_missed_it_live() -> None:
    reader = cursor(2)
    list(reader.frames([], Report(1, 5)))
    frame = reader.take_progress(0)
    assert frame == '{"type":"progress","request_id":"r1","attempt":1,"version":5}'
