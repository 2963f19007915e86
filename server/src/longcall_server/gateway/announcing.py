# SPDX-License-Identifier: Apache-2.0
"""Announcements: taken over HTTP, and told to the connections of this process (PROTOCOL 8.10)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from longcall_server.announcements import refused_to
from longcall_server.answers import Refused
from longcall_server.bus.base import Announcement
from longcall_server.core.codes import ErrorCode
from longcall_server.gateway.bodies import text_of
from longcall_server.gateway.callers import caller
from longcall_server.gateway.context import GATEWAY, Gateway
from longcall_server.gateway.problems import problem, problem_of

_AT_ONCE: Final = 100
"""Connections that are told before the event loop gets its turn."""
_MAX_WAITING: Final = 64
"""Announcements that wait to be told; the oldest are lost."""


async def announce(request: web.Request) -> web.Response:
    """`POST /v1/announcements`: an operator's word, on its way when this is answered."""
    gateway = request.app[GATEWAY]
    principal = await caller(request)
    if isinstance(principal, web.Response):
        return principal
    forbidden = refused_to(principal)
    if forbidden is not None:
        # What nobody may send is not read either.
        return problem_of(forbidden.error)
    try:
        text = await text_of(request)
    except UnicodeDecodeError:
        return problem(ErrorCode.VALIDATION_ERROR, "The body is not UTF-8.")
    sent = gateway.announcer.announce(principal, text)
    if isinstance(sent, Refused):
        return problem_of(sent.error)
    return web.json_response(text=sent.model_dump_json(), status=202)


async def told(app: web.Application) -> AsyncIterator[None]:
    """Tells announcements of the bus to connections while the application runs."""
    crier = Crier(app[GATEWAY])
    unwatch = app[GATEWAY].bus.watch_announcements(crier.announce)
    yield
    unwatch()
    await crier.close()


class Crier:
    """Goes from connection to connection, so that to tell ten thousand delays nobody."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._waiting: deque[Announcement] = deque()
        self._round: asyncio.Task[None] | None = None

    def announce(self, announcement: Announcement) -> None:
        """Tells it to all who are connected, soon."""
        if len(announcement.frame.encode()) > self._gateway.limits.max_message_bytes:
            # PROTOCOL 10.44: another process may be configured otherwise.
            self._gateway.complaints.warning(
                "an announcement is lost: it is longer than a message may be here"
            )
            return
        self._waiting.append(announcement)
        if len(self._waiting) > _MAX_WAITING:
            self._waiting.popleft()
            self._gateway.complaints.warning(
                "announcements come faster than they can be told: one is lost"
            )
        if self._round is None:
            self._round = asyncio.create_task(self._tell_all(), name="longcall announcements")

    async def close(self) -> None:
        """What has not been told never will be."""
        if self._round is not None:
            self._round.cancel()
            await asyncio.gather(self._round, return_exceptions=True)

    async def _tell_all(self) -> None:
        try:
            while self._waiting:
                announcement = self._waiting.popleft()
                for number, connection in enumerate(tuple(self._gateway.connections)):
                    if number % _AT_ONCE == 0:
                        await asyncio.sleep(0)
                    connection.announce(announcement)
        finally:
            self._round = None
