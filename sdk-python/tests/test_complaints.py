# SPDX-License-Identifier: Apache-2.0
"""What users of systems like this suffer from, and what happens here instead: docs/complaints.md"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import longcall
from longcall import (
    Chunk,
    Client,
    ConnectionClosed,
    HandlerError,
    Options,
    PayloadTooLargeError,
    Progress,
    QueueFull,
    RequestCancelledError,
    RequestHandle,
    WaitTimeout,
)
from longcall.testing import InMemoryRequest, InMemoryServer, TestClock
from longcall.testing.messages import chunk, complete

HOUR = 3600.0
RECONNECT = 20.0
"""Seconds that are longer than any wait before a reconnect."""


@pytest.fixture
def server(longcall_server: InMemoryServer, no_leaks: None) -> InMemoryServer:
    longcall_server.on("report")  # the test plays the handler
    longcall_server.on("echo", lambda request: request.payload, durable=False)
    return longcall_server


def connect(server: InMemoryServer, **arguments: Any) -> Client:
    return longcall.connect(server.url, arguments.pop("token", "token"), **arguments)


async def numbers(handle: RequestHandle) -> list[int]:
    return [event.seq async for event in handle if not isinstance(event, Progress)]


@pytest.mark.complaint(2)
async def test_call_that_reports_progress_for_hours_is_not_ended_here(
    server: InMemoryServer,
) -> None:
    seen: list[float | None] = []
    async with connect(server) as client:
        call = asyncio.create_task(
            client.call("report", on_progress=lambda progress: seen.append(progress.percentage))
        )
        request = await server.next()
        for hour in range(6):
            request.progress(hour)
            await server.clock.advance(HOUR)
        request.complete("late")
        assert await call == "late"
        silent = asyncio.create_task(client.call("report"))
        request = await server.next()
        await server.clock.advance(2 * HOUR)  # not a word of it, and no end either
        assert not silent.done()
        request.complete()
        await silent
    assert seen == list(range(6))


@pytest.mark.complaint(2, 3)
async def test_end_of_patience_leaves_the_work_alone_and_the_deadline_is_the_servers(
    server: InMemoryServer,
) -> None:
    async with connect(server) as client:
        call = asyncio.create_task(client.call("report", timeout=60, deadline=HOUR))
        request = await server.next()
        await server.clock.advance(61)
        with pytest.raises(WaitTimeout) as caught:
            await call
        assert request.status == "queued"
        assert not request.cancel_requested
        assert request.message["deadline_ms"] == 3_600_000
        request.complete("there")
        assert await client.attach(caught.value.request_id or "") == "there"


@pytest.mark.complaint(3)
async def test_lost_connection_detaches_and_cancel_comes_from_anywhere(
    server: InMemoryServer,
) -> None:
    async with connect(server) as one:
        handle = await one.submit("report", id="job")
        request = await server.next()
        server.drop()
        await server.clock.advance(RECONNECT)
    assert not request.cancel_requested
    assert handle.id == "job"
    async with connect(server) as other:
        await other.attach("job").cancel("from another device")
        with pytest.raises(RequestCancelledError) as caught:
            await other.attach("job")
    assert caught.value.details == {"reason": "from another device"}


@pytest.mark.complaint(4)
async def test_connection_that_is_lost_before_the_first_event_is_resumed(
    server: InMemoryServer,
) -> None:
    async with connect(server) as other:
        await other.submit("report", id="job")
    request = await server.next()
    async with connect(server) as client:
        await client.ready()
        server.stall()
        events = asyncio.create_task(numbers(client.attach("job")))
        await server.clock.advance(1)
        server.drop()  # nothing was ever seen
        server.resume()
        await server.clock.advance(RECONNECT)
        request.chunk("a")
        request.complete()
        assert await events == [1, 2, 3]
    (attach,) = (message for message in server.received if message["type"] == "attach")
    assert attach["after_seq"] == 0


@pytest.mark.complaint(5)
async def test_gap_is_noticed_and_read_again(server: InMemoryServer) -> None:
    async with connect(server) as client:
        handle = await client.submit("report")
        request = await server.next()
        events = asyncio.create_task(numbers(handle))
        request.chunk(1)
        await server.clock.advance(0)
        lose_next(server)
        request.chunk("lost on the way")
        request.chunk(2)
        request.complete()
        assert await events == [1, 2, 3, 4, 5]
    (again,) = (m for m in server.received if m["type"] == "attach")
    assert again["after_seq"] == 3


def lose_next(server: InMemoryServer) -> None:
    """The next message to the client is lost, and the connection stays: a server with a defect."""
    (session,) = server._host.sessions
    deliver = session._socket.deliver

    def lose(text: str) -> None:
        session._socket.deliver = deliver  # type: ignore[method-assign]

    session._socket.deliver = lose  # type: ignore[method-assign]


@pytest.mark.complaint(5)
async def test_log_that_is_gone_is_told_and_not_passed_over(server: InMemoryServer) -> None:
    async with connect(server) as client:
        handle = await client.submit("report")
        request = await server.next()
        request.chunk(1)
        events = asyncio.create_task(numbers(handle))
        await server.clock.advance(0)
        server.drop()
        server.requests.clear()  # retention has taken it
        await server.clock.advance(RECONNECT)
        with pytest.raises(longcall.NotFoundError):
            await events


@pytest.mark.complaint(6)
async def test_events_that_come_twice_or_after_the_end_are_dropped(server: InMemoryServer) -> None:
    async with connect(server) as client:
        handle = await client.submit("report")
        request = await server.next()
        (session,) = server._host.sessions
        for number in range(3):
            request.chunk(number)
            for old in request.log:
                session.send(old)  # a server with a defect
        request.complete("end")
        session.send(complete(request.id, 7, "another end"))
        session.send(chunk(request.id, 8))
        seen = [event.data async for event in handle if isinstance(event, Chunk)]
        assert seen == [0, 1, 2]
        assert await handle == "end"
        assert await numbers(handle) == [1, 2, 3, 4, 5]


@pytest.mark.complaint(7)
async def test_every_sending_again_bears_the_same_id_and_the_work_runs_once(
    server: InMemoryServer,
) -> None:
    runs: list[str] = []
    server.on("charge", lambda request: runs.append(request.id))
    async with connect(server) as client:
        await client.ready()
        for _ in range(3):  # the answer is lost, again and again
            server.stall()
            call = asyncio.create_task(client.call("charge", {"amount": 5}))
            await server.clock.advance(36)
            server.resume()
            await server.clock.advance(RECONNECT + 10)
            assert await call is None
        server.stall()
        with pytest.raises(WaitTimeout):
            await _timed_out(server, client.call("charge", id="order-7", timeout=10), 11)
        server.resume()
        await client.call("charge", id="order-7")  # the user tries again
    assert len(runs) == len(set(runs)) == 4


async def _timed_out(server: InMemoryServer, work: Any, seconds: float) -> Any:
    task = asyncio.ensure_future(work)
    await server.clock.advance(seconds)
    return await task


@pytest.mark.complaint(10)
async def test_result_that_is_there_is_found_whenever_one_asks(server: InMemoryServer) -> None:
    async with connect(server) as client:
        handle = await client.submit("report", id="job")
        request = await server.next()
        handle.detach()
        request.complete("there")  # nobody listened
        assert await client.attach("job") == "there"
        results = [client.attach("job").result() for _ in range(50)]
        assert await asyncio.gather(*results) == ["there"] * 50
    async with connect(server) as later:
        assert await later.attach("job") == "there"


@pytest.mark.complaint(11)
async def test_who_missed_the_push_is_brought_up_to_date(server: InMemoryServer) -> None:
    async with connect(server) as client:
        handle = await client.submit("report")
        request = await server.next()
        events = asyncio.create_task(numbers(handle))
        server.stall()  # whatever is pushed now is never heard
        request.chunk(1)
        request.complete("end")
        await server.clock.advance(36)
        server.drop()
        server.resume()
        await server.clock.advance(RECONNECT + 10)
        assert await events == [1, 2, 3]
        assert await handle == "end"


@pytest.mark.complaint(12)
async def test_iteration_ends_at_the_end_of_the_work_and_nowhere_else(
    server: InMemoryServer,
) -> None:
    async with connect(server) as client:
        handle = await client.submit("report")
        request = await server.next()
        events = asyncio.create_task(numbers(handle))
        for code in (None, 1000, 1001, 1006, 1012, 1013, 4408):
            server.drop(code)
            await server.clock.advance(RECONNECT)
            assert not events.done()
        server.goaway()
        await server.clock.advance(RECONNECT)
        assert not events.done()
        request.fail("HANDLER_ERROR", details={"code": "NO_ROWS"})
        assert await events == [1, 2]
        with pytest.raises(HandlerError):
            await handle
        unfinished = await client.submit("report")
        others = asyncio.create_task(numbers(unfinished))
        await server.clock.advance(0)
    with pytest.raises(ConnectionClosed):  # never as if it had ended
        await others


@pytest.mark.complaint(13)
async def test_token_is_renewed_on_the_connection_before_it_expires() -> None:
    asked: list[str] = []
    running = most = 0
    fails = {2, 3}
    clock = TestClock()

    async def token(reason: str) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        asked.append(reason)
        await clock.sleep(1)
        running -= 1
        if len(asked) in fails:
            raise RuntimeError("the login service is down")
        return f"token-{len(asked)}"

    with InMemoryServer(clock=clock, token_life=1000) as server:
        server.on("report")
        async with connect(server, token=token) as client:
            await server.clock.advance(RECONNECT)
            handle = await client.submit("report")
            request = await server.next()
            await server.clock.advance(6 * HOUR)
            assert (server.connections, server.connections_opened) == (1, 1)
            assert set(asked) == {"connect", "refresh"}
            assert most == 1
            # Each at 80 % of what was left, and two that failed: no storm of questions.
            assert len(asked) < 40
            request.complete("still there")
            assert await handle == "still there"
            server.drop(4401)  # the server has taken it back
            await server.clock.advance(RECONNECT)
            assert asked[-1] == "unauthorized"
            assert client.state.name == "ready"


@pytest.mark.complaint(14)
async def test_running_call_is_cancelled_with_a_reason_and_the_handler_is_told(
    server: InMemoryServer,
) -> None:
    told: list[str | None] = []

    @server.on("work")
    async def work(request: InMemoryRequest) -> None:
        try:
            await server.clock.sleep(HOUR)
        finally:
            told.append(request.cancel_reason)

    async with connect(server) as client:
        handle = await client.submit("work")
        await server.clock.advance(5)
        await handle.cancel("the user has changed her mind")
        with pytest.raises(RequestCancelledError) as caught:
            await handle
        assert caught.value.details == {"reason": "the user has changed her mind"}
        assert told == ["the user has changed her mind"]
        await handle.cancel("again")  # what has ended stays as it is


@pytest.mark.complaint(15)
async def test_slow_calls_hold_up_nobody_and_the_limit_is_kept_here() -> None:
    with InMemoryServer(limits={"max_in_flight": 5}) as server:
        server.on("report")
        server.on("echo", lambda request: request.payload, durable=False)
        async with connect(server) as client:
            slow = [asyncio.create_task(client.call("report", n)) for n in range(4)]
            await server.clock.advance(0)
            assert [await client.call("echo", number) for number in range(100)] == [*range(100)]
            more = [asyncio.create_task(client.call("report", n)) for n in range(4, 20)]
            await server.clock.advance(0)
            assert len(server.requests) == 5  # and none was refused
            for done in range(20):
                server.requests[done].complete(done)
                await server.clock.advance(0)
                assert sum(not request.is_finished for request in server.requests) <= 5
            assert await asyncio.gather(*slow, *more) == [*range(20)]


@pytest.mark.complaint(16)
@pytest.mark.parametrize("pings", ["server", "client"])
async def test_dead_connection_is_noticed_and_left(pings: str) -> None:
    with InMemoryServer(pings=pings) as server:
        server.on("report")
        async with connect(server) as client:
            handle = await client.submit("report")
            request = await server.next()
            await server.clock.advance(HOUR)
            assert server.connections_opened == 1
            server.stall()
            await server.clock.advance(36)  # an interval, and ten seconds
            assert client.state.name != "ready"
            server.resume()
            request.complete("end")
            await server.clock.advance(RECONNECT + 10)
            assert await handle == "end"


@pytest.mark.complaint(18)
async def test_clients_of_a_restarted_server_come_back_at_different_moments() -> None:
    rooms = 40
    with InMemoryServer() as server:
        clients = [await connect(server).__aenter__() for _ in range(rooms)]
        await server.clock.advance(0)
        server.drop(1012)
        await server.clock.advance(0)
        waits = [client.state.retry_in for client in clients]
        assert all(wait is not None and 0 <= wait <= 0.5 for wait in waits)
        assert len(set(waits)) == rooms  # the first try already
        server.refuse()
        await server.clock.advance(120)
        tries = server.connections_opened / rooms
        assert 5 < tries < 60  # the bound doubles up to 20 s: no storm
        server.accept()
        await server.clock.advance(RECONNECT)
        assert server.connections == rooms
        for client in clients:
            await client.close()


@pytest.mark.complaint(20)
async def test_offline_queue_is_bounded_ordered_and_patient_for_each_item(
    server: InMemoryServer,
) -> None:
    server.refuse()
    async with connect(server, options=Options(max_queue=5)) as client:
        calls = [
            asyncio.create_task(client.call("report", number, timeout=10 if number == 2 else None))
            for number in range(5)
        ]
        await server.clock.advance(1)
        with pytest.raises(QueueFull):
            await client.call("report", "one too many")
        await server.clock.advance(10)
        with pytest.raises(WaitTimeout) as caught:
            await calls.pop(2)
        assert not caught.value.sent
        calls.append(asyncio.create_task(client.call("report", "in its place")))
        await server.clock.advance(1)
        server.accept()
        await server.clock.advance(RECONNECT)
        assert [request.payload for request in server.requests] == [0, 1, 3, 4, "in its place"]
        kinds = [message["type"] for message in server.received]
        assert kinds[0] == "hello"
        for request in server.requests:
            request.complete()
        await asyncio.gather(*calls)


@pytest.mark.complaint(21)
async def test_progress_is_the_newest_and_each_chunk_is_kept(server: InMemoryServer) -> None:
    async with connect(server) as client:
        handle = await client.submit("report")
        request = await server.next()
        for number in range(1000):
            request.progress(number / 10)
            request.chunk(number)
        request.complete("end")
        events = [event async for event in handle]
    shares = [event.percentage for event in events if isinstance(event, Progress)]
    pieces = [event.data for event in events if isinstance(event, Chunk)]
    assert pieces == [*range(1000)]
    assert shares[-1] == 99.9
    assert shares == sorted(share for share in shares if share is not None)


@pytest.mark.complaint(23)
async def test_what_is_too_large_is_refused_here_with_the_limit_and_alone() -> None:
    with InMemoryServer(limits={"max_message_bytes": 1000}) as server:
        server.on("echo", lambda request: request.payload, durable=False)
        async with connect(server) as client:
            fitting = asyncio.create_task(client.call("echo", "small"))
            with pytest.raises(PayloadTooLargeError) as caught:
                await client.call("echo", "x" * 1000)
            details = caught.value.details
            assert isinstance(details, dict)
            assert details["limit"] == 1000
            assert isinstance(size := details["size"], int)
            assert size > 1000
            assert caught.value.origin == "client"
            assert await fitting == "small"
        assert server.connections_opened == 1


async def _stream(server: InMemoryServer, total: int) -> None:
    """A model's answer, token by token, to a page that sleeps, is reloaded, and sees restarts."""
    client = await connect(server).__aenter__()
    handle = await client.submit("report", id="answer")
    request = await server.next()
    iterator = aiter(handle)
    seen: list[object] = []

    async def read_to(count: int) -> None:
        while len(seen) < count:
            event = await anext(iterator)
            if isinstance(event, Chunk):
                seen.append(event.data)

    trouble = total // 10
    for number in range(total):
        request.chunk(f"token {number}")
        if number % 97 == 0:
            await read_to(len(seen) + 20 if number > 200 else 1)
        if number % trouble == trouble - 1:
            match number // trouble % 3:
                case 0:  # the laptop sleeps
                    server.stall()
                    await server.clock.advance(60)
                    server.drop()
                    server.resume()
                case 1:  # the server restarts
                    server.drop(1012)
                case 2:  # the page is reloaded: all that it had is gone, but the id
                    await client.close()
                    client = await connect(server).__aenter__()
                    iterator, seen = aiter(client.attach("answer")), []
            await server.clock.advance(RECONNECT + 10)
    request.complete("end")
    rest = [event.data async for event in iterator if isinstance(event, Chunk)]
    assert [*seen, *rest] == [f"token {number}" for number in range(total)]
    assert await client.attach("answer") == "end"
    await client.close()


@pytest.mark.complaint(26)
async def test_page_that_comes_back_sees_every_token_once(server: InMemoryServer) -> None:
    await _stream(server, 3000)


@pytest.mark.slow
@pytest.mark.complaint(26)
async def test_50_000_tokens_through_sleeps_reloads_and_restarts(server: InMemoryServer) -> None:
    await _stream(server, 50_000)
