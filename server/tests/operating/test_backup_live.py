# SPDX-License-Identifier: Apache-2.0
"""A backup while clients submit and requests end, and a server on what was restored from it."""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from operator_harness import without_environment
from wire import Wire, connected, settings

from longcall_server import Handlers, JsonValue, RequestContext
from longcall_server.__main__ import main
from longcall_server.config import Settings
from longcall_server.server import Server
from longcall_server.stores.base import Owner, Record, RequestKey
from longcall_server.stores.sqlite import SqliteStore, copies

OWNER = Owner("acme", "alice")
CLIENTS = 6
handlers = Handlers()
later = Handlers()


@handlers.register("work")
async def work(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    await ctx.chunk("x" * 2_000)
    async with ctx.file("made.txt", "text/plain") as file:
        await file.write(json.dumps(payload).encode())
    return payload


@handlers.register("held")
async def wait(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    await asyncio.Event().wait()
    raise AssertionError


@later.register("held")
async def run_at_last(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    return {"attempt": ctx.attempt, "payload": payload}


async def command(*arguments: str) -> None:
    def give() -> None:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0

    await asyncio.to_thread(give)


class Load:
    """Clients that submit one request after another, each when the last has ended."""

    def __init__(self) -> None:
        self.acknowledged: set[str] = set()
        self.ended: set[str] = set()
        self.grown = asyncio.Condition()

    async def run(self, wire: Wire, name: str) -> None:
        for number in itertools.count():
            id = f"{name}-{number}"
            await wire.send("request", id=id, action="work", payload=id)
            await wire.until_type("acknowledgment")
            self.acknowledged.add(id)
            await wire.ended()
            async with self.grown:
                self.ended.add(id)
                self.grown.notify_all()

    async def until_ended(self, count: int) -> None:
        async with self.grown, asyncio.timeout(60):
            await self.grown.wait_for(lambda: len(self.ended) >= count)


async def log_of(given: Settings, ids: set[str]) -> dict[str, tuple[str, ...]]:
    store = SqliteStore(given.database)
    await store.open()
    try:
        logs = {}
        for id in ids:
            piece = await store.read(RequestKey(OWNER, id), 0)
            assert piece is not None, id
            logs[id] = tuple(event.frame for event in piece.events)
        return logs
    finally:
        await store.close()


@pytest.mark.slow
async def test_a_backup_under_load_holds_whatever_was_acknowledged_before_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_environment(monkeypatch)
    old = settings(store="sqlite", data_dir=tmp_path / "old", drain_grace="0")
    new = settings(store="sqlite", data_dir=tmp_path / "new")
    file = tmp_path / "backup.tar"
    load = Load()
    loop = asyncio.get_running_loop()
    copy = copies.copy

    def copy_and_linger(source: Path, target: Path) -> None:
        copy(source, target)
        more = load.until_ended(len(load.ended) + 20)
        asyncio.run_coroutine_threadsafe(more, loop).result()

    monkeypatch.setattr(copies, "copy", copy_and_linger)
    async with Server(old, handlers) as server, AsyncExitStack() as stack:
        first = await stack.enter_async_context(connected(server.url))
        for number in range(3):
            await first.send("request", id=f"held-{number}", action="held", payload=number)
            await first.until_type("status")
        await first.send("request", id="later", action="held", payload=3, delay_ms=3_600_000)
        await first.until_type("acknowledgment")
        wires = [await stack.enter_async_context(connected(server.url)) for _ in range(CLIENTS)]
        clients = [
            asyncio.create_task(load.run(wire, f"c{number}")) for number, wire in enumerate(wires)
        ]
        await load.until_ended(60)
        acknowledged, ended = set(load.acknowledged), set(load.ended)
        await command("backup", str(file), "--data-dir", str(old.data_dir))
        for client in clients:
            client.cancel()
        assert all(
            isinstance(outcome, asyncio.CancelledError)
            for outcome in await asyncio.gather(*clients, return_exceptions=True)
        )
    await command("restore", str(file), "--data-dir", str(new.data_dir))
    assert await log_of(new, ended) == await log_of(old, ended)

    # What ended is read as it was, files included; what was acknowledged or ran goes on.
    later.register("work")(work)
    async with Server(new, later) as server, connected(server.url) as wire:
        for id in acknowledged:
            await wire.send("attach", request_id=id, after_seq=0)
            assert (await wire.ended())[-1]["result"] == id
        for number in range(3):
            await wire.send("attach", request_id=f"held-{number}", after_seq=0)
            assert (await wire.ended())[-1]["result"] == {"attempt": 2, "payload": number}
        await wire.send("cancel", request_id="later")
        (snapshot,) = await wire.until_type("snapshot")
        assert snapshot["request"]["status"] == "cancelled"
    await the_files_are_whole(new, acknowledged)


async def the_files_are_whole(given: Settings, ids: set[str]) -> None:
    store = SqliteStore(given.database)
    await store.open()
    try:
        for id in ids:
            record = await store.get(RequestKey(OWNER, id))
            assert isinstance(record, Record)
            (made,) = record.files
            path = given.files_dir / made.location
            assert await asyncio.to_thread(path.read_bytes) == json.dumps(id).encode()
    finally:
        await store.close()
