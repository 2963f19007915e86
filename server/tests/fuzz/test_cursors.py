# SPDX-License-Identifier: Apache-2.0
"""Cursors: those of listings, which clients hand back, and those in logs, which frames move."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longcall_server.core.cursors import Cursor
from longcall_server.core.progress import ProgressGate
from longcall_server.stores.base import BadCursor, ListFilter, Owner
from longcall_server.stores.cursors import decode_cursor, encode_cursor

NAMES = st.text(max_size=4)
FILTERS = st.builds(
    ListFilter,
    owner=st.builds(Owner, tenant_id=NAMES, sub=NAMES),
    statuses=st.lists(st.sampled_from(["queued", "failed", "x"]), max_size=3).map(tuple),
    action=st.none() | NAMES,
)
PLACES = st.tuples(
    st.integers(0, 2**53 - 1), st.from_regex(r"[A-Za-z0-9._:-]{1,16}", fullmatch=True)
)


@settings(deadline=None)
@given(FILTERS, PLACES, FILTERS)
def test_a_cursor_leads_back_to_its_place_and_into_no_other_listing(
    where: ListFilter, place: tuple[int, str], elsewhere: ListFilter
) -> None:
    cursor = encode_cursor(where, *place)
    assert decode_cursor(where, cursor) == place
    is_same = elsewhere.owner == where.owner and elsewhere.action == where.action
    if is_same and set(elsewhere.statuses) == set(where.statuses):
        return
    with pytest.raises(BadCursor):
        decode_cursor(elsewhere, cursor)


@settings(deadline=None)
@given(FILTERS, PLACES, st.integers(0, 200), st.text(max_size=3))
def test_a_cursor_that_was_changed_is_none(
    where: ListFilter, place: tuple[int, str], at: int, put_in: str
) -> None:
    cursor = encode_cursor(where, *place)
    changed = cursor[:at] + put_in + cursor[at + 1 :]
    if changed == cursor:
        return
    try:
        found = decode_cursor(where, changed)
    except BadCursor:
        return
    # The last character of base64 has bits that mean nothing.
    assert found == place


@settings(deadline=None)
@given(FILTERS, st.text())
def test_no_text_is_a_cursor_that_no_listing_gave(where: ListFilter, text: str) -> None:
    with pytest.raises(BadCursor):
        decode_cursor(where, text)


@dataclass(frozen=True)
class Event:
    seq: int
    is_terminal: bool

    @property
    def frame(self) -> str:
        return json.dumps({"seq": self.seq})


@dataclass(frozen=True)
class Report:
    attempt: int
    version: int

    @property
    def body(self) -> str:
        return json.dumps({"attempt": self.attempt, "version": self.version})


@settings(deadline=None)
@given(
    length=st.integers(1, 12),
    position=st.integers(0, 12),
    until=st.none() | st.integers(0, 12),
    reads=st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=12),
    reports=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4)), min_size=1, max_size=12),
)
def test_frames_of_a_log_come_once_in_order_and_the_newest_progress_before_the_end(
    length: int,
    position: int,
    until: int | None,
    reads: list[tuple[int, bool]],
    reports: list[tuple[int, int]],
) -> None:
    """Any pieces of the log, read in any overlap, with progress between them."""
    log = [Event(seq, seq == length) for seq in range(1, length + 1)]
    cursor = Cursor("r1", 1, position, until, ProgressGate(100))
    frames: list[str] = []
    offered: list[tuple[int, int]] = []
    for number, (end, with_progress) in enumerate(reads):
        report = Report(*reports[number % len(reports)]) if with_progress else None
        if report is not None and cursor.follows:
            offered.append((report.attempt, report.version))
        # A store reads from where the cursor stands, and perhaps once more what it has given.
        begin = min(cursor.position, end)
        frames += list(cursor.frames(log[max(0, begin - 1) : end], report))
        due = cursor.take_progress(1000 * number)
        frames += [due] if due is not None else []
    told = [json.loads(frame) for frame in frames]
    seqs = [message["seq"] for message in told if "seq" in message]
    assert seqs == list(range(position + 1, position + 1 + len(seqs)))
    progress = [(one["attempt"], one["version"]) for one in told if "version" in one]
    assert progress == sorted(set(progress))
    if until is not None:
        assert not progress
        assert all(seq <= until for seq in seqs)
    if cursor.ended and until is None and seqs:
        assert "seq" in told[-1], "progress behind the end"
        if offered:
            assert progress[-1:] == [max(offered)]
