# SPDX-License-Identifier: Apache-2.0
"""A reader that stops at the level of TCP: it costs little, harms nobody, and loses nothing.

`make stalled` runs this with 50 MB of chunks and 10,000 progress messages, in five rounds with the
stalled reader and five without, one after the other in turn, and compares the waiting of others.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from processes import Process, serving
from raw_socket import Ended, RawSocket
from stalled_app import CHUNK_BYTES, chunk_of
from wire import Message, Wire, connected

pytestmark = pytest.mark.slow

IS_LONG = os.environ.get("LONGCALL_STALLED") == "long"
ROUNDS = 5 if IS_LONG else 1
CHUNKS = (50 if IS_LONG else 12) * (1 << 20) // CHUNK_BYTES
PROGRESS = 10_000 if IS_LONG else 2_000
BOUND = 1 << 20
MESSAGE = 1 << 17
FLAGS = ("--send-buffer-bytes", str(BOUND), "--max-message-bytes", str(MESSAGE))
SMALL = 16_384
"""The receive buffer of the reader that stops."""
OTHERS = 4
PACE = 0.01
"""Seconds between two quick requests of one of the others."""


@asynccontextmanager
async def server(folder: Path, *flags: str) -> AsyncIterator[Process]:
    async with serving(folder, *FLAGS, *flags, handlers="stalled_app:handlers") as process:
        yield process


class Others:
    """Clients with quick requests, who must not notice."""

    def __init__(self, wires: list[Wire]) -> None:
        self._wires = wires
        self._seconds: list[float] = []

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[list[float]]:
        """While the block runs; gives the seconds that each answer took."""
        self._seconds = []
        tasks = [asyncio.create_task(self._ask(wire)) for wire in self._wires]
        try:
            yield self._seconds
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends

    async def _ask(self, wire: Wire) -> None:
        number = 0
        while True:
            number += 1
            begun = time.perf_counter()
            # Whoever is cancelled in here leaves an answer behind: the name tells it apart.
            name = f"{id(wire)}-{begun}"
            await wire.send("request", id=name, action="echo", payload=number)
            await wire.until(lambda message: message.get("request_id") == name)  # noqa: B023
            self._seconds.append(time.perf_counter() - begun)
            await asyncio.sleep(PACE)


def p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98]


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def poured(wire: Wire) -> dict[str, Any]:
    """Waits for the end of a pouring; what the probe has measured."""
    await wire.send("request", id=f"poured-{time.perf_counter()}", action="poured")
    async with asyncio.timeout(600):
        while True:
            try:
                return dict((await wire.until_type("response"))[-1]["result"])
            except TimeoutError:
                continue  # of one message: it takes as long as it takes


async def pour_unread(wire: Wire, name: str) -> None:
    """A pouring that nobody follows."""
    payload = {"chunks": CHUNKS, "progress": PROGRESS}
    await wire.send("request", id=name, action="pour", payload=payload)
    await wire.until_type("acknowledgment")
    await wire.send("detach", request_id=name)


def check_log(messages: list[Message]) -> None:
    """Everything came, in order, byte for byte, with the newest progress before the end."""
    numbered = [message for message in messages if "seq" in message]
    assert [message["seq"] for message in numbered] == list(range(1, CHUNKS + 4))
    chunks = [message["data"] for message in numbered if message["type"] == "chunk"]
    assert len(chunks) == CHUNKS
    assert all(chunk == chunk_of(number) for number, chunk in enumerate(chunks))
    assert (messages[-1]["type"], messages[-1]["result"]) == ("complete", CHUNKS)
    progress = [message for message in messages if message["type"] == "progress"]
    versions = [message["version"] for message in progress]
    assert versions == sorted(set(versions))
    assert (versions[-1], progress[-1]["percentage"]) == (PROGRESS, 100)


async def read_to_the_end(reader: RawSocket, messages: list[Message]) -> None:
    while not messages or messages[-1]["type"] != "complete":
        messages.append(await reader.receive())


@pytest.mark.clause("6.4.1", "10.35.2")
@pytest.mark.timeout(1800 if IS_LONG else 300)
@pytest.mark.complaint(19)
async def test_a_reader_that_stops_is_bounded_and_harms_nobody_and_gets_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without, stalled = [], []
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(server(tmp_path, "--stall-timeout", "1h"))
        wire = await stack.enter_async_context(connected(process.url))
        others = Others(
            [await stack.enter_async_context(connected(process.url)) for _ in range(OTHERS)]
        )
        if IS_LONG:  # what a server makes once is no part of the comparison
            await pour_unread(wire, "first")
            await poured(wire)
        for number in range(ROUNDS):
            async with others.asking() as seconds:
                await pour_unread(wire, f"unread-{number}")
                await poured(wire)
            without.append(p99(seconds))
            before = resident(process.pid)
            reader = await RawSocket.open(process.url, receive_buffer=SMALL)
            async with reader, others.asking() as seconds:
                await reader.send(
                    "request",
                    id=f"stalled-{number}",
                    action="pour",
                    payload={"chunks": CHUNKS, "progress": PROGRESS},
                )
                messages = [await reader.receive()]
                # From here on it takes nothing, until everything is there.
                measured = await poured(wire)
                stalled.append(p99(seconds))
                grown = resident(process.pid) - before
                assert measured["waits"] > 0, "the bound was never reached"
                assert BOUND - MESSAGE < measured["most"] <= BOUND
                if IS_LONG:  # a short run is over before the server has all that it keeps
                    assert grown < CHUNKS * CHUNK_BYTES / 2, f"memory grew by {grown} bytes"
                assert measured["closed_with"] == []
                reader.read_fast()
                await read_to_the_end(reader, messages)
            check_log(messages)
            with capsys.disabled():
                print(
                    f"\nround {number + 1}/{ROUNDS}: held {measured['most']} of {BOUND} bytes,"
                    f" {measured['waits']} waits, memory grew by {grown >> 10} KiB; p99 of others"
                    f" {1000 * without[-1]:.1f} ms without, {1000 * stalled[-1]:.1f} ms with it",
                    end="",
                )
    if IS_LONG:
        # Within the spread: no worse than the worst round in which everybody reads.
        assert statistics.median(stalled) <= max(without), (without, stalled)


@pytest.mark.clause("6.4.3")
@pytest.mark.timeout(300)
async def test_a_stalled_reader_is_closed_with_4408_and_loses_nothing(tmp_path: Path) -> None:
    async with (
        server(tmp_path, "--stall-timeout", "1s") as process,
        connected(process.url) as wire,
    ):
        messages: list[Message] = []
        async with await RawSocket.open(process.url, receive_buffer=SMALL) as reader:
            payload = {"chunks": CHUNKS, "progress": PROGRESS}
            await reader.send("request", id="p", action="pour", payload=payload)
            messages.append(await reader.receive())
            await wire.send("request", id="c", action="closed")
            assert (await wire.receive())["result"] == [4408]
            reader.read_fast()
            with pytest.raises(Ended) as ended:
                await read_to_the_end(reader, messages)
            # The close comes behind what was under way, unless the server has cut it off.
            assert ended.value.code in (4408, None)
        last = max(message["seq"] for message in messages if "seq" in message)
        assert last < CHUNKS
        async with await RawSocket.open(process.url, receive_buffer=1 << 20) as reader:
            await reader.send("attach", request_id="p", after_seq=last)
            snapshot = await reader.receive()
            assert snapshot["type"] == "snapshot"
            # It tells the newest progress, which is then not sent again (PROTOCOL 10.35).
            if (told := snapshot["request"].get("progress")) is not None:
                versions = [m["version"] for m in messages if m["type"] == "progress"]
                if told["version"] > max(versions, default=0):
                    messages.append({"type": "progress", **told})
            await read_to_the_end(reader, messages)
        check_log(messages)
