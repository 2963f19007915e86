# SPDX-License-Identifier: Apache-2.0
"""Clients on real sockets: quick requests, progress, faults, slow readers, drain."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSMsgType
from gateway_harness import Harness, gateway
from gateway_readers import connections, poured, stopped_reader, unsent, until_blocked
from gateway_stage import Stage, code, is_terminal, until_last_replay
from service_harness import limits

from longcall_server import Handlers
from longcall_server.core.codes import CloseCode
from longcall_server.gateway.app import GatewaySettings, drain
from longcall_server.gateway.connection import Connection
from longcall_server.gateway.context import GATEWAY
from longcall_server.requests import ServiceSettings
from longcall_server.stores.base import OutcomeUnknown, StoreUnavailable

# --- Quick and cancel ----------------------------------------------------------------------------


@pytest.mark.clause("5.3.8", "10.12.1", "10.12.3")
async def test_a_cancel_of_a_running_quick_request_comes_behind_its_acknowledgment(
    at: Harness, stage: Stage
) -> None:
    peer, other = await at.welcomed(), await at.welcomed()
    await peer.request("quick_wait")
    await stage.started.wait()
    refusal = await other.ask({"type": "cancel", "request_id": "r1"})
    assert code(refusal) == "NOT_FOUND"
    await peer.send({"type": "attach", "request_id": "r1", "after_seq": 0})
    assert code(await peer.receive()) == "NOT_FOUND"
    await peer.send({"type": "cancel", "request_id": "r1", "reason": "typo"})
    seen = await peer.until(is_terminal)
    kinds = [message["type"] for message in seen]
    assert kinds.index("acknowledgment") < kinds.index("snapshot")
    assert [message["seq"] for message in seen if "seq" in message] == [1, 2, 3]
    assert code(seen[-1]) == "CANCELLED"
    assert seen[-1]["error"]["details"] == {"reason": "typo"}
    snapshot = next(message for message in seen if message["type"] == "snapshot")
    assert snapshot["request"]["cancel_requested"] is True


@pytest.mark.clause("5.3.3")
async def test_a_quick_request_that_takes_long_is_acknowledged_and_then_followed(
    handlers: Handlers, stage: Stage, tmp_path: Path
) -> None:
    settings = ServiceSettings(sync_window_ms=1)
    async with gateway(handlers, tmp_path) as at:
        at.desk.service._settings = settings
        peer = await at.welcomed()
        await peer.request("quick_wait")
        assert [(await peer.receive())["seq"] for _ in range(2)] == [1, 2]
        stage.go_on.set()
        assert (await peer.receive())["result"] == "done"


@pytest.mark.clause("4.5.6")
async def test_a_quick_request_detached_before_its_acknowledgment_gets_that_alone(
    handlers: Handlers, stage: Stage, tmp_path: Path
) -> None:
    async with gateway(handlers, tmp_path) as at:
        peer, other = await at.welcomed(), await at.welcomed()
        await peer.request("quick_wait")
        await stage.started.wait()
        await peer.send({"type": "detach", "request_id": "r1"})
        await peer.pinged()
        ((_, run),) = at.desk.service._runs.items()
        await run.promote()
        assert (await peer.receive())["type"] == "acknowledgment"
        await other.attach(0)
        stage.go_on.set()
        await other.until(is_terminal)
        assert await peer.ask({"type": "ping"}) == {"type": "pong"}


async def test_a_detached_quick_request_that_is_answered_leaves_nothing_behind(
    at: Harness, stage: Stage
) -> None:
    peer = await at.welcomed()
    await peer.request("quick_wait")
    await stage.started.wait()
    await peer.send({"type": "detach", "request_id": "r1"})
    await peer.pinged()
    stage.go_on.set()
    assert (await peer.receive())["type"] == "response"
    (connection,) = connections(at)
    assert not connection._decider._detached


@pytest.mark.clause("10.6.2")
@pytest.mark.complaint(1)
async def test_a_quick_request_outlives_its_connection(
    handlers: Handlers, stage: Stage, tmp_path: Path
) -> None:
    async with gateway(handlers, tmp_path) as at:
        peer = await at.welcomed()
        await peer.request("quick_wait")
        await stage.started.wait()
        await peer.ws.close()
        back = await at.welcomed()
        await back.request("quick_wait", resend=True)
        stage.go_on.set()
        seen = await back.until(is_terminal)
        assert [message["seq"] for message in seen] == [1, 2, 3]
        assert seen[-1]["result"] == "done"


# --- Progress ------------------------------------------------------------------------------------


@pytest.mark.clause("1.1.7", "6.1.2", "6.3.1", "6.3.2")
async def test_progress_is_throttled_and_the_last_goes_before_the_end(
    at: Harness, stage: Stage
) -> None:
    peer = await at.welcomed()
    await peer.request("wait")
    await peer.until(lambda message: message["type"] == "status")
    assert stage.context is not None
    for percentage in range(100):
        await stage.context.progress(float(percentage), f"step {percentage}")
    first = await peer.receive()
    assert (first["type"], first["percentage"]) == ("progress", 0)
    stage.go_on.set()
    seen = await peer.until(is_terminal)
    assert [message["type"] for message in seen] == ["progress", "complete"]
    assert seen[0]["percentage"] == 99
    assert seen[0]["version"] > first["version"]


@pytest.mark.clause("6.3.2", "6.3.3")
async def test_progress_held_back_comes_by_itself(at: Harness, stage: Stage) -> None:
    peer = await at.welcomed()
    await peer.request("wait")
    await peer.until(lambda message: message["type"] == "status")
    assert stage.context is not None
    for percentage in (1, 2, 3):
        await stage.context.progress(float(percentage))
    assert [(await peer.receive())["percentage"] for _ in range(2)] == [1, 3]


# --- The store, the bus, the clock ---------------------------------------------------------------


@pytest.mark.clause("10.3.1", "10.3.2")
async def test_an_outcome_that_nobody_knows_closes_with_1013(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with gateway(handlers, tmp_path) as at:
        at.desk.service._settings = ServiceSettings(patience_ms=0)
        peer = await at.welcomed()
        at.desk.store.break_next("submit", OutcomeUnknown)
        await peer.request("wait")
        assert await peer.close_code() == 1013


@pytest.mark.clause("10.1.2", "10.3.1")
async def test_nothing_is_said_behind_an_outcome_that_nobody_knows(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with gateway(handlers, tmp_path) as at:
        at.desk.service._settings = ServiceSettings(patience_ms=0)
        peer = await at.welcomed()
        at.desk.store.break_next("submit", OutcomeUnknown)
        # What waits behind the request in its lane is decided in the turn in which it closes.
        await peer.request("wait")
        await peer.send({"type": "cancel", "request_id": "r1"})
        end = await peer.ws.receive()
        assert end.type is WSMsgType.CLOSE, end
        assert end.data == 1013


@pytest.mark.clause("4.3.8", "10.28.2")
async def test_a_store_that_is_away_is_told_and_the_connection_stays(at: Harness) -> None:
    peer = await at.welcomed()
    at.desk.store.break_next("submit", StoreUnavailable)
    await peer.request("count", 1)
    assert code(await peer.receive()) == "UNAVAILABLE"
    await peer.request("count", 1)
    assert (await peer.until(is_terminal))[-1]["result"] == 1


@pytest.mark.clause("7.2.1")
async def test_a_defect_of_the_server_is_told_with_an_incident_and_nothing_else(
    at: Harness,
) -> None:
    peer = await at.welcomed()
    at.desk.store.break_next("read", KeyError)
    await peer.attach(0)
    refusal = await peer.receive()
    assert (refusal["reply_to"], refusal["request_id"]) == ("attach", "r1")
    assert code(refusal) == "INTERNAL_ERROR"
    assert set(refusal["error"]["details"]) == {"incident_id"}


@pytest.mark.clause("6.2.2", "10.34.1", "10.34.2")
async def test_a_deaf_bus_only_delays(
    handlers: Handlers, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = GatewaySettings(poll_ms=20)
    async with gateway(handlers, tmp_path, settings=settings) as at:
        bus = at.desk.node.bus
        monkeypatch.setattr(bus, "request_changed", lambda key: None)
        monkeypatch.setattr(bus, "progress_reported", lambda key, progress: None)
        peer = await at.welcomed()
        await peer.request("count", 3)
        seen = await peer.until(is_terminal)
        assert [message["seq"] for message in seen] == [1, 2, 3, 4, 5, 6]


@pytest.mark.clause("10.34.1")
async def test_a_log_that_cannot_be_read_is_read_at_the_next_poll(
    handlers: Handlers, stage: Stage, tmp_path: Path
) -> None:
    settings = GatewaySettings(poll_ms=20)
    async with gateway(handlers, tmp_path, settings=settings) as at:
        peer = await at.welcomed()
        at.desk.store.break_next("read", StoreUnavailable, StoreUnavailable)
        await peer.request("count", 2)
        assert [message["seq"] for message in await peer.until(is_terminal)] == [1, 2, 3, 4, 5]


@pytest.mark.clause("10.33.2")
async def test_a_log_removed_under_its_reader_is_not_found(
    handlers: Handlers, stage: Stage, tmp_path: Path
) -> None:
    settings = GatewaySettings(poll_ms=20)
    async with gateway(handlers, tmp_path, settings=settings, idle=True) as at:
        peer = await at.welcomed()
        await peer.request("wait")
        await peer.receive()
        key, store = at.desk.key(), at.desk.store
        # Ended and removed while the follower could not read.
        store.break_next("read", *[StoreUnavailable] * 3)
        await store.request_cancel(key, None)
        await store.delete(key)
        refusal = await peer.receive()
        assert (refusal["reply_to"], refusal["request_id"]) == ("attach", "r1")
        assert code(refusal) == "NOT_FOUND"
        assert "seq" not in refusal


@pytest.mark.clause("6.7.5")
async def test_silent_clients_are_pinged_and_then_closed(
    handlers: Handlers, tmp_path: Path
) -> None:
    settings = GatewaySettings(heartbeat_interval_ms=20)
    async with gateway(handlers, tmp_path, settings=settings) as at:
        silent, lively = await at.welcomed(), await at.welcomed()
        living = asyncio.create_task(lively.receive())
        assert await silent.close_code() == 4408
        # It answers its pings: `receive` does.
        assert not living.done()
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)


# --- Slow readers --------------------------------------------------------------------------------


@pytest.mark.clause("6.4.1", "10.25.3")
@pytest.mark.complaint(19)
async def test_a_slow_reader_is_bounded_and_loses_nothing(
    handlers: Handlers, tmp_path: Path
) -> None:
    bounds = limits(max_log_bytes=64 << 20)
    settings = GatewaySettings(send_buffer_bytes=131_072)
    options = {"settings": settings, "bounds": bounds}
    async with gateway(handlers, tmp_path, **options) as at:  # type: ignore[arg-type]
        fast = await poured(at)
        slow = await stopped_reader(at)
        for number in range(3):
            await slow.attach(0)
            await fast.request("echo", number, id=f"e{number}")
            assert (await fast.receive())["result"] == number
        most = 0
        for number in range(20):
            await fast.request("echo", number, id=f"f{number}")
            await fast.receive()
            most = max(most, unsent(at))
        assert 0 < most <= 131_072 + 65_536
        slow.ws._reader._protocol.resume_reading()
        seen = await until_last_replay(slow, snapshots=3)
        last = max(index for index, message in enumerate(seen) if message["type"] == "snapshot")
        assert [message["seq"] for message in seen[last + 1 :]] == list(range(1, 204))


@pytest.mark.clause("6.4.2")
async def test_nothing_more_is_read_from_a_client_that_takes_nothing(
    handlers: Handlers, tmp_path: Path
) -> None:
    bounds = limits(max_log_bytes=64 << 20)
    settings = GatewaySettings(send_buffer_bytes=131_072)
    async with gateway(handlers, tmp_path, settings=settings, bounds=bounds) as at:
        fast = await poured(at)
        slow = await stopped_reader(at)
        await slow.attach(0)
        await until_blocked(at, fast)
        # The one after which it stops reading, and the one that is not read.
        await slow.request("wait", id="before")
        await slow.request("wait", id="behind")
        for _ in range(20):
            await fast.pinged()
        assert await at.desk.store.get(at.desk.key("behind")) is None
        slow.ws._reader._protocol.resume_reading()
        await slow.until(lambda message: message.get("request_id") == "behind")
        assert await at.desk.store.get(at.desk.key("behind")) is not None


@pytest.mark.clause("6.1.3")
async def test_a_long_log_does_not_hold_up_a_short_one(handlers: Handlers, tmp_path: Path) -> None:
    async with gateway(handlers, tmp_path, bounds=limits(max_log_bytes=64 << 20)) as at:
        first = await at.welcomed()
        await first.request("pour", 200, id="long")
        await first.until(is_terminal)
        await first.request("count", 3, id="short")
        await first.until(is_terminal)
        peer = await at.welcomed()
        await peer.attach(0, "long")
        await peer.attach(0, "short")
        seen = await peer.until(
            lambda message: is_terminal(message) and message["request_id"] == "short"
        )
        assert sum(message["request_id"] == "long" for message in seen) < 100


@pytest.mark.clause("6.4.3")
async def test_a_reader_that_takes_nothing_is_closed(
    handlers: Handlers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []
    close = Connection.close

    def noted(connection: Connection, code: CloseCode | int, reason: str) -> None:
        codes.append(int(code))
        close(connection, code, reason)

    monkeypatch.setattr(Connection, "close", noted)
    settings = GatewaySettings(stall_timeout_ms=100, close_timeout_ms=50)
    bounds = limits(max_log_bytes=64 << 20)
    async with gateway(handlers, tmp_path, settings=settings, bounds=bounds) as at:
        fast = await poured(at)
        slow = await stopped_reader(at)
        await slow.attach(0)
        await fast.ws.close()
        async with asyncio.timeout(20):
            await at.app[GATEWAY].empty()
        assert codes == [4408]
        assert await (await at.welcomed()).ask({"type": "ping"}) == {"type": "pong"}


# --- Drain ---------------------------------------------------------------------------------------


@pytest.mark.clause("6.8.1", "6.8.3", "6.8.4")
async def test_a_drain_says_goaway_goes_on_and_closes_who_stays(at: Harness, stage: Stage) -> None:
    mover, stayer, newcomer = await at.welcomed(), await at.welcomed(), await at.connect()
    await stayer.request("wait", 3)
    await stayer.until(lambda message: message["type"] == "status")
    draining = asyncio.create_task(
        drain(at.app, code=CloseCode.SERVICE_RESTART, reason="a new version", grace_s=0.5)
    )
    for peer in (mover, stayer):
        goaway = await peer.receive()
        assert (goaway["type"], goaway["reason"]) == ("goaway", "a new version")
        assert 0 <= goaway["reconnect_after_ms"] <= 2000
    # PROTOCOL 6.8.3: processing goes on.
    stage.go_on.set()
    assert (await stayer.receive())["result"] == 3
    await newcomer.hello()
    assert (await newcomer.receive())["type"] == "goaway"
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await at.connect()
    assert caught.value.status == 503
    await mover.ws.close()
    assert await stayer.close_code() == 1012
    assert await newcomer.close_code() == 1012
    await draining


@pytest.mark.clause("6.8.2")
async def test_clients_that_are_sent_away_do_not_all_come_back_at_once(at: Harness) -> None:
    peers = [await at.welcomed() for _ in range(12)]
    draining = asyncio.create_task(
        drain(at.app, code=CloseCode.SERVICE_RESTART, reason="a new version", grace_s=600)
    )
    waits = {(await peer.receive())["reconnect_after_ms"] for peer in peers}
    assert len(waits) > 1
    for peer in peers:
        await peer.ws.close()
    await draining


async def test_a_drain_ends_as_soon_as_everybody_has_left(at: Harness) -> None:
    peer = await at.welcomed()
    draining = asyncio.create_task(
        drain(at.app, code=CloseCode.GOING_AWAY, reason="bye", grace_s=600)
    )
    await peer.receive()
    await peer.ws.close()
    async with asyncio.timeout(20):
        await draining


async def test_a_connection_lost_in_the_middle_leaves_nothing_behind(
    at: Harness, stage: Stage
) -> None:
    for number in range(20):
        peer = await at.welcomed()
        await peer.request("wait", id=f"r{number}")
        await peer.request("quick_wait", id=f"q{number}")
        transport = peer.ws._response.connection.transport  # type: ignore[union-attr]
        assert transport is not None
        transport.abort()
    async with asyncio.timeout(20):
        await at.app[GATEWAY].empty()
    assert at.desk.node.bus._followers == {}
    stage.go_on.set()
