# SPDX-License-Identifier: Apache-2.0
"""The opening handshake of RFC 6455 by hand, right or wrong."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import Mapping, Sequence

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SUBPROTOCOL = "longcall.v1"

Headers = Mapping[str, str | Sequence[str] | None]
"""Headers to send: a list is sent as several lines, None takes one away that is always there."""


class HandshakeRefused(Exception):
    """The peer answered the upgrade with a status other than 101."""

    def __init__(self, status: int, head: str) -> None:
        self.status = status
        self.head = head
        super().__init__(f"the upgrade was refused with HTTP {status}")


async def read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    """Reads an HTTP head: its first line and its headers, names in lower case."""
    return parse_head(await reader.readuntil(b"\r\n\r\n"))


def parse_head(data: bytes) -> tuple[str, dict[str, str]]:
    """The first line and the headers of a head; lines of one name are joined by commas."""
    lines = data.decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, separator, value = line.partition(":")
        if separator:
            name, value = name.strip().lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return lines[0], headers


def accept_key(key: str) -> str:
    """The answer to Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def new_key() -> str:
    """A Sec-WebSocket-Key."""
    return base64.b64encode(os.urandom(16)).decode()


def upgrade_request(
    host: str,
    path: str,
    headers: Headers,
    *,
    method: str = "GET",
    version: str = "HTTP/1.1",
    key: str | None = None,
) -> bytes:
    """Returns the head of a client's upgrade; `headers` change or join the necessary ones."""
    wanted: dict[str, str | Sequence[str] | None] = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": key or new_key(),
        "Sec-WebSocket-Version": "13",
        **headers,
    }
    lines = [f"{method} {path} {version}"]
    for name, value in wanted.items():
        values = [value] if isinstance(value, str) else value or ()
        lines.extend(f"{name}: {one}" for one in values)
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def defect_of_acceptance(headers: Mapping[str, str], key: str, offered: str | None) -> str | None:
    """What breaks RFC 6455 4.2.2 in the headers of a 101; `offered` are the subprotocols."""
    if headers.get("upgrade", "").lower() != "websocket":
        return f"Upgrade: {headers.get('upgrade')}"
    if "upgrade" not in headers.get("connection", "").lower():
        return f"Connection: {headers.get('connection')}"
    if headers.get("sec-websocket-accept") != accept_key(key):
        return f"Sec-WebSocket-Accept: {headers.get('sec-websocket-accept')}"
    chosen = headers.get("sec-websocket-protocol")
    if chosen is not None and chosen not in [one.strip() for one in (offered or "").split(",")]:
        return f"Sec-WebSocket-Protocol: {chosen}, which was not offered"
    return None


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
