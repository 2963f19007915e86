# SPDX-License-Identifier: Apache-2.0
"""Frames of RFC 6455, right and wrong in any order, at the server's socket."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass

import pytest
from gateway_harness import Harness, token
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wire import PATIENCE

from longcall_server.gateway.socket import CONNECT_PATH, SUBPROTOCOL

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = b"\x01\x02\x03\x04"
SPEAKS = frozenset({1000, 1001, 1003, 1007, 3000, 4999})


@dataclass(frozen=True)
class Frame:
    opcode: int
    payload: bytes
    fin: bool = True
    reserved: int = 0
    is_masked: bool = True
    is_long: bool = False
    """Its length takes more bytes than it needs."""

    def wire(self) -> bytes:
        size, flag = len(self.payload), 0x80 if self.is_masked else 0
        head = bytes([0x80 * self.fin | self.reserved << 4 | self.opcode])
        if size < 126 and not self.is_long:
            head += bytes([flag | size])
        else:
            head += bytes([flag | 126]) + struct.pack("!H", size)
        if not self.is_masked:
            return head + self.payload
        masked = bytes(byte ^ KEY[at % 4] for at, byte in enumerate(self.payload))
        return head + KEY + masked


PAYLOADS = st.sampled_from(
    [
        b"",
        b'{"type":"ping"}',
        b'{"type":',
        b'"ping"}',
        b"x" * 125,
        b"x" * 126,
        b"\xff",
        "é".encode(),
    ]
)
CLOSING = st.sampled_from(
    [b"", b"\x03", *(struct.pack("!H", code) for code in (0, 999, 1005, 2000))]
)
GOODBYES = st.sampled_from([struct.pack("!H", code) + b"bye" for code in SPEAKS])
FRAMES = st.one_of(
    st.builds(Frame, st.sampled_from([TEXT, CONTINUATION]), PAYLOADS, st.booleans()),
    st.builds(Frame, st.sampled_from([PING, PONG]), PAYLOADS),
    st.builds(Frame, st.just(TEXT), st.just(b'{"type":"ping"}')),
    st.builds(Frame, st.sampled_from([CLOSE]), CLOSING | GOODBYES),
    st.builds(Frame, st.just(BINARY), PAYLOADS),
    st.builds(
        Frame,
        st.integers(0, 15),
        PAYLOADS,
        st.booleans(),
        st.sampled_from([0, 0, 1, 2, 4]),
        st.booleans(),
        st.booleans(),
    ),
)


def fate(frames: list[Frame]) -> set[int]:
    """The codes that may end the connection, by RFC 6455; none: it lives."""
    message: list[bytes] | None = None
    for frame in frames:
        is_control = frame.opcode >= CLOSE
        is_known = frame.opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)
        if frame.reserved or not frame.is_masked or not is_known or _is_long(frame):
            return _broken(message)
        if is_control and (not frame.fin or len(frame.payload) > 125):
            return _broken(message)
        if frame.opcode == CLOSE:
            return _of_close(frame.payload) | _broken(message) - {1002}
        if is_control:
            continue
        if (frame.opcode == CONTINUATION) == (message is None):
            return _broken(message)
        if frame.opcode == BINARY:
            return {1003} if frame.fin else {1002, 1003, 1007, *SPEAKS, 1005}
        message = [*(message or []), frame.payload]
        if frame.fin:
            if not _is_utf8(message):
                return {1007}
            message = None
    return _broken(message) - {1002}


def _is_long(frame: Frame) -> bool:
    return frame.is_long and len(frame.payload) < 126


def _broken(message: list[bytes] | None) -> set[int]:
    """A text that goes wrong may be noticed before it has ended."""
    return {1002} if message is None or _is_utf8(message) else {1002, 1007}


def _is_utf8(parts: list[bytes]) -> bool:
    return b"\xff" not in b"".join(parts)


def _of_close(payload: bytes) -> set[int]:
    if not payload:
        return {1000, 1005}
    code = int.from_bytes(payload[:2], "big")
    return {code} if len(payload) >= 2 and code in SPEAKS else {1002}


@pytest.mark.slow
@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(frames=st.lists(FRAMES, min_size=1, max_size=6))
async def test_what_breaks_rfc_6455_ends_its_connection_and_nothing_else_does(
    at: Harness, frames: list[Frame]
) -> None:
    expected = fate(frames)
    reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(_upgrade(at.port))
            await reader.readuntil(b"\r\n\r\n")
            hello = Frame(TEXT, b'{"type":"hello","token":"%s"}' % token().encode()).wire()
            writer.write(hello)
            await _until(reader, {TEXT})
            writer.write(b"".join(frame.wire() for frame in frames))
            writer.write(Frame(PING, b"the end").wire())
            opcode, payload = await _until(reader, {CLOSE}, pong=b"the end")
    finally:
        writer.transport.abort()
    if opcode == PONG:
        assert not expected or expected == {1007}
        return
    code = int.from_bytes(payload[:2], "big") if payload else 1005
    assert code in expected


def _upgrade(port: int) -> bytes:
    lines = (
        f"GET {CONNECT_PATH} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Protocol: {SUBPROTOCOL}",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _until(
    reader: asyncio.StreamReader, wanted: set[int], pong: bytes | None = None
) -> tuple[int, bytes]:
    """The next frame of these kinds, or the pong that is waited for."""
    while True:
        first, second = await reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(await reader.readexactly(2), "big")
        payload = await reader.readexactly(size)
        opcode = first & 0x0F
        if opcode in wanted or (opcode == PONG and payload == pong):
            return opcode, payload
