# SPDX-License-Identifier: Apache-2.0
"""How an application that uses longcall is tested: no server, no socket, no waiting.

`longcall_server` is a fixture that comes with longcall; its clock stands still until a test
advances it.
"""

import asyncio

import pytest

import longcall
from longcall.testing import InMemoryRequest, InMemoryServer


async def rows_of(url: str, token: str, month: str) -> int:
    """Is the application: it makes a report, and gives it five minutes."""
    async with longcall.connect(url, token) as client:
        report = await client.call("generate_report", {"month": month}, timeout=300)
    assert isinstance(report, dict)
    return int(str(report["rows"]))


def month_in_a_script(url: str, month: str) -> object:
    """Is another, without an event loop."""
    with longcall.sync.connect(url, "token") as client:
        return client.call("generate_report", {"month": month})


async def test_the_application_counts_rows(longcall_server: InMemoryServer) -> None:
    @longcall_server.on("generate_report")
    def report(request: InMemoryRequest) -> object:
        request.progress(50, "half of it")
        return {"rows": 7, "asked": request.payload}

    assert await rows_of(longcall_server.url, "token", "May") == 7
    assert longcall_server.requests[0].payload == {"month": "May"}


async def test_it_survives_a_server_that_goes_away(longcall_server: InMemoryServer) -> None:
    longcall_server.on("generate_report")  # stored; the test plays the handler
    rows = asyncio.create_task(rows_of(longcall_server.url, "token", "May"))
    request = await longcall_server.next()
    longcall_server.drop()
    await longcall_server.clock.advance(20)  # longer than any wait before a reconnect
    request.complete({"rows": 7})
    assert await rows == 7
    assert longcall_server.connections_opened == 2


async def test_it_gives_up_after_five_minutes(longcall_server: InMemoryServer) -> None:
    longcall_server.on("generate_report")
    rows = asyncio.create_task(rows_of(longcall_server.url, "token", "May"))
    await longcall_server.clock.advance(301)
    with pytest.raises(longcall.WaitTimeout):
        await rows


def test_it_works_without_an_event_loop(longcall_server: InMemoryServer) -> None:
    longcall_server.on("generate_report", lambda request: request.payload, durable=False)
    assert month_in_a_script(longcall_server.url, "June") == {"month": "June"}
