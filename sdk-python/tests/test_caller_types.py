# SPDX-License-Identifier: Apache-2.0
"""What type checkers are shown in `caller_types` does at run time what they say of it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from importlib.resources import files

import pytest
from caller_types import ill_typed, well_typed
from caller_types.well_typed import Point, Report, Row

from longcall import Client, ConfigurationError, InvalidResult, ValidationError, connect
from longcall.testing import InMemoryRequest, InMemoryServer

WRONG = [
    function
    for name, function in inspect.getmembers(ill_typed, inspect.iscoroutinefunction)
    if not name.startswith("unnoticed_")
]


def test_the_package_says_that_it_is_typed() -> None:
    assert files("longcall").joinpath("py.typed").is_file()


@pytest.mark.parametrize("function", WRONG, ids=lambda function: function.__name__)
async def test_what_a_type_checker_refuses_is_refused_before_anything_is_sent(
    function: Callable[[Client], Awaitable[None]], longcall_server: InMemoryServer
) -> None:
    async with connect(longcall_server.url, "secret") as client:
        await client.ready()
        with pytest.raises((TypeError, ValidationError, ConfigurationError)):
            await function(client)
        assert [message["type"] for message in longcall_server.received] == ["hello"]


@pytest.fixture
def server(longcall_server: InMemoryServer) -> InMemoryServer:
    """Has the actions of the samples."""

    @longcall_server.on("report")
    def report(request: InMemoryRequest) -> object:
        request.progress(50)
        request.chunk(Row(page=1))
        return {"rows": 2, "made_at": "2026-01-01T00:00:00Z"}

    longcall_server.on("mirror", lambda request: request.payload)
    longcall_server.on("total", lambda request: 3, durable=False)
    longcall_server.on("ping", lambda request: "pong", durable=False)
    longcall_server.on("anything", lambda request: request.payload, durable=False)
    return longcall_server


async def test_what_it_finds_nothing_in_runs_and_gives_those_types(server: InMemoryServer) -> None:
    async with connect(server.url, "secret") as client:
        made, point, *rest = await well_typed.calls(client)
        assert isinstance(made, Report)
        assert point == Point(1, 2)
        assert rest == [3, "pong", {"a": [1, None]}, {"pages": 1}, [0, 1, 1]]
        assert await well_typed.handles(client) == [1, "Status", 2]


async def test_result_and_chunk_that_do_not_fit_raise_and_the_request_is_not_touched(
    server: InMemoryServer,
) -> None:
    @server.on("report")
    def report(request: InMemoryRequest) -> object:
        request.chunk({"page": 1})
        request.chunk({"page": "two"})
        return {"rows": "many"}

    async with connect(server.url, "secret") as client:
        with pytest.raises(InvalidResult) as caught:
            await client.call(well_typed.report, well_typed.Params(pages=1), id="job")
        assert (caught.value.part, caught.value.pointer) == ("result", "/rows")
        handle = client.attach("job", well_typed.report)
        seen: list[object] = []
        with pytest.raises(InvalidResult) as caught:  # noqa: PT012 - the loop is what raises
            async for event in handle:
                seen.append(event)
        assert (caught.value.part, caught.value.pointer) == ("chunk", "/page")
        assert len(seen) == 3
        with pytest.raises(InvalidResult):
            await client.call(
                well_typed.report, well_typed.Params(pages=1), id="job", on_chunk=print
            )
        assert await client.attach("job") == {"rows": "many"}
    assert server.requests[0].executions == 1


def test_none_of_it_is_left_out() -> None:
    assert len(WRONG) >= 8
