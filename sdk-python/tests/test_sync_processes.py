# SPDX-License-Identifier: Apache-2.0
"""`longcall.sync` over forks, interrupts and exits, in processes of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from peer import PATIENCE, Peer, Talk
from sync_clients import echo

from longcall.testing.messages import acknowledgment, chunk, complete, snapshot

pytestmark = pytest.mark.slow

PROGRAMS = Path(__file__).with_name("sync_programs.py")
START = 6 * PATIENCE
"""How long a process may take to start on a busy machine."""


class Program:
    """A function of sync_programs.py in a process; `told` gives what it prints."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def told(self) -> Any:
        assert self.process.stdout is not None
        async with asyncio.timeout(START):
            line = await self.process.stdout.readline()
        assert line, "it has ended"
        values = json.loads(line)
        return values[0] if len(values) == 1 else tuple(values)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    async def ends(self) -> None:
        """It ends well, by itself, and says nothing more."""
        async with asyncio.timeout(START):
            out, err = await self.process.communicate(b"")
        assert (self.process.returncode, out, err) == (0, b"", b"")


@pytest.fixture
def peer(peer: Peer) -> Peer:
    """The scripted server, which waits until a process has started."""
    peer.patience = START
    return peer


@asynccontextmanager
async def program(name: str, peer: Peer) -> AsyncIterator[Program]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "ignore:This process:DeprecationWarning",  # of a fork with threads, which is the subject
        PROGRAMS,
        name,
        peer.url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate(b"")  # a child that it left ends here as well


# Forks.


async def test_in_a_child_every_use_raises_and_the_parent_goes_on(peer: Peer) -> None:
    async with program("fork", peer) as forked:
        talk = await peer.welcome()
        await talk.expect("attach", request_id="job")
        await talk.send(snapshot("job"), acknowledgment("job"))
        name, errors = await forked.told()
        assert name == "child"
        assert errors == dict.fromkeys(errors, "Forked")
        assert len(errors) == 17
        await echo(await peer.welcome(), 1)
        assert await forked.told() == ("child again", "child")
        await echo(talk, 1)
        await talk.send(chunk("job", 2))
        assert await forked.told() == ("parent", 0, "parent", 2)
        await forked.ends()
        assert await talk.closed() == 1000


async def test_child_that_ends_inside_of_with_leaves_the_parents_connection(peer: Peer) -> None:
    async with program("leave_early_in_a_child", peer) as forked:
        talk = await peer.welcome()
        await echo(talk, 2)
        assert await forked.told() == ("parent", 0, 2)
        await forked.ends()
        assert await talk.closed() == 1000


async def test_child_of_multiprocessing_raises_and_connects_again(peer: Peer) -> None:
    async with program("multiprocess", peer) as forked:
        talk = await peer.welcome()
        await echo(talk, 1)
        await echo(await peer.welcome(), 1)
        await echo(talk, 1)
        assert await forked.told() == ("parent", 0, 2)
        await forked.ends()


async def test_client_that_was_not_used_before_a_fork_starts_in_each_child(peer: Peer) -> None:
    async with program("prefork", peer) as forked:
        for name in ("first", "second"):
            await echo(await peer.welcome(), 1)
            assert await forked.told() == name
            assert await forked.told() == 0
        await echo(await peer.welcome(), 1)
        assert await forked.told() == "parent"
        await forked.ends()


async def test_child_keeps_no_connection_of_a_parent_that_died(peer: Peer) -> None:
    async with program("parent_dies", peer) as forked:
        talk = await peer.welcome()
        await echo(talk, 1)
        assert await talk.closed() is None  # at once, though the child lives
        assert forked.process.stdin is not None
        assert forked.process.stdout is not None
        forked.process.stdin.close()
        assert await forked.process.stdout.read() == b""  # now it has ended


# Ctrl-C.


async def detached_beside_a_request(talk: Talk, rid: str) -> dict[str, Any]:
    """Takes the `detach` of one request and the next `request`, whichever comes first."""
    messages = {message["type"]: message for message in [await talk.take(), await talk.take()]}
    assert messages["detach"]["request_id"] == rid
    return messages["request"]


@pytest.mark.complaint(3, 22)
async def test_interrupted_cells_of_a_notebook_detach_and_the_client_goes_on(peer: Peer) -> None:
    async with program("notebook", peer) as notebook:
        talk = await peer.welcome()
        await talk.expect("attach", request_id="job")
        await talk.send(snapshot("job"), acknowledgment("job"))

        call = await talk.expect("request")
        notebook.interrupt()
        assert await notebook.told() == ("call", "interrupted")
        await talk.send(acknowledgment(call["id"]))
        submit = await detached_beside_a_request(talk, call["id"])

        notebook.interrupt()
        assert await notebook.told() == ("submit", "interrupted")
        await talk.send(acknowledgment(submit["id"]))
        call = await detached_beside_a_request(talk, submit["id"])

        await talk.send(acknowledgment(call["id"]))
        notebook.interrupt()
        assert await notebook.told() == ("callbacks", "interrupted")
        await talk.expect("detach", request_id=call["id"])

        assert await notebook.told() == ("event", 1)
        notebook.interrupt()
        assert await notebook.told() == ("iteration", "interrupted")
        await talk.expect("detach", request_id="job")

        await talk.expect("attach", request_id="job", after_seq=1)
        await talk.send(snapshot("job", last_seq=1), complete("job", 2, "end"))
        assert await notebook.told() == ("result", "end")
        assert await notebook.told() == ("state", "ready")
        await echo(talk, 1)
        assert await notebook.told() == ("again", "well")
        await notebook.ends()
    assert peer.most_live == 1


async def test_interrupt_in_a_callback_comes_out_of_the_call(peer: Peer) -> None:
    async with program("callback_interrupted", peer) as interrupted:
        talk = await peer.welcome()
        call = await talk.expect("request")
        await talk.send(acknowledgment(call["id"]), chunk(call["id"], 2, "a"))
        assert await interrupted.told() == ("chunk", "a")
        interrupted.interrupt()
        assert await interrupted.told() == "interrupted"
        await talk.expect("cancel", request_id=call["id"])
        await talk.expect("detach", request_id=call["id"])
        await echo(talk, 1)
        assert await interrupted.told() == "well"
        await interrupted.ends()


# Exits.


async def test_exit_closes_a_client_that_nobody_closed(peer: Peer) -> None:
    async with program("exit_open", peer) as exits:
        talk = await peer.welcome()
        await echo(talk, 1)
        assert await exits.told() == 1
        await exits.ends()
        assert await talk.closed() == 1000


async def test_exit_does_not_wait_for_a_thread_that_waits(peer: Peer) -> None:
    async with program("exit_while_another_waits", peer) as exits:
        talk = await peer.welcome()
        await echo(talk, 1)
        assert await exits.told() == 1
        await talk.expect("request", action="report")
        await exits.ends()  # its standard input ends here
        assert await talk.closed() == 1000


async def test_exit_waits_for_no_server_and_no_token(peer: Peer) -> None:
    async with program("exit_offline", peer) as exits:
        assert await exits.told() == (True, "connecting")
        await exits.ends()
