# SPDX-License-Identifier: Apache-2.0
"""Somebody else's request is one that never was: by code, by shape, byte for byte, and in time."""

from __future__ import annotations

import asyncio
import gc
import random
import re
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from wire import PATIENCE, Wire, connected, settings, token

from longcall_server import Handlers, JsonValue, RequestContext
from longcall_server.server import Server
from longcall_server.stores.base import LogSlice, Owner, RequestKey
from longcall_server.stores.sqlite import SqliteStore

handlers = Handlers()
LONG = timedelta(hours=1)
ALICE = Owner("acme", "alice")
BOB = token("bob")
STATES = ("queued", "running", "quick", "completed", "failed", "cancelled", "expired")
"""What Alice has, each under an id that ends in its number."""
NEVER = "00000000-never"


def id_of(state: str) -> str:
    """Ids of one length and one alphabet: nothing but whether they stand for something differs."""
    return f"{STATES.index(state):08d}-thing"


@handlers.register("wait")
async def wait(ctx: RequestContext) -> None:
    """Runs until it is cancelled."""
    await asyncio.Event().wait()


@handlers.register("quick", durable=False, sync_window=LONG)
async def quick(ctx: RequestContext) -> None:
    """Runs without being stored."""
    await asyncio.Event().wait()


@handlers.register("file")
async def file(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    """Attaches a file."""
    async with ctx.file("report.txt", "text/plain") as made:
        await made.write(b"secret")
    return payload


@handlers.register("fail", attempts=1)
async def fail(ctx: RequestContext) -> None:
    """Fails."""
    raise ValueError("no luck")


@dataclass
class Stage:
    """A server with Alice's requests, and Bob's connection."""

    server: Server
    bob: Wire

    async def frames(self, type: str, id: str, **fields: object) -> list[str]:
        """All that Bob is sent for a message, his own word for the request put back."""
        name = "id" if type == "request" else "request_id"
        await self.bob.send(type, **{name: id, **fields})
        await self.bob.send("ping", nonce="over")
        seen: list[str] = []
        async with asyncio.timeout(PATIENCE):
            while '"nonce":"over"' not in (text := str(await self.bob.socket.recv())):
                seen.append(anonymous(text, id))
            # The answer to what has to look into the store comes behind the `pong`.
            while type not in ("detach", "ping") and not seen:
                seen.append(anonymous(str(await self.bob.socket.recv()), id))
        return seen

    async def http(self, path: str) -> bytes:
        """The whole response to a GET of Bob's, byte for byte, but for its date."""
        url = urlsplit(self.server.http_url)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        head = f"GET {path} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n"
        writer.write(f"{head}Authorization: Bearer {BOB}\r\n\r\n".encode())
        async with asyncio.timeout(PATIENCE):
            response = await reader.read()
        writer.close()
        await writer.wait_closed()
        return re.sub(rb"\r\nDate: [^\r]*", b"", response)


def anonymous(text: str, id: str) -> str:
    """A frame without what is of this one request: its id, and when it was stored."""
    return re.sub(r'"created_at":"[^"]*"', '"created_at":""', text.replace(id, "ID"))


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        # What is measured is the answer, and no pause between two questions.
        fast = {"message_burst": 1_000_000, "owner_messages_per_minute": 1_000_000_000}
        given = settings(store="sqlite", data_dir=folder, **fast)
        server = await stack.enter_async_context(Server(given, handlers))
        alice = await stack.enter_async_context(connected(server.url))
        await alice.send("request", id=id_of("running"), action="wait")
        await alice.until(lambda message: message.get("status") == "processing")
        await alice.send("request", id=id_of("queued"), action="wait", delay_ms=3_600_000)
        await alice.until_type("acknowledgment")
        await alice.send("request", id=id_of("quick"), action="quick")
        for state, action in (("completed", "file"), ("failed", "fail"), ("expired", "file")):
            await alice.send("request", id=id_of(state), action=action, payload=None)
            await alice.ended()
        await alice.send("request", id=id_of("cancelled"), action="wait", delay_ms=3_600_000)
        await alice.send("cancel", request_id=id_of("cancelled"))
        await alice.ended()
        parts = server._parts
        assert parts is not None
        assert await parts.store.delete(RequestKey(ALICE, id_of("expired"))) is not None
        bob = await stack.enter_async_context(connected(server.url, BOB))
        yield Stage(server, bob)


@pytest.mark.clause("3.4.2", "10.48.2")
@pytest.mark.parametrize("state", STATES)
async def test_a_strangers_request_is_answered_byte_for_byte_as_one_that_never_was(
    tmp_path: Path, state: str
) -> None:
    async with stage(tmp_path) as at:
        for type, fields in (
            ("attach", {"after_seq": 0}),
            ("attach", {"after_seq": 7, "follow": False}),
            ("cancel", {"reason": "mine"}),
            ("detach", {}),
        ):
            strange = await at.frames(type, id_of(state), **fields)
            unknown = await at.frames(type, NEVER, **fields)
            assert strange == unknown, type
            assert len(strange) == (type != "detach")
        for name in ("report.txt", "other.txt"):
            path = "/v1/requests/{}/files/" + name
            strange_http = await at.http(path.format(id_of(state)))
            assert strange_http == await at.http(path.format(NEVER))
            assert strange_http.startswith(b"HTTP/1.1 404 ")
        await at.bob.send("list", id="all")
        assert await at.bob.receive() == {"type": "listing", "id": "all", "requests": []}


@pytest.mark.clause("3.4.3", "5.1.4")
@pytest.mark.parametrize("state", STATES)
async def test_the_id_of_a_strangers_request_is_free(tmp_path: Path, state: str) -> None:
    async with stage(tmp_path) as at:
        fields = {"action": "wait", "delay_ms": 3_600_000}
        strange = await at.frames("request", id_of(state), **fields)
        assert strange == await at.frames("request", NEVER, **fields)
        assert '"type":"acknowledgment"' in strange[0]
        assert "duplicate" not in strange[0]


ROUNDS = 40
TRIES = 15


async def times_of(
    at: Stage, dice: random.Random, type: str, ids: dict[str, str]
) -> dict[str, float]:
    """Median seconds to the answer for each id, asked in an order that is drawn anew each time."""
    taken: dict[str, list[float]] = {name: [] for name in ids}
    fields = {"after_seq": 0} if type == "attach" else {}
    for _ in range(TRIES):
        order = list(ids)
        dice.shuffle(order)
        for name in order:
            begun = time.perf_counter()
            await at.bob.send(type, request_id=ids[name], **fields)
            answer = await at.bob.receive()
            taken[name].append(time.perf_counter() - begun)
            assert answer["error"]["code"] == "NOT_FOUND"
    return {name: statistics.median(times) for name, times in taken.items()}


async def told_apart(at: Stage, type: str) -> dict[str, float]:
    """Which of Alice's requests take another time than ids that never were: by how much, as ratios.

    Each is held against the controls of the same round: what the machine does meanwhile is in both.
    """
    dice = random.Random(20261125)
    controls = {f"control {n}": f"{n:08d}-never" for n in range(4)}
    ids = {state: id_of(state) for state in STATES} | controls
    gc.collect()
    rounds = [await times_of(at, dice, type, ids) for _ in range(ROUNDS)]
    ratios: dict[str, list[float]] = {name: [] for name in ids}
    for measured in rounds:
        for name, taken in measured.items():
            others = [measured[one] for one in controls if one != name]
            ratios[name].append(taken / statistics.mean(others))
    medians = {name: statistics.median(found) for name, found in ratios.items()}
    # How far a median of so many rounds moves by chance, as the spread of the controls tells.
    spread = max(
        1.4826 * statistics.median(abs(one - medians[name]) for one in ratios[name])
        for name in controls
    )
    chance = 5 * 1.2533 * spread / ROUNDS**0.5 + 0.01
    return {name: round(medians[name], 3) for name in STATES if abs(medians[name] - 1) > chance}


@pytest.mark.slow
@pytest.mark.clause("3.4.2")
@pytest.mark.parametrize("type", ["attach", "cancel"])
async def test_a_strangers_request_takes_as_long_as_one_that_never_was(
    tmp_path: Path, type: str
) -> None:
    async with stage(tmp_path) as at:
        assert await told_apart(at, type) == {}


@pytest.mark.slow
async def test_one_more_look_into_the_store_would_be_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = SqliteStore.read

    async def leaky(
        self: SqliteStore, key: RequestKey, after_seq: int, *, max_bytes: int = 262_144
    ) -> LogSlice | None:
        found = await read(self, key, after_seq, max_bytes=max_bytes)
        if found is None and key.id in {id_of(state) for state in STATES}:
            await read(self, RequestKey(ALICE, key.id), 0)
        return found

    async with stage(tmp_path) as at:
        monkeypatch.setattr(SqliteStore, "read", leaky)
        assert set(await told_apart(at, "attach")) == set(STATES)
