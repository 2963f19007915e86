# SPDX-License-Identifier: Apache-2.0
"""A client without manners: it sends whatever a case wants to any server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .connection import RefereeConnection
from .handshake import (
    SUBPROTOCOL,
    HandshakeRefused,
    Headers,
    defect_of_acceptance,
    new_key,
    read_head,
    upgrade_request,
)

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a server said to an upgrade; `connection` is there where it said 101."""

    status: int
    line: str
    headers: dict[str, str]
    connection: RefereeConnection | None = None


async def open_connection(
    url: str,
    name: str,
    record: list[JsonObject],
    *,
    subprotocol: str | None = SUBPROTOCOL,
    headers: Headers | None = None,
) -> RefereeConnection:
    """Upgrades to a WebSocket at `url`; raises `HandshakeRefused` for any answer but 101."""
    wanted = dict(headers or {})
    if subprotocol is not None:
        wanted["Sec-WebSocket-Protocol"] = subprotocol
    answer = await upgrade(url, name, record, headers=wanted)
    if answer.connection is None:
        raise HandshakeRefused(answer.status, answer.line)
    return answer.connection


async def upgrade(
    url: str,
    name: str,
    record: list[JsonObject],
    *,
    headers: Headers,
    method: str = "GET",
    target: str | None = None,
    version: str = "HTTP/1.1",
    behind: bytes = b"",
) -> Answer:
    """Asks for a WebSocket with exactly these headers; `behind` is sent with the head, at once.

    Raises `asyncio.IncompleteReadError` or `ConnectionError` where the server just closes.
    """
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**20)
    given = headers.get("Sec-WebSocket-Key")
    key = given if isinstance(given, str) else given[0] if given else new_key()
    head = upgrade_request(
        parts.netloc, target or parts.path, headers, method=method, version=version, key=key
    )
    try:
        writer.write(head + behind)
        line, answered = await read_head(reader)
    except BaseException:
        writer.close()
        raise
    status = int(line.split(" ")[1])
    if status != 101:
        writer.close()
        record.append({"connection": name, "what": "refused", "message": {"status": status}})
        return Answer(status, line, answered)
    record.append({"connection": name, "what": "opened", "message": answered})
    offered = headers.get("Sec-WebSocket-Protocol")
    listed = offered if isinstance(offered, str) or offered is None else ", ".join(offered)
    defect = defect_of_acceptance(answered, key, listed)
    if defect is not None:
        record.append({"connection": name, "what": "violation", "message": {"text": defect}})
    connection = RefereeConnection(name, reader, writer, client=True, record=record)
    return Answer(status, line, answered, connection)
