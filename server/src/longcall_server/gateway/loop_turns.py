# SPDX-License-Identifier: Apache-2.0
"""Owners take turns at the event loop, however many connections each has.

Connections whose pipes are full would have a turn each in every cycle of the loop: ten of one owner
would make every cycle ten times as long for everybody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from longcall_server.core.turns import TurnQueue


class LoopTurns:
    """Lets one connection of each owner go on in each cycle of the loop."""

    def __init__(self) -> None:
        self._waiting: TurnQueue[asyncio.Future[None]] = TurnQueue()
        self._scheduled = False

    async def next(self, owner: Hashable) -> None:
        """Waits for the owner's turn; those who wait alone wait for one cycle."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.put(owner, turn)
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._cycle, loop)
        try:
            await turn
        finally:
            # A connection that ends meanwhile leaves nothing behind.
            self._waiting.withdraw(owner, turn)

    def _cycle(self, loop: asyncio.AbstractEventLoop) -> None:
        served: set[Hashable] = set()
        while (taken := self._waiting.take(lambda owner: owner not in served)) is not None:
            owner, turn = taken
            if not turn.done():
                served.add(owner)
                turn.set_result(None)
        self._scheduled = len(self._waiting) > 0
        if self._scheduled:
            loop.call_soon(self._cycle, loop)
