# SPDX-License-Identifier: Apache-2.0
"""A driver that dials by WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from longcall_conformance.referee.frames import Opcode, close_payload, encode, read_frame
from longcall_conformance.referee.handshake import (
    defect_of_acceptance,
    new_key,
    parse_head,
    upgrade_request,
)
from longcall_conformance.runner.drivers import DriverCommand
from longcall_conformance.runner.link import NoDriver, link_of
from longcall_conformance.runner.page import LineWriter, accept_page

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def joined() -> AsyncIterator[tuple[Stream, tuple[asyncio.StreamReader, LineWriter]]]:
    """A page's end of the socket, upgraded, and the runner's."""
    accepted: asyncio.Queue[tuple[asyncio.StreamReader, LineWriter]] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.put_nowait(await accept_page(reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    reader, writer = await asyncio.open_connection(host, port)
    key = new_key()
    writer.write(upgrade_request(f"{host}:{port}", "/", {}, key=key))
    line, headers = parse_head(await reader.readuntil(b"\r\n\r\n"))
    assert line == "HTTP/1.1 101 Switching Protocols"
    assert defect_of_acceptance(headers, key, None) is None
    runner = await accepted.get()
    try:
        yield (reader, writer), runner
    finally:
        writer.close()
        await writer.wait_closed()
        await runner[1].wait_closed()
        server.close()
        await server.wait_closed()


async def test_each_message_is_a_line_in_both_directions() -> None:
    async with joined() as ((reader, writer), (lines, page)):
        writer.write(encode(Opcode.TEXT, b'{"re": 1', mask=True, fin=False))
        writer.write(encode(Opcode.PING, b"there?", mask=True))
        writer.write(encode(Opcode.CONTINUATION, b', "ok": {}}', mask=True))
        assert await lines.readline() == b'{"re": 1, "ok": {}}\n'
        assert (await read_frame(reader)).opcode == Opcode.PONG

        page.write(b'{"id": 2, "cmd": "bye"}\n')
        await page.drain()
        frame = await read_frame(reader)
        assert (frame.opcode, frame.payload) == (Opcode.TEXT, b'{"id": 2, "cmd": "bye"}')


async def test_a_page_that_closes_has_no_more_lines() -> None:
    async with joined() as ((_, writer), (lines, _page)):
        writer.write(encode(Opcode.CLOSE, close_payload(1000), mask=True))
        assert await lines.readline() == b""


async def test_a_page_that_is_lost_has_no_more_lines() -> None:
    async with joined() as ((_, writer), (lines, _page)):
        writer.write(encode(Opcode.TEXT, b"half a message", mask=True)[:-3])
        writer.close()
        assert await lines.readline() == b""


async def test_the_runner_closes_by_a_close_frame() -> None:
    async with joined() as ((reader, writer), (_, page)):
        page.close()
        frame = await read_frame(reader)
        assert frame.close_code() == 1000
        writer.write(encode(Opcode.CLOSE, close_payload(1000), mask=True))


def test_there_is_but_one_page_that_somebody_else_opens(tmp_path: Path) -> None:
    assert DriverCommand("mine", "listen-ws:127.0.0.1:4000").is_one
    with pytest.raises(NoDriver, match="listen-ws:HOST:PORT is needed"):
        link_of("listen-ws:nowhere", tmp_path)
