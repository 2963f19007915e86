# SPDX-License-Identifier: Apache-2.0
"""The suite's own connection in a run through faults: it comes back when it is lost."""

from __future__ import annotations

import asyncio

import pytest

from longcall_conformance.faults.control import Control
from longcall_conformance.referee.connection import Ended, RefereeConnection
from longcall_conformance.referee.scripted_server import ScriptedServer
from longcall_conformance.runner.under_test import ServerFailed


async def welcomed(server: ScriptedServer) -> RefereeConnection:
    connection = await server.accept()
    assert (await connection.receive())["type"] == "hello"
    connection.send({"type": "welcome"})
    return connection


async def test_what_was_asked_on_a_lost_connection_is_asked_again() -> None:
    server = ScriptedServer([])
    await server.start()

    async def serve() -> None:
        first = await welcomed(server)
        assert (await first.receive())["payload"] == {"counts": ["r1"]}
        await first.drop("close_4408")
        second = await welcomed(server)
        second.send({"type": "ping", "nonce": "n"})
        request = await second.receive()
        assert request["payload"] == {"counts": ["r1"]}
        assert await second.receive() == {"type": "pong", "nonce": "n"}
        result = {"counts": {"r1": 2}}
        second.send({"type": "acknowledgment", "request_id": request["id"], "seq": 1})
        second.send({"type": "complete", "request_id": request["id"], "seq": 3, "result": result})
        with pytest.raises(Ended):
            await second.receive()

    serving = asyncio.create_task(serve())
    async with asyncio.timeout(60), Control(server.url, "token") as control:
        assert await control.counts(["r1"]) == {"r1": 2}
    await serving
    await server.stop()


async def test_an_answer_that_is_an_error_fails_the_run() -> None:
    server = ScriptedServer([])
    await server.start()

    async def serve() -> None:
        connection = await welcomed(server)
        request = await connection.receive()
        error = {"code": "UNKNOWN_ACTION", "message": "", "retryable": False}
        connection.send({"type": "error", "request_id": request["id"], "error": error})

    serving = asyncio.create_task(serve())
    async with asyncio.timeout(60), Control(server.url, "token") as control:
        with pytest.raises(ServerFailed, match="UNKNOWN_ACTION"):
            await control.release("gate")
    await serving
    await server.stop()
