# SPDX-License-Identifier: Apache-2.0
"""RFC 6455 by hand: handshakes and frames, so that a case can also send what no library would."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import struct
from dataclasses import dataclass
from enum import IntEnum

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SUBPROTOCOL = "longcall.v1"
MAX_FRAME = 64 * 1024 * 1024


class Opcode(IntEnum):
    """What a frame carries."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it was read."""

    opcode: int
    payload: bytes
    fin: bool = True

    def close_code(self) -> int:
        """The code of a close frame; 1005 where it carries none."""
        return int(struct.unpack("!H", self.payload[:2])[0]) if len(self.payload) >= 2 else 1005

    def close_reason(self) -> str:
        """The reason of a close frame."""
        return self.payload[2:].decode("utf-8", "replace")


class HandshakeRefused(Exception):
    """The peer answered the upgrade with a status other than 101."""

    def __init__(self, status: int, head: str) -> None:
        self.status = status
        self.head = head
        super().__init__(f"the upgrade was refused with HTTP {status}")


def encode(opcode: int, payload: bytes, *, mask: bool, fin: bool = True) -> bytes:
    """Returns the bytes of one frame. A client masks, a server does not (RFC 6455 5.3)."""
    head = bytes([(0x80 if fin else 0) | opcode])
    flag, size = (0x80 if mask else 0), len(payload)
    if size < 126:
        head += bytes([flag | size])
    elif size < 65_536:
        head += bytes([flag | 126]) + struct.pack("!H", size)
    else:
        head += bytes([flag | 127]) + struct.pack("!Q", size)
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + _mask(payload, key)


def _mask(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    stretched = (key * (size // 4 + 1))[:size]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(stretched, "big")
    return mixed.to_bytes(size, "big")


def close_payload(code: int, reason: str = "") -> bytes:
    """Returns the payload of a close frame."""
    return struct.pack("!H", code) + reason.encode()


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """Reads one frame; raises `asyncio.IncompleteReadError` when the stream ends instead."""
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size == 126:
        size = struct.unpack("!H", await reader.readexactly(2))[0]
    elif size == 127:
        size = struct.unpack("!Q", await reader.readexactly(8))[0]
    if size > MAX_FRAME:
        raise ValueError(f"a frame of {size} bytes")
    key = await reader.readexactly(4) if second & 0x80 else b""
    payload = await reader.readexactly(size)
    return Frame(first & 0x0F, _mask(payload, key) if key else payload, bool(first & 0x80))


async def read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    """Reads an HTTP head: its first line and its headers, names in lower case."""
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    lines = text.split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, separator, value = line.partition(":")
        if separator:
            headers[name.strip().lower()] = value.strip()
    return lines[0], headers


def accept_key(key: str) -> str:
    """The answer to Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def upgrade_request(host: str, path: str, headers: dict[str, str]) -> bytes:
    """Returns the head of a client's upgrade; `headers` are added to the necessary ones."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def upgrade_response(headers: dict[str, str]) -> bytes:
    """Returns the head with which a server accepts the upgrade whose headers these are."""
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_key(headers.get('sec-websocket-key', ''))}",
    ]
    offered = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
    if SUBPROTOCOL in offered:
        lines.append(f"Sec-WebSocket-Protocol: {SUBPROTOCOL}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
