# SPDX-License-Identifier: Apache-2.0
"""Two hundred connections that send as much as is taken, to a store that takes nothing."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections import deque
from pathlib import Path
from typing import Final, Self

import pytest
from processes import serving
from websockets.uri import parse_uri
from wire import connected, token

MIB: Final = 1 << 20
CONNECTIONS: Final = 200
OWNERS: Final = 10
MESSAGES: Final = 12
PENDING: Final = 64
"""What the server may take for messages that it decides, in MiB."""
SOCKETS: Final = 200
"""What the sockets may hold, in MiB: of each connection the message that waits to be decided, and
nothing of the one behind it."""
SLACK: Final = 64
QUIET: Final = 50
"""So many answers in a row to somebody else, while no connection takes a byte: it takes no more."""

_STRING: Final = b'"' + b"x" * (MIB - 200) + b'"}'
_ARRAYS: Final = b"[" + b"[]," * 99_000 + b"[]]}"


class Flood:
    """One connection: what it has to send is shared with all others, and goes as it is taken."""

    def __init__(self, sock: socket.socket, name: int) -> None:
        self._sock = sock
        self._pieces: deque[memoryview] = deque()
        for number in range(MESSAGES):
            body = _STRING if name % 2 else _ARRAYS
            head = f'{{"type":"request","id":"{name}-{number}","action":"store","payload":'.encode()
            self._pieces.append(memoryview(_frame_head(len(head) + len(body)) + head))
            self._pieces.append(memoryview(body))

    @classmethod
    async def open(cls, url: str, name: int) -> Self:
        """Connects, says hello and waits for the welcome."""
        uri, loop = parse_uri(url), asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, (uri.host, uri.port))
        upgrade = (
            f"GET {uri.path} HTTP/1.1\r\nHost: {uri.host}:{uri.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Protocol: longcall.v1\r\n\r\n"
        )
        bearer = token(f"owner {name % OWNERS}")
        hello = json.dumps({"type": "hello", "token": bearer}).encode()
        await loop.sock_sendall(sock, upgrade.encode() + _frame_head(len(hello)) + hello)
        seen = b""
        while b'"welcome"' not in seen:
            seen += await loop.sock_recv(sock, 65_536)
            assert seen
        return cls(sock, name)

    def push(self) -> int:
        """Sends what the kernel takes now; how many bytes."""
        sent = 0
        while self._pieces:
            try:
                taken = self._sock.send(self._pieces[0])
            except BlockingIOError:
                break
            sent += taken
            piece = self._pieces.popleft()
            if taken < len(piece):
                self._pieces.appendleft(piece[taken:])
        return sent

    @property
    def has_more(self) -> bool:
        return bool(self._pieces)

    def close(self) -> None:
        self._sock.close()


def _frame_head(length: int) -> bytes:
    """A text frame of a client, under a mask that changes nothing."""
    if length < 126:
        return struct.pack("!BB4x", 0x81, 0x80 | length)
    if length < 65_536:
        return struct.pack("!BBH4x", 0x81, 0xFE, length)
    return struct.pack("!BBQ4x", 0x81, 0xFF, length)


def _mib(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) // 1024


@pytest.mark.slow
@pytest.mark.clause("10.45.9")
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's peak of RSS")
async def test_a_flood_of_payloads_stays_within_the_memory_and_others_go_on(tmp_path: Path) -> None:
    flags = ("--store", "memory", "--total-pending-bytes", str(PENDING * MIB))
    async with serving(tmp_path, *flags, handlers="flooded_app:handlers") as server:
        floods: list[Flood] = []
        try:
            async with connected(server.url, token("honest")) as honest:
                for name in range(CONNECTIONS):
                    floods.append(await Flood.open(server.url, name))
                before = _mib(server.pid, "VmRSS")
                quiet = asked = 0
                while quiet < QUIET:
                    sent = sum(flood.push() for flood in floods)
                    quiet = 0 if sent else quiet + 1
                    asked += 1
                    await honest.send("request", id=f"e{asked}", action="echo", payload=asked)
                    assert (await honest.receive())["result"] == asked
                assert sum(flood.has_more for flood in floods) >= CONNECTIONS // 4
                grown = _mib(server.pid, "VmHWM") - before
                assert PENDING // 2 < grown < PENDING + SOCKETS + SLACK
        finally:
            for flood in floods:
                flood.close()
