# SPDX-License-Identifier: Apache-2.0
"""`raw.…`: the hand-made client of a server under test."""

from __future__ import annotations

from typing import Any

from ...referee.handshake import HandshakeRefused
from ...referee.raw_client import open_connection
from ..play import Play, StepFailed
from ..vocabulary import verb

JsonObject = dict[str, Any]


def _upgrade(arguments: JsonObject) -> JsonObject:
    return {key: value for key, value in arguments.items() if key in ("subprotocol", "headers")}


@verb("raw.connect", required=("as",), optional=("subprotocol", "headers"), defines=("as",))
async def connect(play: Play, arguments: JsonObject) -> None:
    """Upgrades to a WebSocket."""
    name, url = arguments["as"], play.server_under_test().url
    opened = await open_connection(url, name, play.trace.frames, **_upgrade(arguments))
    play.keep(name, opened)


@verb("raw.refused", required=("status",), optional=("subprotocol", "headers"))
async def refused(play: Play, arguments: JsonObject) -> None:
    """An upgrade must be refused with this HTTP status."""
    url = play.server_under_test().url
    try:
        opened = await open_connection(url, "refused", play.trace.frames, **_upgrade(arguments))
    except HandshakeRefused as error:
        if error.status != arguments["status"]:
            raise
        return
    await opened.close()
    raise StepFailed("the upgrade was accepted", {"upgrade": True})


@verb("raw.send", required=("on", "message"), uses=("on",))
async def send(play: Play, arguments: JsonObject) -> None:
    """Sends a message."""
    play.connection(arguments["on"]).send(arguments["message"])


@verb("raw.send_text", required=("on", "text"), optional=("binary",), uses=("on",))
async def send_text(play: Play, arguments: JsonObject) -> None:
    """Sends this text as it is, in a text frame or a binary one."""
    connection, data = play.connection(arguments["on"]), arguments["text"].encode()
    if arguments.get("binary"):
        connection.send_binary(data)
    else:
        connection.send_text(data)


@verb("raw.send_large", required=("on", "bytes"), uses=("on",))
async def send_large(play: Play, arguments: JsonObject) -> None:
    """Sends a `ping` of exactly so many bytes."""
    head, tail = b'{"type":"ping","x":"', b'"}'
    size = int(arguments["bytes"]) - len(head) - len(tail)
    play.connection(arguments["on"]).send_text(head + b"a" * size + tail)


@verb(
    "raw.expect",
    required=("on", "type"),
    optional=("match", "absent", "bind", "skip", "or"),
    uses=("on",),
)
async def expect(play: Play, arguments: JsonObject) -> None:
    """The next message of the server must be this one."""
    await play.receive(arguments)


@verb("raw.expect_end", required=("on", "code"), optional=("skip", "tcp", "or"), uses=("on",))
async def expect_end(play: Play, arguments: JsonObject) -> None:
    """The server must end the connection next, with this code; `tcp: fin` forbids a reset."""
    await play.receive_end(arguments)


@verb("raw.drop", required=("on", "how"), uses=("on",))
async def drop(play: Play, arguments: JsonObject) -> None:
    """Ends or cripples a connection."""
    await play.connection(arguments["on"]).drop(arguments["how"])
