# SPDX-License-Identifier: Apache-2.0
"""`conf.…`: what scripted requests wait for and count, through the action `conf.control`.

Each asks on a connection of its own, so that it works between a kill and a start as well.
"""

from __future__ import annotations

from typing import Any

from ...referee.connection import RefereeConnection
from ...referee.raw_client import open_connection
from ..play import Play, StepFailed
from ..vocabulary import verb

JsonObject = dict[str, Any]


@verb("conf.release", required=("gate",))
async def release(play: Play, arguments: JsonObject) -> None:
    """Opens the gate that a `hold` of this play's tenant waits for, or will."""
    await _control(play, {"release": arguments["gate"]})


@verb("conf.count", required=("name",), optional=("match", "bind"))
async def count(play: Play, arguments: JsonObject) -> None:
    """What a counter stands at: `match: {count: 1}`."""
    play.expect(await _control(play, {"count": arguments["name"]}), arguments)


async def _control(play: Play, payload: JsonObject) -> JsonObject:
    connection = await open_connection(play.server_under_test().url, "control", [])
    try:
        connection.send({"type": "hello", "token": play.tokens["controller"]})
        await _next(connection, "welcome")
        asked = {"type": "request", "id": "control", "action": "conf.control", "payload": payload}
        connection.send(asked)
        # On a machine that is busy it may be stored, and end as a durable one does.
        answers = ("response", "complete")
        passed = ("ping", "acknowledgment", "status")
        return dict((await _next(connection, *answers, skip=passed))["result"])
    finally:
        await connection.close()


async def _next(
    connection: RefereeConnection, *kinds: str, skip: tuple[str, ...] = ()
) -> JsonObject:
    while (message := await connection.receive()).get("type") in skip:
        pass
    if message.get("type") not in kinds:
        raise StepFailed(f"conf.control: got {message!r:.300}, not {' or '.join(kinds)}")
    return message
