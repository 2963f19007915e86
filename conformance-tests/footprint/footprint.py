# SPDX-License-Identifier: Apache-2.0
"""Weighs the Python SDK: memory over many events of one request, and what cancelled handles leave.

    python conformance-tests/footprint/footprint.py [--front asyncio] [--events N] [--handles N]

A real server sends; each front end reads in a process of its own. Flat means that in the last three
quarters of the events neither the resident set nor the number of objects grew by more than the
slack, and that no object of the SDK outlives its request. Exit codes: 0 all passed, 1 not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
import time
from pathlib import Path
from typing import Any

from longcall_conformance.referee.tokens import claims, sign
from longcall_conformance.referee.verdicts import Verdicts
from longcall_conformance.runner.manifest import Manifest
from longcall_conformance.runner.server_process import ServerProcess

HERE = Path(__file__).parent
MIB = 1 << 20
RESIDENT_SLACK = 12 * MIB
"""The allocator's own ups and downs; a million events of 16 bytes would be 12 in three quarters."""
OBJECTS_SLACK = 6_000
"""What waits in the iterator (4,096 events), in sockets and in threads, and comes and goes."""
FRONTS = ("asyncio", "sync")


def main() -> int:
    """Runs the command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--front", choices=FRONTS, action="append", help="default: both")
    parser.add_argument("--events", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--handles", type=int, default=10_000, help="default: %(default)s")
    options = parser.parse_args()
    verdicts = asyncio.run(run(options.front or FRONTS, options.events, options.handles))
    for finding in verdicts.findings:
        print(f"  {finding}")
    print(verdicts.closing_line())
    return 0 if verdicts.passed else 1


async def run(fronts: tuple[str, ...], events: int, handles: int) -> Verdicts:
    """Weighs each front end against a server of its own."""
    verdicts = Verdicts()
    for front in fronts:
        verdicts.require(front)
        secret = secrets.token_hex(32)
        manifest = Manifest.load(HERE / "server.yaml")
        server = ServerProcess(manifest, {"handlers": "footprint"}, HERE, secret)
        begun = time.monotonic()
        try:
            await server.start()
            told = await weigh(front, server.url, _token(secret), events, handles)
        finally:
            await server.stop()
        if told is None:
            verdicts.find(front, "the client broke; what it said stands above")
            continue
        print(f"{front}: {shown(told)}, {time.monotonic() - begun:.0f} s", flush=True)
        judge(verdicts, front, told, events)
    return verdicts


async def weigh(
    front: str, url: str, token: str, events: int, handles: int
) -> dict[str, Any] | None:
    """Has a client read and cancel; what it tells of itself."""
    program = HERE / "footprint_client.py"
    arguments = (front, url, token, str(events), str(handles))
    process = await asyncio.create_subprocess_exec(
        sys.executable, program, *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    told: dict[str, Any] | None = json.loads(out) if process.returncode == 0 else None
    return told


def judge(verdicts: Verdicts, front: str, told: dict[str, Any], events: int) -> None:
    """Compares what was held early and late."""
    expected = events + 2  # queued, processing
    if told["events"] != expected:
        verdicts.find(front, f"{told['events']} events came, not {expected}")
    for name, slack in (("resident", RESIDENT_SLACK), ("objects", OBJECTS_SLACK)):
        if (grown := growth(told[name])) > slack:
            verdicts.find(front, f"{name} grew by {grown} over the events: {told[name]}")
    for name, count in told["after"].items():
        more = count - told["before"].get(name, 0)
        if more > (OBJECTS_SLACK if name == "objects" else 0):
            verdicts.find(front, f"cancelled handles left {more} {name}")
    for left in told["left"]:
        verdicts.find(front, f"left after close: {left}")


def growth(samples: list[int]) -> int:
    """By how much the greatest of the last half exceeds the greatest of the second quarter."""
    quarter, half = len(samples) // 4, len(samples) // 2
    return max(samples[half:]) - max(samples[quarter:half])


def shown(told: dict[str, Any]) -> str:
    """The figures for people."""
    resident = [round(size / MIB, 1) for size in told["resident"]]
    objects = told["objects"]
    return (
        f"{told['events']} events, resident {resident[0]} to {resident[-1]} MiB "
        f"(most {max(resident)}), objects {objects[0]} to {objects[-1]}"
    )


def _token(secret: str) -> str:
    day = int(time.time()) + 24 * 3600
    return sign(claims("alice", "acme", exp=day), secret)


if __name__ == "__main__":
    sys.exit(main())
