# SPDX-License-Identifier: Apache-2.0
"""What one client can make the server hold, whatever it sends and does not take."""

from __future__ import annotations

import asyncio
import gc
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import WSMsgType
from gateway_harness import PATIENCE, gateway, token
from gateway_readers import connections, stopped_reader, unsent
from gateway_stage import code, is_terminal
from service_harness import limits

from longcall_server import Handlers, JsonValue, RequestContext
from longcall_server.gateway.app import GatewaySettings
from longcall_server.gateway.context import GATEWAY


@pytest.mark.clause("10.45.9")
async def test_messages_that_the_store_does_not_take_stay_within_the_memory_and_none_is_lost(
    handlers: Handlers, tmp_path: Path
) -> None:
    settings = GatewaySettings(pending_bytes=400_000, total_pending_bytes=2_000_000)
    bounds = limits(max_message_bytes=1 << 17)
    async with gateway(handlers, tmp_path, settings=settings, bounds=bounds) as at:
        taking = asyncio.Event()
        at.desk.store.before["submit"] = taking.wait
        memory = at.app[GATEWAY].memory
        honest = await at.welcomed(token("honest"))
        peers = [await at.welcomed(token(f"greedy {number % 6}")) for number in range(30)]
        sending = [
            asyncio.create_task(peer.request("wait", "x" * 50_000, id=f"{place}-{number}"))
            for place, peer in enumerate(peers)
            for number in range(8)
        ]
        async with asyncio.timeout(PATIENCE):
            while memory.held < 1_500_000:
                await honest.pinged()
        # Nobody who sends what is small waits for them.
        for number in range(50):
            await honest.request("echo", number, id=f"e{number}")
            assert (await honest.receive())["result"] == number
            assert memory.held <= 2_000_000 + 250_000
        await honest.request("wait", "also stored", id="small")
        assert sum(verb == "submit" for verb in at.desk.store.calls) < 30 * 8
        taking.set()
        await asyncio.gather(*sending)
        for place, peer in enumerate(peers):
            missing = {f"{place}-{number}" for number in range(8)}
            while missing:
                message = await peer.receive()
                if message["type"] == "acknowledgment":
                    missing.remove(message["request_id"])
        assert (await honest.receive())["request_id"] == "small"
        assert memory.held == 0


@pytest.mark.clause("10.45.9")
async def test_a_close_does_not_wait_for_the_memory_that_its_connection_waits_for(
    handlers: Handlers, tmp_path: Path
) -> None:
    settings = GatewaySettings(pending_bytes=300_000, close_timeout_ms=200)
    async with gateway(handlers, tmp_path, settings=settings) as at:
        taking = asyncio.Event()
        at.desk.store.before["submit"] = taking.wait
        peer = await at.welcomed()
        (connection,) = connections(at)
        other = await at.welcomed()
        for number in range(3):
            await peer.request("wait", "x" * 60_000, id=f"r{number}")
        async with asyncio.timeout(PATIENCE):
            while not connection._is_holding:
                await other.pinged()
            connection.close(1012, "a new version")
            assert await peer.close_code() == 1012
            await other.ws.close()
            await at.app[GATEWAY].empty()
        assert at.app[GATEWAY].memory.held == 0
        taking.set()


async def test_a_quick_request_holds_its_memory_until_it_is_answered(
    tmp_path: Path,
) -> None:
    made, gate = Handlers(), asyncio.Event()

    @made.register("quick_wait", durable=False)
    async def quick_wait(ctx: RequestContext, payload: JsonValue) -> None:
        await gate.wait()

    async with gateway(made, tmp_path) as at:
        memory = at.app[GATEWAY].memory
        peer = await at.welcomed()
        await peer.request("quick_wait", "x" * 50_000)
        await peer.pinged()
        assert 150_000 <= memory.held <= 200_000
        gate.set()
        assert (await peer.receive())["type"] == "response"
        await peer.pinged()
        assert memory.held == 0


async def test_a_quick_request_that_is_promoted_gives_its_memory_back_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made, gate = Handlers(), asyncio.Event()

    @made.register("quick_wait", durable=False, sync_window=timedelta(0))
    async def quick_wait(ctx: RequestContext, payload: JsonValue) -> None:
        await gate.wait()

    async with gateway(made, tmp_path) as at:
        peer = await at.welcomed()
        await peer.request("quick_wait", "x" * 50_000)
        assert (await peer.receive())["type"] == "acknowledgment"
        gate.set()
        await peer.until(is_terminal)
        await peer.pinged()
        (connection,) = connections(at)
        assert (connection._share.held, at.app[GATEWAY].memory.held) == (0, 0)
    gc.collect()  # what a task has raised is told when the task is forgotten
    assert caplog.records == []


@pytest.mark.clause("6.4.2", "10.45.10")
async def test_pings_of_a_client_that_takes_no_pongs_are_not_answered_without_end(
    handlers: Handlers, tmp_path: Path
) -> None:
    settings = GatewaySettings(send_buffer_bytes=131_072)
    bounds = limits(message_burst=1_000_000, messages_per_minute=60_000_000)
    async with gateway(handlers, tmp_path, settings=settings, bounds=bounds) as at:
        honest = await at.welcomed()
        slow = await stopped_reader(at)

        async def flood() -> None:
            for _ in range(40_000):
                await slow.ws.ping(b"p" * 125)

        flooding = asyncio.create_task(flood())
        async with asyncio.timeout(PATIENCE):
            while not any(connection._outbox.is_blocked for connection in connections(at)):
                await honest.pinged()
        for _ in range(50):
            await honest.pinged()
            assert unsent(at) <= 131_072 + 65_536
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)


@pytest.mark.clause("6.7.1", "10.45.10")
async def test_a_ping_of_the_transport_is_answered_with_its_own_words_and_counted(
    handlers: Handlers, tmp_path: Path
) -> None:
    bounds = limits(message_burst=3, messages_per_minute=1)
    async with gateway(handlers, tmp_path, bounds=bounds) as at:
        peer = await at.welcomed(autoping=False)
        await peer.ws.ping(b"are you there")
        frame = await peer.ws.receive()
        assert (frame.type, bytes(frame.data)) == (WSMsgType.PONG, b"are you there")
        await peer.ws.pong(b"nobody asked")
        await peer.request("echo", 1, id="r1")
        assert (await peer.receive())["result"] == 1
        await peer.request("echo", 1, id="r2")
        assert code(await peer.receive()) == "RATE_LIMITED"


@pytest.mark.clause("6.4.1", "6.4.2")
async def test_large_answers_are_read_when_there_is_room_for_them_and_not_before(
    tmp_path: Path,
) -> None:
    made = Handlers()

    @made.register("large")
    async def large(ctx: RequestContext, payload: JsonValue) -> str:
        return "x" * 60_000

    settings = GatewaySettings(send_buffer_bytes=131_072)
    async with gateway(made, tmp_path, settings=settings) as at:
        fast = await at.welcomed()
        for number in range(120):
            await fast.request("large", id=f"r{number}")
            await fast.until(is_terminal)
        slow = await stopped_reader(at)
        at.desk.store.calls.clear()
        reading = asyncio.Event()
        verbs = ("read", "request_cancel")

        def asked() -> int:
            return sum(verb in verbs for verb in at.desk.store.calls)

        at.desk.store.before = {"read": reading.wait, "request_cancel": reading.wait}
        for number in range(60):
            await slow.attach(0, request_id=f"r{number}")
            await slow.send({"type": "cancel", "request_id": f"r{60 + number}"})
        for _ in range(100):
            await fast.pinged()
        assert 0 < asked() <= 8
        reading.set()
        for _ in range(100):
            await fast.pinged()
        # Those that the buffers of the kernel and of the socket took, and the few at once.
        assert asked() < 60
        assert unsent(at) <= 131_072 + 10 * 65_536
        slow.ws._reader._protocol.resume_reading()
        ended, snapshots = set[str](), set[tuple[str, str]]()
        while len(ended) < 60 or len(snapshots) < 120:
            message = await slow.receive()
            if is_terminal(message):
                assert len(message["result"]) == 60_000
                ended.add(message["request_id"])
            elif message["type"] == "snapshot":
                snapshots.add((message["request_id"], message["reply_to"]))
