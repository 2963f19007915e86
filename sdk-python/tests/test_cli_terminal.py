# SPDX-License-Identifier: Apache-2.0
"""The command as a program: in a real terminal, in pipes, and when somebody ends it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

import pytest
from command_line import begun
from peer import Peer
from terminal import PATIENCE, terminal

from longcall.cli.exits import Exit
from longcall.testing.messages import complete, progress

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("command_environment")]

LONGCALL = (sys.executable, "-m", "longcall.cli")


async def test_bar_moves_on_the_terminal_and_the_result_goes_to_the_pipe(peer: Peer) -> None:
    async with terminal(*LONGCALL, "call", "report", "--url", peer.url, pipe=True) as shown:
        talk, rid = await begun(peer)
        await talk.send(progress(rid, 1, 1, percentage=25, message="a [quarter]"))
        assert b"\x1b[" in await shown.until(b"a [quarter]")
        await shown.until(b"25 %")
        await talk.send(complete(rid, 3, [1]))
        assert shown.process.stdout is not None
        out = await shown.process.stdout.read()
        assert "completed" in (await shown.rest()).decode()
    assert shown.process.returncode == Exit.COMPLETED
    assert out == b"[\n  1\n]\n"


async def test_result_stands_on_the_same_terminal_beside_the_bar(peer: Peer) -> None:
    async with terminal(*LONGCALL, "call", "report", "--url", peer.url) as shown:
        talk, rid = await begun(peer)
        await shown.until(b"running")
        await talk.send(complete(rid, 3, {"rows": 1461}))
        await shown.until(b"1461")
        await shown.rest()
    assert shown.process.returncode == Exit.COMPLETED


@pytest.mark.parametrize(
    ("environment", "has_colours", "moves"),
    [({}, True, True), ({"NO_COLOR": "1"}, False, True), ({"TERM": "dumb"}, False, False)],
)
async def test_colours_and_moves_are_left_out_where_they_are_not_wanted(
    peer: Peer, environment: dict[str, str], has_colours: bool, moves: bool
) -> None:
    words = (*LONGCALL, "call", "report", "--url", peer.url)
    async with terminal(*words, environment=environment) as shown:
        talk, rid = await begun(peer)
        await talk.send(complete(rid, 3, {"rows": 1461}))
        text = await shown.rest()
    assert shown.process.returncode == Exit.COMPLETED
    assert (b"\x1b[1;3" in text or b"\x1b[3" in text) is has_colours
    assert (b"\x1b[?25l" in text) is moves  # the cursor is hidden, and comes back
    assert (b"\x1b[?25h" in text) is moves
    assert b"1461" in text


async def test_pipes_get_no_escape_codes(peer: Peer) -> None:
    process = await asyncio.create_subprocess_exec(
        *(*LONGCALL, "call", "report", "--url", peer.url),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
    )
    try:
        talk, rid = await begun(peer)
        await talk.send(progress(rid, 1, 1, percentage=25, message="\x1b[2Ja quarter"))
        await talk.send(complete(rid, 3, {"text": "\x1b[31m\x9b"}))
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert b"\x1b" not in out + err
    assert b"\xc2\x9b" not in out
    assert json.loads(out) == {"text": "\x1b[31m\x9b"}
    assert "25 % \ufffd[2Ja quarter" in err.decode()


@pytest.mark.parametrize("pipe", [False, True])
async def test_ctrl_c_in_a_terminal_detaches_and_says_how_to_come_back(
    peer: Peer, pipe: bool
) -> None:
    words = (*LONGCALL, "call", "report", "--id", "job", "--url", peer.url)
    async with terminal(*words, columns=200, pipe=pipe) as shown:
        talk, _ = await begun(peer)
        await shown.until(b"running")
        shown.type(b"\x03")
        await talk.expect("detach", request_id="job")
        text = await shown.rest()
    assert shown.process.returncode == Exit.INTERRUPTED
    come_back = f"the request goes on; come back: longcall watch job --url {peer.url}"
    assert come_back.encode() in text
    assert b"Traceback" not in text
    assert b"\x1b[?25h" in text  # the cursor is back


@pytest.mark.parametrize(
    ("number", "exit"), [(signal.SIGINT, Exit.INTERRUPTED), (signal.SIGTERM, Exit.TERMINATED)]
)
async def test_signals_detach_in_a_script_as_well(
    peer: Peer, number: signal.Signals, exit: Exit
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(*LONGCALL, "call", "report", "1", "2", "--parallel", "1", "--json", "--url", peer.url),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ,
    )
    try:
        talk, rid = await begun(peer)
        process.send_signal(number)
        await talk.expect("detach", request_id=rid)
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == exit
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["index"], line["outcome"]) for line in lines] == [
        (0, exit.outcome),
        (1, exit.outcome),
    ]
    assert b"1 request was not sent" in err
    assert f"longcall watch {rid} ".encode() in err
    assert b"Traceback" not in err


async def test_reader_that_goes_away_ends_it_quietly(peer: Peer) -> None:
    process = await asyncio.create_subprocess_exec(
        *(*LONGCALL, "call", "report", "--chunks", "--url", peer.url),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ,
    )
    try:
        talk, rid = await begun(peer)
        assert process.stdout is not None
        process.stdout._transport.close()  # type: ignore[attr-defined] # as `| head` does
        await talk.send(complete(rid, 3, "x" * 100_000))
        async with asyncio.timeout(PATIENCE):
            assert process.stderr is not None
            err = await process.stderr.read()
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == Exit.FAILED
    assert b"Traceback" not in err
    assert b"BrokenPipe" not in err
