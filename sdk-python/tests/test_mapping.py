# SPDX-License-Identifier: Apache-2.0
"""Many requests at once: `client.map`."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from peer import PATIENCE

import longcall
from longcall import (
    Action,
    Client,
    ConfigurationError,
    ConnectionClosed,
    HandlerError,
    MapIterator,
    Options,
    ValidationError,
    WaitTimeout,
    connect,
)
from longcall.errors import request_error
from longcall.testing import InMemoryRequest, InMemoryServer

double = Action[int, int]("double")


@pytest.fixture
def server(longcall_server: InMemoryServer, no_leaks: None) -> InMemoryServer:
    longcall_server.on("work")  # the tests play the handler
    return longcall_server


def client_of(server: InMemoryServer, **options: Any) -> Client:
    return connect(server.url, "token", options=replace(Options(), **options))


async def at_rest(server: InMemoryServer) -> None:
    await server.clock.advance(0)


def finish(server: InMemoryServer, number: int) -> None:
    """Completes the request with this payload."""
    (request,) = (one for one in server.requests if one.payload == number)
    request.complete(number * 2)


async def test_results_come_in_the_order_of_the_payloads(server: InMemoryServer) -> None:
    server.on("double", lambda request: request.payload * 2)  # type: ignore[operator]
    async with client_of(server) as client:
        items = [item async for item in client.map(double, range(500), max_in_flight=7)]
    assert [item.result for item in items] == [2 * number for number in range(500)]
    assert [(item.index, item.payload) for item in items] == [(n, n) for n in range(500)]
    assert {item.request_id for item in items} == {request.id for request in server.requests}


async def test_results_come_as_they_are_finished(server: InMemoryServer) -> None:
    async with client_of(server) as client:
        items = client.map("work", [1, 2, 3], ordered=False)
        seen = []
        first = asyncio.ensure_future(anext(items))
        await at_rest(server)
        for number in (2, 3, 1):
            finish(server, number)
            seen.append((await first).payload)
            first = asyncio.ensure_future(anext(items))
        assert seen == [2, 3, 1]
        with pytest.raises(StopAsyncIteration):
            await first
        with pytest.raises(StopAsyncIteration):
            await anext(items)


async def test_failure_is_told_by_its_item_and_ends_nothing(server: InMemoryServer) -> None:
    @server.on("double")
    def odd_fails(request: InMemoryRequest) -> object:
        if request.payload == 1:
            raise request_error("HANDLER_ERROR", "odd", details={"code": "ODD"})
        return "many" if request.payload == 3 else 0

    payloads: list[Any] = [0, 1, "two", 3, 4]
    async with client_of(server) as client:
        items = [item async for item in client.map(double, payloads)]
    errors = [type(item.error).__name__ for item in items]
    assert errors == ["NoneType", "HandlerError", "ValidationError", "InvalidResult", "NoneType"]
    with pytest.raises(HandlerError):
        assert items[1].result
    with pytest.raises(ValidationError):
        assert items[2].result
    assert [item.request_id is None for item in items] == [False, False, True, False, False]


@pytest.mark.parametrize("ordered", [True, False])
async def test_endless_iterable_is_taken_at_the_pace_of_the_application(
    server: InMemoryServer, ordered: bool
) -> None:
    taken = 0

    def numbers() -> Iterator[int]:
        nonlocal taken
        for number in itertools.count():
            taken += 1
            yield number

    server.on("double", lambda request: 0)
    async with client_of(server) as client:
        items = client.map(double, numbers(), max_in_flight=5, ordered=ordered)
        for round_ in range(20):
            await anext(items)
            await at_rest(server)
            assert taken == round_ + 1 + 5
        await items.aclose()
    assert taken == 25


async def test_async_iterable_is_waited_for(server: InMemoryServer) -> None:
    closed = False

    async def numbers() -> AsyncIterator[int]:
        nonlocal closed
        try:
            for number in range(4):
                await server.clock.sleep(10)
                yield number
        finally:
            closed = True

    server.on("double", lambda request: request.payload)
    async with client_of(server) as client:
        results = asyncio.create_task(_results(client.map(double, numbers())))
        await server.clock.advance(39)
        assert len(server.requests) == 3
        await server.clock.advance(1)
        assert await results == [0, 1, 2, 3]
    assert closed


async def _results(items: MapIterator[Any, Any]) -> list[object]:
    return [item.result async for item in items]


async def test_what_the_iterable_raises_comes_behind_the_items_before_it(
    server: InMemoryServer,
) -> None:
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise LookupError("no more")

    server.on("double", lambda request: request.payload)
    async with client_of(server) as client:
        items = client.map(double, broken())
        assert [(await anext(items)).result for _ in range(2)] == [1, 2]
        with pytest.raises(LookupError, match="no more"):
            await anext(items)
        with pytest.raises(StopAsyncIteration):
            await anext(items)


@pytest.mark.parametrize("cancel_on_exit", [False, True])
async def test_leaving_leaves_what_is_not_finished_at_that_moment(
    server: InMemoryServer, cancel_on_exit: bool
) -> None:
    async with client_of(server) as client:

        async def use() -> None:
            items = client.map("work", range(9), max_in_flight=4, cancel_on_exit=cancel_on_exit)
            async for item in items:
                assert item.payload == 0
                break

        using = asyncio.create_task(use())
        await at_rest(server)
        assert len(server.requests) == 4
        finish(server, 0)
        await using
    # The client is closed, and had no time to say more after the loop was left.
    statuses = [request.status for request in server.requests]
    assert statuses[0] == "completed"
    expected = "cancelled" if cancel_on_exit else "processing"
    assert all(status in (expected, "queued") for status in statuses[1:])
    assert len(statuses) in (4, 5)


async def test_cancelled_task_leaves_as_well(server: InMemoryServer) -> None:
    async with client_of(server) as client:
        task = asyncio.create_task(_results(client.map("work", range(3), cancel_on_exit=True)))
        await at_rest(server)
        task.cancel()
        await asyncio.wait([task])
        await at_rest(server)
        assert [request.status for request in server.requests] == ["cancelled"] * 3
        assert server.streams() == 0


async def test_patience_is_for_each_request(server: InMemoryServer) -> None:
    async with client_of(server) as client:
        items = asyncio.create_task(_items(client.map("work", range(4), timeout=10)))
        await server.clock.advance(5)
        finish(server, 2)
        await server.clock.advance(5)
        errors = [type(item.error) for item in await items]
    assert errors == [WaitTimeout, WaitTimeout, type(None), WaitTimeout]
    assert all(request.status != "cancelled" for request in server.requests)


async def _items(items: MapIterator[Any, Any]) -> list[Any]:
    return [item async for item in items]


async def test_ids_make_a_second_run_repeat_nothing(server: InMemoryServer) -> None:
    server.on("double", lambda request: request.payload)
    for _ in range(2):
        async with client_of(server) as client:
            items = client.map(double, range(5), id=lambda number: f"import-{number}")
            assert await _results(items) == [0, 1, 2, 3, 4]
    assert [request.id for request in server.requests] == [f"import-{n}" for n in range(5)]
    assert all(request.executions == 1 for request in server.requests)


async def test_full_queue_is_waited_for_while_offline(server: InMemoryServer) -> None:
    server.on("double", lambda request: request.payload)
    server.refuse()
    async with client_of(server, max_queue=3) as client:
        results = asyncio.create_task(_results(client.map(double, range(20))))
        await server.clock.advance(60)
        assert not results.done()
        server.accept()
        await server.clock.advance(20)
        assert await results == [*range(20)]


async def test_payload_that_no_queue_can_hold_is_its_own_failure(server: InMemoryServer) -> None:
    server.on("echo", lambda request: "ok")
    async with client_of(server, max_queue_bytes=1000) as client:
        payloads = ["small", "x" * 2000, "small"]
        items = await asyncio.wait_for(_items(client.map("echo", payloads)), 10)
    assert [type(item.error).__name__ for item in items] == ["NoneType", "QueueFull", "NoneType"]


def id_of(payload: dict[str, str]) -> str:
    return payload["id"]


async def test_what_the_id_function_raises_ends_the_iteration(server: InMemoryServer) -> None:
    async with client_of(server) as client, asyncio.timeout(PATIENCE):
        items = client.map("work", [{"id": "a"}, {}, {"id": "c"}], id=id_of, cancel_on_exit=True)
        with pytest.raises(KeyError, match="id"):
            await anext(items)
        with pytest.raises(StopAsyncIteration):
            await anext(items)
        await at_rest(server)
        assert {request.status for request in server.requests} <= {"cancelled"}
    with longcall.sync.connect(server.url, "token") as blocking:

        def mapped() -> list[Any]:
            return list(blocking.map("work", [{}], id=id_of))

        with pytest.raises(KeyError, match="id"):
            await asyncio.to_thread(mapped)


async def test_client_that_is_closed_ends_the_iteration(server: InMemoryServer) -> None:
    async with client_of(server) as client:
        results = asyncio.create_task(_results(client.map("work", itertools.count())))
        await at_rest(server)
    with pytest.raises(ConnectionClosed):
        await results


async def test_map_survives_lost_connections(server: InMemoryServer) -> None:
    server.on("double", lambda request: request.payload)
    async with client_of(server) as client:
        results = asyncio.create_task(_results(client.map(double, range(100), max_in_flight=10)))
        for _ in range(10):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            server.drop()
            await server.clock.advance(20)
        assert await results == [*range(100)]
    assert len(server.requests) == 100
    assert all(request.executions == 1 for request in server.requests)


async def test_window_of_none_is_refused(server: InMemoryServer) -> None:
    async with client_of(server) as client:
        with pytest.raises(ConfigurationError):
            client.map("work", [], max_in_flight=0)
        assert await _results(client.map("work", [])) == []


# Without an event loop.


def test_sync_map_takes_payloads_in_the_thread_that_iterates(
    longcall_server: InMemoryServer,
) -> None:
    threads: set[str] = set()

    def numbers() -> Iterator[int]:
        for number in itertools.count():
            threads.add(threading.current_thread().name)
            yield number

    longcall_server.on("double", lambda request: request.payload)
    with longcall.sync.connect(longcall_server.url, "token") as client:
        items = client.map(double, numbers(), max_in_flight=3)
        taken = [item.result for item in itertools.islice(items, 50)]
        items.close()
        assert taken == [*range(50)]
        assert len(longcall_server.requests) <= 53
        assert [item.result for item in client.map("double", [1, 2])] == [1, 2]
    assert threads == {threading.current_thread().name}


def test_sync_map_raises_what_its_payloads_raise(longcall_server: InMemoryServer) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    longcall_server.on("double", lambda request: request.payload)
    with longcall.sync.connect(longcall_server.url, "token") as client:
        items = client.map(double, broken())
        assert next(items).result == 1
        with pytest.raises(LookupError, match="no more"):
            next(items)
        with pytest.raises(ConfigurationError):
            next(client.map(double, [1], max_in_flight=0))
