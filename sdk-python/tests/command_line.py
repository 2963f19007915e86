# SPDX-License-Identifier: Apache-2.0
"""Runs the command `longcall` beside a scripted server."""

from __future__ import annotations

import asyncio

from peer import Peer, Talk

from longcall.cli import main
from longcall.testing.messages import acknowledgment, processing


def command(peer: Peer, *arguments: str) -> asyncio.Task[int]:
    """Starts the command beside the test's own loop."""
    return asyncio.create_task(asyncio.to_thread(main, [*arguments, "--url", peer.url]))


async def begun(peer: Peer) -> tuple[Talk, str]:
    """Welcomes the command, takes its request and acknowledges it."""
    talk = await peer.welcome()
    request = await talk.expect("request")
    await talk.send(acknowledgment(request["id"]), processing(request["id"], 2))
    return talk, request["id"]
