# SPDX-License-Identifier: Apache-2.0
"""`peer.…`: the scripted server that an SDK is connected to."""

from __future__ import annotations

from typing import Any

from ..play import Play
from ..vocabulary import verb

JsonObject = dict[str, Any]


@verb("peer.accept", required=("as",), defines=("as",))
async def accept(play: Play, arguments: JsonObject) -> None:
    """Takes the next connection."""
    play.keep(arguments["as"], await play.scripted().accept())


@verb("peer.refuse", required=("status",), optional=("headers",))
async def refuse(play: Play, arguments: JsonObject) -> None:
    """Answers the next upgrade with an HTTP status."""
    play.scripted().refuse_next(arguments["status"], arguments.get("headers", ""))


@verb(
    "peer.expect",
    required=("on", "type"),
    optional=("match", "absent", "bind", "reply", "skip", "or"),
    uses=("on",),
)
async def expect(play: Play, arguments: JsonObject) -> None:
    """The next message of the SDK must be this one; `reply` is sent back."""
    await play.receive(arguments)
    if "reply" in arguments:
        play.connection(arguments["on"]).send(play.resolve(arguments["reply"]))


@verb("peer.send", required=("on", "message"), uses=("on",))
async def send(play: Play, arguments: JsonObject) -> None:
    """Sends a message."""
    play.connection(arguments["on"]).send(arguments["message"])


@verb("peer.send_text", required=("on", "text"), uses=("on",))
async def send_text(play: Play, arguments: JsonObject) -> None:
    """Sends a text frame as it is."""
    play.connection(arguments["on"]).send_text(arguments["text"].encode())


@verb("peer.drop", required=("on", "how"), uses=("on",))
async def drop(play: Play, arguments: JsonObject) -> None:
    """Ends or cripples a connection."""
    await play.connection(arguments["on"]).drop(arguments["how"])


@verb("peer.expect_end", required=("on",), optional=("code", "skip", "or"), uses=("on",))
async def expect_end(play: Play, arguments: JsonObject) -> None:
    """The SDK must end the connection next; `skip` names types to pass over."""
    await play.receive_end(arguments)
