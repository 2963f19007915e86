# SPDX-License-Identifier: Apache-2.0
"""Clients that read slowly, and what the gateway holds for them."""

from __future__ import annotations

import socket
from typing import Any

import aiohttp
from gateway_harness import Harness, Peer

from longcall_server.gateway.connection import Connection
from longcall_server.gateway.context import GATEWAY


async def slow_reader(at: Harness) -> Peer:
    """A client with small buffers that has not begun to read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)

    def make(_: Any) -> socket.socket:
        return sock

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=make))
    at._sessions.append(session)
    ws = await session.ws_connect(at.url, protocols=("longcall.v1",), max_msg_size=0)
    return Peer(ws)


def unsent(at: Harness) -> int:
    """The most that any connection holds."""
    return max(c._outbox._transport.get_write_buffer_size() for c in connections(at))


def connections(at: Harness) -> list[Connection]:
    """Those that are open."""
    return [c for c in at.app[GATEWAY].connections if isinstance(c, Connection)]
