# SPDX-License-Identifier: Apache-2.0
"""Words that the tests over sockets share: what handlers wait for, what an answer says."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway_harness import Peer

from longcall_server import RequestContext


class Stage:
    """What the handlers wait for."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.context: RequestContext | None = None
        self.started = asyncio.Event()

    async def enter(self, ctx: RequestContext) -> None:
        self.context = ctx
        self.started.set()


def code(message: dict[str, Any]) -> str:
    assert message["type"] == "error", message
    found: str = message["error"]["code"]
    return found


def is_terminal(message: dict[str, Any]) -> bool:
    return message["type"] == "complete" or (message["type"] == "error" and "seq" in message)


async def until_last_replay(peer: Peer, *, snapshots: int) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    while True:
        seen.append(await peer.receive())
        count = sum(message["type"] == "snapshot" for message in seen)
        if count == snapshots and is_terminal(seen[-1]):
            return seen
