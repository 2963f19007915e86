# SPDX-License-Identifier: Apache-2.0
"""Two workers over a store that often fails, before and after it has committed."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from worker_harness import Node, node

from longcall_server import Backoff, Handlers, RequestContext
from longcall_server.bus.local import LocalBus
from longcall_server.stores.base import OutcomeUnknown, RequestKey, StoreUnavailable
from longcall_server.stores.memory import MemoryStore

pytestmark = pytest.mark.slow  # hundreds of faults, one after the other

REQUESTS = 12
CHUNKS = 6
VERBS = ("append", "complete", "fail", "claim", "renew", "sweep")


class Storm:
    """Makes each verb of a store fail now and then."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.calm = False

    def over(self, verb: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def stormy(*args: Any, **options: Any) -> Any:
            draw = 1.0 if self.calm else self._random.random()
            if draw < 0.1:
                raise StoreUnavailable
            answer = await verb(*args, **options)
            await asyncio.sleep(0)
            if draw < 0.2:
                raise OutcomeUnknown
            return answer

        return stormy


@pytest.mark.clause("1.1.1", "5.5.1", "5.8.1", "10.17.1", "10.17.2", "10.18.2")
@pytest.mark.parametrize("seed", range(4))
async def test_every_request_ends_once_and_every_chunk_is_seen_once(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(seed)
    monkeypatch.setattr("longcall_server.stores.outcomes._FIRST_WAIT", 0.001)
    monkeypatch.setattr("longcall_server.worker.worker.RETRY_STORE", 0.01)
    monkeypatch.setattr("longcall_server.worker.leases.RETRY_STORE", 0.01)
    handlers = Handlers()

    @handlers.register(
        "work", attempts=1000, backoff=Backoff(timedelta(0), timedelta(milliseconds=2))
    )
    async def work(ctx: RequestContext) -> int:
        first = ctx.checkpoint if isinstance(ctx.checkpoint, int) else 0
        for number in range(first, CHUNKS):
            if random.random() < 0.1:
                raise RuntimeError("a defect")
            if random.random() < 0.1:
                await ctx.chunk("void")  # without a checkpoint: another attempt voids it
                raise RuntimeError("a defect after a chunk")
            await ctx.chunk(number, checkpoint=number + 1)
        return ctx.attempt

    store, bus, storm = MemoryStore(), LocalBus(), Storm(random)
    for verb in VERBS:
        monkeypatch.setattr(store, verb, storm.over(getattr(store, verb)))
    options: dict[str, Any] = {"store": store, "bus": bus, "lease_ms": 60, "poll_ms": 20}
    async with (
        node(handlers, tmp_path / "1", concurrency=4, **options) as first,
        node(handlers, tmp_path / "2", name="worker-2", alone=False, concurrency=4, **options),
    ):
        keys = [await first.submit("work") for _ in range(REQUESTS)]
        for key in keys:
            record = await first.finished(key)
            assert record.status == "completed"
            assert await _collected(first, key) == list(range(CHUNKS))
        storm.calm = True


async def _collected(at: Node, key: RequestKey) -> list[Any]:
    """What an SDK collects, after a look at the whole log."""
    log = await at.log(key)
    assert [event["seq"] for event in log] == list(range(1, len(log) + 1))
    assert [event["type"] for event in log if event["type"] in ("complete", "error")] == [
        "complete"
    ]
    attempts = [event["attempt"] for event in log if event.get("status") == "processing"]
    assert attempts == list(range(1, len(attempts) + 1))
    chunks: dict[int, Any] = {}
    for event in log:
        if event.get("status") == "processing":
            chunks = {seq: data for seq, data in chunks.items() if seq <= event["chunks_kept_to"]}
        elif event["type"] == "chunk":
            chunks[event["seq"]] = event["data"]
    return list(chunks.values())
