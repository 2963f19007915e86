# SPDX-License-Identifier: Apache-2.0
"""`kill -9` at random moments: of a server under load, and of one that is only starting."""

from __future__ import annotations

import asyncio
import time

from scene import Scene

LONGEST_LIFE = 2.0
"""Seconds under load after which a server is killed at the latest."""
WHILE_STARTING = 0.2
"""The share of rounds that also kill the next server, which is only starting."""
LONGEST_START = 1.5
"""Seconds after which that one is killed at the latest."""


async def play(scene: Scene) -> None:
    """All rounds; afterwards the server lives."""
    in_mid_run = starting = 0
    for number in range(1, scene.rounds + 1):
        life = scene.rng.uniform(0, LONGEST_LIFE)
        await asyncio.sleep(life)
        running = len(scene.board.running)
        in_mid_run += running > 0
        await scene.server.kill("kill9")
        text = f"killed after {life:4.2f} s with {running:2} requests running"
        if scene.rng.random() < WHILE_STARTING:
            text += await _kill_while_starting(scene)
            starting += 1
        begun = time.monotonic()
        await scene.server.start()
        scene.tell(number, f"{text}, back in {time.monotonic() - begun:4.2f} s")
    missing = [] if in_mid_run else ["no kill met a running request: nothing is proven"]
    scene.verdicts.require("kills in mid-run", missing)
    scene.summary = (
        f"{scene.rounds + starting} kills: {in_mid_run} of {scene.rounds} in mid-run,"
        f" {starting} while starting"
    )


async def _kill_while_starting(scene: Scene) -> str:
    await scene.server.launch()
    moment = scene.rng.uniform(0, LONGEST_START)
    await asyncio.sleep(moment)
    await scene.server.kill("kill9")
    return f", again {moment:4.2f} s after its start"
