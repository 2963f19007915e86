# SPDX-License-Identifier: Apache-2.0
"""PROTOCOL 5.2: kill -9 right after an acknowledgment loses nothing."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest
from served import connection, receive, serve

ROUNDS = 50
IN_ONE_GO = 20


@pytest.mark.clause("1.1.3", "5.2.1")
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_no_acknowledged_request_is_lost_by_fifty_kills_in_a_row(tmp_path: Path) -> None:
    """Each round sends a burst and kills the server at the first acknowledgment.

    Whatever was acknowledged in any round must be there, and must finish, after all rounds.
    """
    acknowledged: list[str] = []
    for number in range(ROUNDS):
        async with serve(tmp_path) as server, connection(server.url) as socket:
            for index in range(IN_ONE_GO):
                request_id = f"round{number}-{index}"
                await socket.send_json(
                    {"type": "request", "id": request_id, "action": "echo", "payload": request_id}
                )
            first = await receive(socket, "acknowledgment")
            server.kill()
            acknowledged.append(first["request_id"])
            # What was on the wire before the kill counts as told, too.
            async for message in socket:
                assert message.type is aiohttp.WSMsgType.TEXT
                told = json.loads(str(message.data))
                if told["type"] == "acknowledgment":
                    acknowledged.append(told["request_id"])
            await server.process.wait()
    assert len(acknowledged) >= ROUNDS
    async with serve(tmp_path) as server, connection(server.url) as socket:
        for request_id in acknowledged:
            await socket.send_json({"type": "attach", "request_id": request_id, "after_seq": 0})
        results: dict[str, str] = {}
        while len(results) < len(set(acknowledged)):
            ended = await receive(socket, "complete")
            results[ended["request_id"]] = ended["result"]
    assert results == {request_id: request_id for request_id in acknowledged}
