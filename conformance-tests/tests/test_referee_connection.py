# SPDX-License-Identifier: Apache-2.0
"""A connection of the referee against peers that break RFC 6455, or end in some way."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from longcall_conformance.referee.connection import Ended, RefereeConnection
from longcall_conformance.referee.frames import Opcode, build, close_payload
from longcall_conformance.runner.trace import Trace, violations

JsonObject = dict[str, Any]


@asynccontextmanager
async def pair(record: list[JsonObject]) -> AsyncIterator[tuple[RefereeConnection, Any, Any]]:
    """A connection of the referee as a client, and the other end's reader and writer."""
    arrived: asyncio.Queue[Any] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await arrived.put((reader, writer))

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    connection = RefereeConnection("c", reader, writer, client=True, record=record)
    other_reader, other_writer = await arrived.get()
    try:
        yield connection, other_reader, other_writer
    finally:
        await connection.close()
        other_writer.close()
        server.close()
        await server.wait_closed()


def frame(opcode: int, payload: bytes = b"", **how: Any) -> bytes:
    return build(opcode, payload, key=None, **how)


def test_a_message_in_fragments_with_a_ping_between_is_one_message() -> None:
    async def play() -> None:
        record: list[JsonObject] = []
        async with pair(record) as (connection, reader, writer):
            writer.write(frame(Opcode.TEXT, b'{"type":', fin=False) + frame(Opcode.PING, b"p"))
            writer.write(frame(Opcode.CONTINUATION, b'"pong"}'))
            assert await connection.receive() == {"type": "pong"}
            answer = await reader.readexactly(7)
            assert answer[:2] == bytes([0x8A, 0x81])  # a pong of one byte, masked
        assert violations(Trace(frames=record), []) == []

    asyncio.run(play())


@pytest.mark.parametrize(
    ("sent", "wrong"),
    [
        (frame(Opcode.TEXT, b"{}", rsv=4), "reserved bits 100"),
        (build(Opcode.TEXT, b"{}", key=bytes(4)), "a masked frame"),
        (frame(Opcode.CONTINUATION, b"{}"), "a continuation of nothing"),
        (frame(Opcode.TEXT, b"{", fin=False) + frame(Opcode.TEXT, b"}"), "a new message within"),
        (frame(Opcode.TEXT, b"\xff"), "no UTF-8 or JSON"),
        (frame(Opcode.TEXT, b"[]"), "no object"),
        (frame(Opcode.CLOSE, close_payload(1005)), "a close frame with 1005"),
    ],
)
def test_what_the_peer_must_not_send_ends_the_connection_and_fails_the_play(
    sent: bytes, wrong: str
) -> None:
    async def play() -> list[str]:
        record: list[JsonObject] = []
        async with pair(record) as (connection, _, writer):
            writer.write(sent)
            with pytest.raises(Ended, match=wrong):
                await connection.receive()
        return violations(Trace(frames=record), [])

    (found,) = asyncio.run(play())
    assert found.startswith("c: the peer sent ")
    assert wrong in found


@pytest.mark.parametrize("how", ["fin", "reset"])
def test_how_the_socket_ended_behind_the_close_frame_is_known(how: str) -> None:
    async def play() -> None:
        async with pair([]) as (connection, reader, writer):
            writer.write(frame(Opcode.CLOSE, close_payload(1001)))
            with pytest.raises(Ended) as caught:
                await connection.receive()
            assert caught.value.code == 1001
            await reader.readexactly(8)  # its answer
            if how == "fin":
                writer.close()
            else:
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            assert await connection.receive_gone() == how

    asyncio.run(play())


def test_a_frame_behind_the_close_frame_fails_the_play() -> None:
    async def play() -> list[str]:
        record: list[JsonObject] = []
        async with pair(record) as (connection, _, writer):
            writer.write(frame(Opcode.CLOSE, close_payload(1000)) + frame(Opcode.TEXT, b"{}"))
            await connection.receive_end()
            await connection.receive_gone()
        return violations(Trace(frames=record), [])

    assert asyncio.run(play()) == ["c: the peer sent a frame after the close frame"]
