# SPDX-License-Identifier: Apache-2.0
"""Who works while the hostile attack: the clients of chaos, judged by what they wrote down."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import workload
from board import Board, Identity
from raw_client import RawClient
from sdk_client import SdkClient

from longcall_conformance.referee.checker import check
from longcall_conformance.referee.observations import ObservationFile
from longcall_conformance.referee.verdicts import Verdicts

CLIENTS = 6
PATIENCE = 300
"""Seconds for what is open to end, once the attack is over."""


class Honest:
    """Clients that work while the others do not."""

    def __init__(self, url: str, token: str, out: Path, seed: int) -> None:
        self._board = Board()
        rng = Random(seed)
        self._files = [out / f"client-{number}.jsonl" for number in range(CLIENTS)]
        self._running = []
        for number, file in enumerate(self._files):
            identity = Identity(f"c{number}", url, token, Random(rng.random()))
            kind = RawClient if number % 3 == 2 else SdkClient
            client = kind(identity, self._board, ObservationFile(file), workload.mixed)
            self._running.append(asyncio.create_task(client.run()))

    async def finish(self, verdicts: Verdicts) -> None:
        """Lets them end what they asked for, and judges what they saw."""
        self._board.stop()
        _, late = await asyncio.wait(self._running, timeout=PATIENCE)
        for task in late:
            task.cancel()
            verdicts.find("honest clients", "one did not come to its end")
        for result in await asyncio.gather(*self._running, return_exceptions=True):
            if isinstance(result, Exception):
                verdicts.find("honest clients", f"one broke: {result!r}")
        report = check(self._files)
        verdicts.require("honest clients", [str(finding) for finding in report.findings])
        counts = report.counts
        if not counts["completed"]:
            verdicts.find("honest clients", "nothing was completed: nothing is proven")
        print(
            f"honest: {counts['requests']} requests, {counts['completed']} completed,"
            f" {counts['events']} events, {counts['readings']} readings"
        )
