# SPDX-License-Identifier: Apache-2.0
"""SIGTERM, each time with enough requests running and queued, as the server itself says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from raw_client import RawClient
from scene import Scene

import longcall
from longcall_conformance.referee.observations import read_observations

LEAST = 20
"""Requests that run, and that are queued, when the signal comes."""
PATIENCE = 120
GOING_AWAY = 1001


async def play(scene: Scene) -> None:
    """All rounds; afterwards the server lives."""
    codes: list[str] = []
    slowest = 0.0
    for number in range(1, scene.rounds + 1):
        running, queued = await _until_busy(scene)
        begun = time.monotonic()
        await scene.server.kill("term")
        seconds = time.monotonic() - begun
        slowest = max(slowest, seconds)
        if scene.server.exit_code != 0:
            codes.append(f"round {number}: the server ended with {scene.server.exit_code}")
        await scene.server.start()
        text = f"SIGTERM with {running} running and {queued} queued, gone in {seconds:4.2f} s"
        scene.tell(number, text)
    scene.verdicts.require("exit codes", codes)
    _judge_farewells(scene)
    scene.summary = f"{scene.rounds} SIGTERMs, slowest end {slowest:.2f} s"


async def _until_busy(scene: Scene) -> tuple[int, int]:
    """Waits until enough runs and enough waits, by what the server lists; how many of each.

    Raw clients are all connected then, so that each of them can hear the farewell.
    """
    async with asyncio.timeout(PATIENCE):
        async with longcall.connect(scene.observer.url, scene.observer.token) as client:
            while True:
                counts = [await _count(client, status) for status in ("processing", "queued")]
                board = scene.board
                seen = [len(board.running), len(board.queued)]
                told = all(one.is_welcome for one in scene.clients if isinstance(one, RawClient))
                if min(*counts, *seen) >= LEAST and told:
                    return counts[0], counts[1]
                await asyncio.sleep(0.05)


async def _count(client: longcall.Client, status: str) -> int:
    return len([one async for one in client.requests(status=status, page_size=200)])


def judge_hand_backs(scene: Scene, files: Iterable[Path]) -> None:
    """What was cut off was handed back, due at once; nothing else was ever tried again."""
    wrong, handed_back = [], set()
    for path in files:
        for line in read_observations(path):
            if line["what"] != "status" or line["status"] != "retrying":
                continue
            handed_back.add(line["request_id"])
            if line["error"]["code"] != longcall.ErrorCode.UNAVAILABLE:
                wrong.append(f"{line['request_id']} was tried again after {line['error']}")
            if datetime.fromisoformat(line["retry_at"]).timestamp() > line["at"]:
                wrong.append(f"{line['request_id']} was to wait until {line['retry_at']}")
    if not handed_back:
        wrong.append("nothing was handed back: nothing is proven")
    scene.verdicts.require("handed back, due at once", wrong)
    scene.summary += f", {len(handed_back)} requests handed back"


def _judge_farewells(scene: Scene) -> None:
    """Every raw client was told to go, and then closed with 1001, each time."""
    wrong = []
    for number, client in enumerate(scene.clients):
        if isinstance(client, RawClient) and client.ends != [(True, GOING_AWAY)] * scene.rounds:
            wrong.append(f"client {number} saw (goaway, code) {client.ends}")
    scene.verdicts.require("goaway, then 1001", wrong)
