# SPDX-License-Identifier: Apache-2.0
"""Clients that read slowly, and what the gateway holds for them."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiohttp
from gateway_harness import PATIENCE, Harness, Peer
from gateway_stage import is_terminal

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


async def stopped_reader(at: Harness) -> Peer:
    """One that has said hello, and takes nothing more from the network."""
    slow = await slow_reader(at)
    await slow.hello()
    slow.ws._reader._protocol.pause_reading()
    return slow


async def poured(at: Harness) -> Peer:
    """A client whose request `r1` has ended with a log of 200 chunks that no buffer holds."""
    fast = await at.welcomed()
    await fast.request("pour", 200)
    await fast.until(is_terminal)
    return fast


async def until_blocked(at: Harness, fast: Peer) -> None:
    """Waits until as much is unsent for some connection as may be."""
    async with asyncio.timeout(PATIENCE):
        while not any(connection._outbox.is_blocked for connection in connections(at)):
            await fast.pinged()


def connections(at: Harness) -> list[Connection]:
    """Those that are open."""
    return [c for c in at.app[GATEWAY].connections if isinstance(c, Connection)]
