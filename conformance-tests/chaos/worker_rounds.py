# SPDX-License-Identifier: Apache-2.0
"""`kill -9` of workers at random moments: of one, of all, and of their server with them."""

from __future__ import annotations

import asyncio
import time

from kill_rounds import LONGEST_LIFE
from scene import Scene

ALL = 0.25
"""The share of rounds that leave no worker."""
THE_SERVER = 0.15
"""The share of rounds that end the server that clients talk to as well."""


async def play(scene: Scene) -> None:
    """All rounds; afterwards all workers live."""
    in_mid_run = kills = 0
    for number in range(1, scene.rounds + 1):
        life = scene.rng.uniform(0, LONGEST_LIFE)
        await asyncio.sleep(life)
        chosen = [scene.rng.choice(scene.workers)]
        if scene.rng.random() < ALL:
            chosen = list(scene.workers)
        if scene.rng.random() < THE_SERVER:
            chosen.append(scene.server)
        running = len(scene.board.running)
        in_mid_run += running > 0
        kills += len(chosen)
        await asyncio.gather(*(process.kill("kill9") for process in chosen))
        begun = time.monotonic()
        await asyncio.gather(*(process.start() for process in chosen))
        text = f"{len(chosen)} killed after {life:4.2f} s with {running:2} requests running"
        scene.tell(number, f"{text}, back in {time.monotonic() - begun:4.2f} s")
    missing = [] if in_mid_run else ["no kill met a running request: nothing is proven"]
    scene.verdicts.require("kills in mid-run", missing)
    for process in (scene.server, *scene.workers):
        if not process.is_running:
            scene.verdicts.find("server", f"a process ended by itself: {process.log()}")
    scene.summary = f"{kills} kills: {in_mid_run} of {scene.rounds} rounds in mid-run"
