# SPDX-License-Identifier: Apache-2.0
"""One owner floods; the others go on as if nobody did.

`make flood` runs the comparison: ten owners, rounds with the flood and rounds without in turn, the
flood from a process of its own. In the short form the order in which requests are run is judged,
by counting, and that the others are served while the flood goes on.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from processes import HERE, Process, serving, working
from wire import PATIENCE, Wire, connected, token

pytestmark = pytest.mark.slow

IS_LONG = os.environ.get("LONGCALL_FLOOD") == "long"
SEED = int(os.environ.get("LONGCALL_FLOOD_SEED", "20261125"))
ROUNDS = int(os.environ.get("LONGCALL_FLOOD_ROUNDS", "9")) if IS_LONG else 1
SECONDS = 6.0 if IS_LONG else 1.0
"""How long a round is."""
CONNECTIONS = 10
HONEST = [f"honest-{n}" for n in range(9)]
PACE = 0.05
"""Seconds between two requests of an honest owner."""
APP = "flood_app:handlers"
TENANTS = pytest.mark.parametrize("tenant", ["acme", "flooders"], ids=["same", "another"])
"""Whose tenant the flooder is of: the honest ones' or one of its own."""


# --- By counting ----------------------------------------------------------------------------------

BACKLOG = 300
OWN = 8
PLACES = 2


@TENANTS
@pytest.mark.clause("5.4.14", "5.4.16")
@pytest.mark.parametrize("workers", [0, 2])
async def test_each_request_of_an_honest_owner_waits_for_few_of_the_flood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tenant: str, workers: int
) -> None:
    order = tmp_path / "order"
    monkeypatch.setenv("LONGCALL_TEST_ORDER", str(order))
    places = ("--concurrency", str(PLACES))
    flags = ("--no-worker",) if workers else places
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(serving(tmp_path, *flags, handlers=APP))
        operator = await stack.enter_async_context(connected(process.url, token("op", "ops")))
        flood = await stack.enter_async_context(connected(process.url, token("flood", tenant)))
        honest = await stack.enter_async_context(connected(process.url, token("honest")))
        for n in range(0 if workers else PLACES):
            # Every place is taken while they ask: what is judged is the order, not who was early.
            await operator.send("request", id=f"hold-{n}", action="hold")
            await operator.until(lambda message: message.get("status") == "processing")
        for n in range(BACKLOG):
            await flood.send("request", id=f"f{n}", action="work", payload=n, priority=9)
        await count(flood, "acknowledgment", BACKLOG)
        for n in range(OWN):
            await honest.send("request", id=f"h{n}", action="work", payload=n, priority=0)
        await count(honest, "acknowledgment", OWN)
        if not workers:
            await operator.send("request", id="go", action="open")
        for _ in range(workers):
            await stack.enter_async_context(working(tmp_path, *places, handlers=APP))
        await count(honest, "complete", OWN)
        begun = order.read_text().split()
    mine = [place for place, sub in enumerate(begun) if sub == "honest"]
    assert len(mine) == OWN
    for k, place in enumerate(mine, start=1):
        # A turn each; and beside it what begins at the same time in the places of all workers.
        waited_for = place - (k - 1)
        assert waited_for <= k + PLACES * max(workers, 1), (k, begun[: place + 1])


async def count(wire: Wire, type: str, number: int) -> None:
    """Waits for so many messages of a type."""
    for _ in range(number):
        await wire.until_type(type)


# --- By the clock ---------------------------------------------------------------------------------


@dataclass
class Round:
    """What the honest owners waited for, in seconds."""

    acknowledged: list[float] = field(default_factory=list)
    completed: list[float] = field(default_factory=list)
    flood: dict[str, int] = field(default_factory=dict)


@asynccontextmanager
async def flooding(process: Process, seed: int, tenant: str) -> AsyncIterator[dict[str, int]]:
    """The flood, while the block runs; afterwards what it has done."""
    url = urlsplit(process.url)
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, str(HERE / "flooding.py"), str(url.hostname), str(url.port), str(seed)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    done: dict[str, int] = {}
    try:
        bearer = token("flood", tenant)
        program.stdin.write(f"{bearer}\n".encode() * CONNECTIONS + b"\n")
        async with asyncio.timeout(PATIENCE):
            assert await program.stdout.readline() == b"flooding\n"
        yield done
        program.stdin.close()
        async with asyncio.timeout(PATIENCE):
            done |= json.loads(await program.stdout.readline())
    finally:
        if program.returncode is None:
            program.kill()
        await program.wait()


async def ask(wire: Wire, name: str, seconds: float, measured: Round) -> None:
    """An honest owner: one small durable request after the other."""
    until = time.perf_counter() + seconds
    number = 0
    while time.perf_counter() < until:
        number += 1
        begun = time.perf_counter()
        await wire.send("request", id=f"{name}-{number}", action="work", payload=number)
        await wire.until_type("acknowledgment")
        measured.acknowledged.append(time.perf_counter() - begun)
        ended = (await wire.ended())[-1]
        measured.completed.append(time.perf_counter() - begun)
        assert (ended["type"], ended["result"]) == ("complete", number)
        await asyncio.sleep(PACE)


async def all_ask(wires: list[Wire], name: str, seconds: float) -> Round:
    measured = Round()
    async with asyncio.TaskGroup() as group:
        for n, wire in enumerate(wires):
            group.create_task(ask(wire, f"{name}-{n}", seconds, measured))
    return measured


def p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98]


@TENANTS
@pytest.mark.timeout(1_200)
async def test_nine_owners_go_on_while_the_tenth_floods(
    tmp_path: Path, tenant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    without: list[Round] = []
    beside: list[Round] = []
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(serving(tmp_path, handlers=APP))
        wires = [
            await stack.enter_async_context(connected(process.url, token(name))) for name in HONEST
        ]
        if IS_LONG:  # the first round warms everything up
            await all_ask(wires, "warm", SECONDS)
        for n in range(ROUNDS):
            without.append(await all_ask(wires, f"without-{n}", SECONDS))
            async with flooding(process, SEED + n, tenant) as done:
                beside.append(await all_ask(wires, f"beside-{n}", SECONDS))
            beside[-1].flood = done
            assert done["sent"] > 10 * CONNECTIONS
            assert done["acknowledgment"] > 0
            if IS_LONG:
                await drained(process, tenant)
            with capsys.disabled():
                print(f"\nround {n + 1}/{ROUNDS}: {story(without[-1], beside[-1])}", end="")
    if IS_LONG:
        for what in ("acknowledged", "completed"):
            calm = [p99(getattr(one, what)) for one in without]
            flooded = [p99(getattr(one, what)) for one in beside]
            ratio = statistics.median(flooded) / statistics.median(calm)
            with capsys.disabled():
                print(f"\n{what}: medians of the p99 stand as {ratio:.2f} to 1", end="")
            # Within the spread: no worse than the worst round without a flood.
            assert statistics.median(flooded) <= max(calm), (what, calm, flooded)


async def drained(process: Process, tenant: str) -> None:
    """The next round begins when nothing of the flood is left in the queues."""
    async with connected(process.url, token("flood", tenant)) as wire:
        while True:
            await wire.send("list", id="left", status=["queued", "processing"], limit=1)
            (listing,) = await wire.until_type("listing")
            if not listing["requests"]:
                return
            await wire.send("attach", request_id=listing["requests"][0]["id"], after_seq=0)
            await wire.ended()


def story(calm: Round, flooded: Round) -> str:
    parts = [
        f"p99 {what} {1000 * p99(getattr(calm, what)):.1f} ms without,"
        f" {1000 * p99(getattr(flooded, what)):.1f} ms beside the flood;"
        for what in ("acknowledged", "completed")
    ]
    return " ".join([*parts, json.dumps(flooded.flood)])
