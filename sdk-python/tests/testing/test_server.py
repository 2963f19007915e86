# SPDX-License-Identifier: Apache-2.0
"""The server in memory is a server: what a client may rely on, a test may rely on."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing
from typing import Any

import pytest
from pydantic import BaseModel

import longcall
from longcall import (
    Chunk,
    Client,
    ConfigurationError,
    ConflictError,
    ConnectionClosed,
    Event,
    ForbiddenError,
    HandlerError,
    InternalError,
    NotFoundError,
    Progress,
    RequestCancelledError,
    RequestHandle,
    RequestTimeoutError,
    Status,
    UnauthorizedError,
    UnavailableError,
    UnknownActionError,
    WaitTimeout,
)
from longcall.errors import request_error
from longcall.testing import InMemoryRequest, InMemoryServer, Refusal

RECONNECT = 20.0
"""Seconds that are longer than any wait before a reconnect."""


@pytest.fixture
def server(longcall_server: InMemoryServer, no_leaks: None) -> InMemoryServer:
    return longcall_server


def connect(server: InMemoryServer, **arguments: Any) -> Client:
    return longcall.connect(server.url, "token", **arguments)


async def collect(handle: RequestHandle) -> list[Event]:
    return [event async for event in handle]


def shown(events: list[Event]) -> list[object]:
    told: list[object] = []
    for event in events:
        match event:
            case Status(status=status):
                told.append(status)
            case Progress(percentage=percentage):
                told.append(percentage)
            case Chunk(data=data):
                told.append(data)
    return told


# Scripts.


async def test_script_reports_sends_chunks_and_returns_the_result(server: InMemoryServer) -> None:
    class Row(BaseModel):
        number: int

    @server.on("report")
    def report(request: InMemoryRequest) -> object:
        request.progress(10, "begun", {"step": 1})
        request.chunk(Row(number=1))
        request.progress(90)
        return Row(number=2)

    async with connect(server) as client:
        handle = await client.submit("report", {"a": 1}, metadata={"who": "me"})
        assert await handle == {"number": 2}
        assert shown(await collect(handle)) == ["queued", "processing", 90, {"number": 1}]
    (request,) = server.requests
    assert (request.payload, request.message["metadata"]) == ({"a": 1}, {"who": "me"})
    assert (request.executions, request.arrivals, request.status) == (1, 1, "completed")


async def test_async_script_waits_for_the_clock(server: InMemoryServer) -> None:
    @server.on("slow")
    async def slow(request: InMemoryRequest) -> object:
        await server.clock.sleep(3600)
        return "done"

    async with connect(server) as client:
        call = asyncio.create_task(client.call("slow"))
        await server.clock.advance(3599)
        assert not call.done()
        await server.clock.advance(1)
        assert await call == "done"


async def test_quick_script_is_answered_at_once_and_not_stored(server: InMemoryServer) -> None:
    server.on("echo", lambda request: request.payload, durable=False)
    async with connect(server) as client:
        handle = await client.submit("echo", [1])
        assert (await handle, await collect(handle)) == ([1], [])
        with pytest.raises(NotFoundError):
            await client.attach(handle.id).result()
    assert server.requests == []


async def test_quick_script_that_takes_long_is_stored_after_all(server: InMemoryServer) -> None:
    @server.on("echo", durable=False)
    async def echo(request: InMemoryRequest) -> object:
        await server.clock.sleep(3)
        return request.payload

    async with connect(server) as client:
        submit = asyncio.create_task(client.submit("echo", 1))
        await server.clock.advance(1.9)
        assert not submit.done()
        await server.clock.advance(0.2)
        handle = await submit
        assert not handle.is_finished
        await server.clock.advance(1)
        assert await handle == 1


@pytest.mark.parametrize("durable", [True, False])
async def test_what_a_script_raises_ends_the_request(server: InMemoryServer, durable: bool) -> None:
    @server.on("own", durable=durable)
    def own(request: InMemoryRequest) -> object:
        raise request_error("HANDLER_ERROR", "no rows", details={"code": "NO_ROWS"})

    @server.on("accident", durable=durable)
    async def accident(request: InMemoryRequest) -> object:
        raise KeyError("x")

    async with connect(server) as client:
        with pytest.raises(HandlerError, match="no rows") as caught:
            await client.call("own")
        assert caught.value.details == {"code": "NO_ROWS"}
        assert caught.value.executed is not durable
        with pytest.raises(InternalError, match="KeyError"):
            await client.call("accident")


async def test_refusals(server: InMemoryServer) -> None:
    server.on("secret", Refusal("FORBIDDEN"))
    server.on("busy", Refusal("UNAVAILABLE", "later", retry_after=1.5, details={"a": 1}))
    async with connect(server) as client:
        with pytest.raises(UnknownActionError):
            await client.call("unknown")
        with pytest.raises(ForbiddenError):
            await client.call("secret")
        with pytest.raises(UnavailableError, match="later") as caught:
            await client.call("busy")
    assert (caught.value.retry_after, caught.value.retryable) == (1.5, True)
    assert server.requests == []


async def test_test_plays_the_handler_and_attempts_begin_anew(server: InMemoryServer) -> None:
    server.on("report")
    async with connect(server) as client:
        handle = await client.submit("report")
        request = await server.next("report")
        request.chunk("kept", checkpoint=True)
        request.chunk("lost")
        request.retry(after=5)
        await server.clock.advance(4.9)
        assert request.status == "retrying"
        await server.clock.advance(0.2)
        request.chunk("again")
        request.complete()
        events = await collect(handle)
    begun = [event.chunks_kept_to for event in events if isinstance(event, Status)]
    assert begun == [0, 0, 3, 3]
    assert shown(events) == [
        "queued", "processing", "kept", "lost", "retrying", "processing", "again",
    ]  # fmt: skip
    with pytest.raises(ConfigurationError, match="has ended"):
        request.complete()


async def test_what_no_server_could_send_is_refused_where_it_is_said(
    server: InMemoryServer,
) -> None:
    server.on("report")
    async with connect(server) as client:
        await client.submit("report")
        request = await server.next()
        with pytest.raises(ConfigurationError, match="percentage"):
            request.progress(101)
        with pytest.raises(longcall.ValidationError):
            request.chunk(float("nan"))
        with pytest.raises(longcall.ValidationError):
            request.complete(object())
        assert [event["type"] for event in request.log] == ["acknowledgment", "status"]


# Requests.


async def test_same_id_is_the_same_request(server: InMemoryServer) -> None:
    server.on("report", lambda request: "once")
    async with connect(server) as one, connect(server) as other:
        assert await one.call("report", {"a": 1, "b": 2}, id="job") == "once"
        assert await other.call("report", {"b": 2, "a": 1}, id="job") == "once"
        with pytest.raises(ConflictError):
            await other.call("report", {"a": 2}, id="job")
    assert (server.request("job").executions, server.request("job").arrivals) == (1, 2)
    with pytest.raises(KeyError):
        server.request("other")


async def test_unanswered_request_is_sent_again_and_runs_once(server: InMemoryServer) -> None:
    server.on("report")
    async with connect(server) as client:
        await client.ready()
        server.stall()
        call = asyncio.create_task(client.call("report", id="job"))
        await server.clock.advance(36)  # nothing is heard: the client goes
        server.resume()
        await server.clock.advance(RECONNECT + 10)
        request = await server.next()
        request.complete("end")
        assert await call == "end"
        assert request.message["resend"] is True


async def test_cancel_ends_what_waits_and_tells_a_script(server: InMemoryServer) -> None:
    told: list[str] = []

    @server.on("polite")
    async def polite(request: InMemoryRequest) -> object:
        try:
            await server.clock.sleep(100)
        except asyncio.CancelledError:
            told.append(str(request.cancel_reason))
            return "saved what there was"
        return "never"

    @server.on("stubborn")
    async def stubborn(request: InMemoryRequest) -> None:
        while not request.is_finished:
            try:
                await server.clock.sleep(100)
            except asyncio.CancelledError:
                told.append("ignored")

    server.on("queued")
    async with connect(server) as client:
        handles = [await client.submit(action) for action in ("queued", "polite", "stubborn")]
        for handle in handles:
            await handle.cancel("enough")
        queued, polite_one, stubborn_one = handles
        with pytest.raises(RequestCancelledError) as caught:
            await queued
        assert caught.value.details == {"reason": "enough"}
        assert await polite_one == "saved what there was"
        await server.clock.advance(9)
        assert not stubborn_one.is_finished
        await server.clock.advance(2)
        with pytest.raises(RequestCancelledError):
            await stubborn_one
        assert told[:2] == ["enough", "ignored"]
        assert (await stubborn_one.snapshot()).request.cancel_requested
        with pytest.raises(NotFoundError):
            await client.attach("nothing").cancel()


async def test_deadline_is_the_servers_and_timeout_the_callers(server: InMemoryServer) -> None:
    server.on("slow")
    async with connect(server) as client:
        call = asyncio.create_task(client.call("slow", deadline=60, timeout=10, id="job"))
        await server.clock.advance(9.9)
        assert not call.done()
        await server.clock.advance(0.2)
        with pytest.raises(WaitTimeout):
            await call
        result = asyncio.ensure_future(client.attach("job").result())
        await server.clock.advance(49)
        assert not result.done()
        await server.clock.advance(1)
        with pytest.raises(RequestTimeoutError):
            await result


async def test_delay_is_kept(server: InMemoryServer) -> None:
    server.on("later", lambda request: "now")
    async with connect(server) as client:
        handle = await client.submit("later", delay=30)
        await server.clock.advance(29)
        assert server.requests[0].executions == 0
        await server.clock.advance(1)
        assert await handle == "now"


async def test_list_over_pages_and_snapshots(server: InMemoryServer) -> None:
    server.on("report", lambda request: request.payload)
    server.on("open")
    async with connect(server) as client:
        for number in range(5):
            await client.call("report", number, id=f"r{number}")
        handle = await client.submit("open", id="o")
        (await server.next()).progress(5)
        assert [r.id async for r in client.requests(page_size=2)] == [
            "o", "r4", "r3", "r2", "r1", "r0",
        ]  # fmt: skip
        assert [r.id async for r in client.requests(status=["processing"])] == ["o"]
        assert [r.id async for r in client.requests(action="nothing")] == []
        with pytest.raises(ForbiddenError):
            assert not [r async for r in client.requests(sub="somebody")]
        snapshot = await handle.snapshot()
        assert snapshot.request.progress is not None
        assert snapshot.request.progress.percentage == 5
        assert (await client.attach("r3").snapshot()).result == 3


# Connections.


async def test_dropped_connection_comes_back_and_loses_nothing(server: InMemoryServer) -> None:
    server.on("report")
    async with connect(server) as client:
        handle = await client.submit("report")
        request = await server.next()
        async with aclosing(aiter(handle)) as events:
            seen = [await anext(events)]
            for number in range(10):
                request.chunk(number)
                server.drop(1012 if number % 2 else None)
                request.chunk(number + 0.5)
                await server.clock.advance(RECONNECT)
                assert (client.state.name, server.connections) == ("ready", 1)
            request.complete()
            seen += [event async for event in events]
    assert shown(seen)[2:] == [number / 2 for number in range(20)]
    assert server.connections_opened == 11


async def test_refused_connections_are_tried_again_for_ever(server: InMemoryServer) -> None:
    server.refuse(status=503, retry_after=100)
    server.on("echo", lambda request: 1, durable=False)
    async with connect(server) as client:
        call = asyncio.create_task(client.call("echo"))
        await server.clock.advance(99)
        assert server.connections_opened == 1
        server.refuse()
        await server.clock.advance(300)
        assert server.connections_opened > 5
        server.accept()
        await server.clock.advance(RECONNECT)
        assert await call == 1


async def test_close_code_that_says_stop_ends_the_client(server: InMemoryServer) -> None:
    async with connect(server) as client:
        await client.ready()
        server.drop(4403, "go")
        await server.clock.advance(0)
        with pytest.raises(ConnectionClosed) as caught:
            await client.call("echo")
    assert (caught.value.code, caught.value.reason) == (4403, "go")


async def test_tokens_are_judged_refreshed_and_expire() -> None:
    asked: list[str] = []

    def token(reason: str) -> str:
        asked.append(reason)
        return f"alice-{len(asked)}"

    def authenticate(token: str | None) -> str | int:
        return "alice" if token is not None and token.startswith("alice") else 4401

    with InMemoryServer(authenticate=authenticate, token_life=100) as server:
        async with longcall.connect(server.url, token) as client:
            await client.ready()
            await server.clock.advance(81)
            assert asked == ["connect", "refresh"]
            await server.clock.advance(1000)
            assert (client.state.name, server.connections_opened) == ("ready", 1)
        async with longcall.connect(server.url, "mallory") as client:
            await server.clock.advance(RECONNECT)
            with pytest.raises(ConnectionClosed) as caught:
                await client.ready()
            assert caught.value.code == 4401


async def test_other_identity_ends_the_client() -> None:
    names = iter(["alice", "bob"])
    with InMemoryServer(authenticate=lambda token: next(names)) as server:
        server.on("report")
        async with connect(server) as client:
            handle = await client.submit("report")
            server.drop()
            await server.clock.advance(RECONNECT)
            with pytest.raises(UnauthorizedError):
                await handle


async def test_goaway_moves_and_nobody_sees_an_error(server: InMemoryServer) -> None:
    server.on("report")
    states: list[str] = []
    async with connect(server, on_state=lambda state: states.append(state.name)) as client:
        handle = await client.submit("report")
        request = await server.next()
        server.goaway(reconnect_after=3)
        request.chunk("while moving")
        await server.clock.advance(3)
        assert (server.connections, server.connections_opened) == (1, 2)
        request.complete("end")
        assert await handle == "end"
        assert shown(await collect(handle)) == ["queued", "processing", "while moving"]
    assert "reconnecting" not in states


async def test_stalled_connection_is_left_and_a_short_stall_is_only_waited_for(
    server: InMemoryServer,
) -> None:
    server.on("echo", lambda request: request.payload, durable=False)
    async with connect(server) as client:
        await client.ready()
        server.stall()
        call = asyncio.create_task(client.call("echo", 1))
        await server.clock.advance(30)
        server.resume()
        assert await call == 1
        assert server.connections_opened == 1
        server.stall()
        await server.clock.advance(36)
        assert client.state.name != "ready"
        server.resume()
        await server.clock.advance(RECONNECT)
        assert client.state.name == "ready"


@pytest.mark.parametrize("pings", ["server", "client"])
async def test_heartbeats_keep_a_quiet_connection_for_hours(pings: str) -> None:
    with InMemoryServer(pings=pings, token_life=1e6) as server:
        async with connect(server) as client:
            await client.ready()
            await server.clock.advance(3 * 3600)
            assert server.connections_opened == 1
            kinds = {message["type"] for message in server.received}
            assert kinds == {"hello", "pong" if pings == "server" else "ping"}


async def test_announcements_and_streams(server: InMemoryServer) -> None:
    heard: list[object] = []
    server.on("report")
    async with connect(server, on_announcement=heard.append) as client:
        handle = await client.submit("report", id="job")
        server.announce("soon", {"at": 5})
        assert (server.streams(), server.streams("job"), server.streams("other")) == (1, 1, 0)
        handle.detach()
        await server.clock.advance(0)
        assert server.streams() == 0
    (announcement,) = heard
    assert isinstance(announcement, longcall.Announcement)
    assert (announcement.message, announcement.details) == ("soon", {"at": 5})


async def test_limits_are_announced_and_kept(server: InMemoryServer) -> None:
    with InMemoryServer(limits={"max_in_flight": 2}) as small:
        small.on("report")
        async with connect(small) as client:
            calls = [asyncio.create_task(client.call("report", number)) for number in range(5)]
            for done in range(5):
                await small.clock.advance(0)
                assert len(small.requests) == min(5, done + 2)
                small.requests[done].complete()
            await asyncio.gather(*calls)


async def test_stopped_server_leads_nowhere(server: InMemoryServer) -> None:
    async with connect(server) as client:
        await client.ready()
        waiting = asyncio.create_task(server.next())
        await asyncio.sleep(0)
        server.stop()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        await server.clock.advance(RECONNECT)
        assert client.state.name != "ready"
    assert server.connections == 0


# Without an event loop.


def test_sync_client_has_the_same_server() -> None:
    with InMemoryServer() as server:
        server.on("report")
        with longcall.sync.connect(server.url, "token") as client:
            handle = client.submit("report", {"a": 1})
            request = server.next_sync("report")
            request.chunk("a")
            server.drop()
            server.clock.advance_sync(RECONNECT)
            assert client.state.name == "ready"
            request.chunk("b")
            request.complete("end")
            assert handle.result(timeout=None) == "end"
            assert shown([*handle]) == ["queued", "processing", "a", "b"]


def test_timeout_of_a_sync_call_is_of_the_clock() -> None:
    with InMemoryServer() as server:
        server.on("report")
        with longcall.sync.connect(server.url, "token") as client:
            ended: list[BaseException] = []

            def call() -> None:
                try:
                    client.call("report", timeout=3600)
                except WaitTimeout as error:
                    ended.append(error)

            thread = threading.Thread(target=call)
            thread.start()
            server.next_sync()
            server.clock.advance_sync(3601)
            thread.join(10)
            assert len(ended) == 1
