# SPDX-License-Identifier: Apache-2.0
"""A client without manners: it sends whatever a case wants to any server."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

from .connection import RefereeConnection
from .frames import SUBPROTOCOL, HandshakeRefused, read_head, upgrade_request


async def open_connection(
    url: str,
    name: str,
    record: list[dict[str, Any]],
    *,
    subprotocol: str | None = SUBPROTOCOL,
    headers: dict[str, str] | None = None,
) -> RefereeConnection:
    """Upgrades to a WebSocket at `url`; raises `HandshakeRefused` for any answer but 101."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**20)
    wanted = dict(headers or {})
    if subprotocol is not None:
        wanted["Sec-WebSocket-Protocol"] = subprotocol
    writer.write(upgrade_request(parts.netloc, parts.path, wanted))
    first, _ = await read_head(reader)
    status = int(first.split(" ")[1])
    if status != 101:
        writer.close()
        record.append({"connection": name, "what": "refused", "message": {"status": status}})
        raise HandshakeRefused(status, first)
    record.append({"connection": name, "what": "opened", "message": {}})
    return RefereeConnection(name, reader, writer, client=True, record=record)
