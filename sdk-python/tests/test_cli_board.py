# SPDX-License-Identifier: Apache-2.0
"""The live board: what it shows of each request, in how little room."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from rich.cells import cell_len
from rich.console import Console

from longcall import Chunk, ClientState, Progress, RequestHandle, Status
from longcall.asyncio import Client
from longcall.cli.board import Board
from longcall.cli.exits import Exit
from longcall.cli.jobs import Job

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ID = "01a213c7-77b8-7bc0-8039-dc7965d377e1"


async def never(client: Client) -> RequestHandle:
    raise AssertionError("nobody starts it")


def board(
    width: int,
    height: int = 30,
    encoding: str = "utf-8",
    now: Callable[[], float] = lambda: 0.0,
) -> tuple[Board, io.TextIOWrapper]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    console = Console(
        file=stream,
        width=width,
        height=height,
        force_terminal=True,
        color_system=None,
        get_time=now,
    )
    return Board(console), stream


def drawn(board: Board) -> list[str]:
    """The lines that it would show now."""
    console = board._console
    with console.capture() as capture:
        console.print(board)
    return capture.get().splitlines()


def jobs(count: int, action: str = "report") -> list[Job]:
    return [Job(index, f"{ID}-{index}", f"{action} {index + 1}", never) for index in range(count)]


def progress(percentage: float | None, message: str | None = None, attempt: int = 1) -> Progress:
    return Progress(attempt, 1, NOW, percentage, message)


def test_row_follows_its_request() -> None:
    now = 1000.0
    shown, _ = board(100, now=lambda: now)
    (job,) = jobs(1)
    shown.begin([job])
    assert drawn(shown)[0].startswith("·  report 1  waiting")
    shown.start(job)
    assert "sending" in drawn(shown)[0]
    shown.event(job, Status(2, "processing", 1))
    now += 59.9
    shown.event(job, progress(40.4, "page 2 of 5"))
    for seq in (3, 4, 5):
        shown.event(job, Chunk(seq, 1, None))
    (line,) = drawn(shown)
    assert re.search(r"report 1  page 2 of 5 .*━+.* 40 %  3 chunks  0:59$", line)
    shown.event(job, Status(6, "processing", 2, chunks_kept_to=3))
    (line,) = drawn(shown)
    assert "attempt 2: running" in line
    assert "1 chunk " in line
    assert "%" not in line
    job.exit = Exit.COMPLETED
    now += 0.2
    shown.end(job, job.exit)
    now += 60
    assert re.match(r"✓  report 1  completed .*━+ .*1:00$", drawn(shown)[0])


@pytest.mark.parametrize("width", [1, 5, 12, 20, 28, 40, 60, 72, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal_and_none_is_broken(width: int) -> None:
    shown, _ = board(width)
    many = [*jobs(2, "a_very_long_name_of_an_action_indeed"), Job(2, ID, ID, never)]
    shown.begin(many)
    shown.state(ClientState("reconnecting", retry_in=3.5, reason="the cable was pulled " * 9))
    for job in many:
        shown.start(job)
        shown.event(job, progress(100, "宽字符 and words " * 20))
        shown.event(job, Chunk(3, 1, None))
    lines = drawn(shown)
    assert max(map(cell_len, lines)) <= width
    assert len(lines) == 4


def test_what_moves_is_shown_where_there_is_no_room_for_all() -> None:
    shown, _ = board(80, height=6)
    many = jobs(9)
    shown.begin(many)
    for job in many[:7]:
        shown.start(job)
    for job, exit in zip(many, [Exit.COMPLETED] * 4 + [Exit.FAILED], strict=False):
        job.exit = exit
        shown.end(job, exit)
    lines = drawn(shown)
    assert [line.split("  ")[1] for line in lines[:3]] == ["report 5", "report 6", "report 7"]
    assert lines[3].rstrip() == "… and 2 waiting, 4 completed"


def test_connection_that_is_lost_is_told_until_it_is_back() -> None:
    now = 10.0
    shown, _ = board(80, now=lambda: now)
    shown.begin(jobs(1))
    shown.state(ClientState("connecting"))
    now += 1
    assert len(drawn(shown)) == 1
    now += 1
    assert drawn(shown)[1].rstrip() == "! connecting"
    shown.state(ClientState("reconnecting", retry_in=4.0, reason="gone"))
    now += 0.5
    assert drawn(shown)[1].rstrip() == "! connection lost; next try in 3.5 s (gone)"
    shown.state(ClientState("ready", resumed=True))
    assert len(drawn(shown)) == 1


def test_nothing_that_a_handler_says_reaches_the_terminal_as_a_command() -> None:
    shown, _ = board(100)
    (job,) = jobs(1)
    shown.begin([job])
    shown.start(job)
    shown.event(job, progress(1, "\x1b[2J\x9b1m[bold]x\u202e\n"))
    (line,) = drawn(shown)
    assert "\ufffd[2J\ufffd1m[bold]x\ufffd" in line


def test_terminal_without_unicode_gets_letters_that_it_has() -> None:
    shown, stream = board(60, encoding="ascii")
    done, failed = jobs(2)
    shown.begin([done, failed])
    with shown:
        for job, exit in ((done, Exit.COMPLETED), (failed, Exit.FAILED)):
            shown.start(job)
            job.exit = exit
            shown.end(job, exit)
    stream.flush()
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    text = raw.getvalue().decode("ascii")
    assert re.search(r"\+ report 1 completed", text)
    assert re.search(r"x report 2 failed", text)


def test_id_that_has_no_room_shows_its_end() -> None:
    for width, label in ((120, ID), (80, f"…{ID[-8:]}")):
        shown, _ = board(width)
        shown.begin([Job(0, ID, ID, never)])
        assert drawn(shown)[0].split()[1] == label
