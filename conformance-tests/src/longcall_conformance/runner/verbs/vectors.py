# SPDX-License-Identifier: Apache-2.0
"""`vectors.…`: every text of a file of vectors, over a connection, one after the other.

Each is followed by a ping: what is taken leaves the connection as it is, and the ping is answered.
"""

from __future__ import annotations

from typing import Any, Final

from ...referee.connection import Ended, RefereeConnection
from ..play import Play, StepFailed
from ..vectors import Vector, load_vectors
from ..vocabulary import verb

JsonObject = dict[str, Any]

_PATIENCE: Final = 120
_PROTOCOL_ERROR: Final = 4400
_OF_THE_CONNECTION: Final = frozenset(("hello", "welcome", "goaway"))
"""Types that are messages about the connection itself: what they do is told by other cases."""
_REFUSALS: Final = frozenset(("VALIDATION_ERROR", "UNSUPPORTED_TYPE"))
"""The codes that texts are refused with."""
_ELSEWHERE: Final = ("VALIDATION_ERROR", "/callback_url")
"""Where a server calls back is its own to say (8.8.1)."""


@verb(
    "vectors.to_server",
    required=("on", "file"),
    uses=("on",),
    inspect=lambda arguments: load_vectors(arguments["file"], "client"),
    patience=_PATIENCE,
)
async def to_server(play: Play, arguments: JsonObject) -> None:
    """What is bad is refused with its code and its pointer, and the connection goes on (4.3.8)."""
    connection = play.connection(arguments["on"])
    for number, vector in enumerate(load_vectors(arguments["file"], "client")):
        if vector.accepted is not False and vector.kind in _OF_THE_CONNECTION:
            continue
        errors = await _errors(connection, vector, f"vector-{number}")
        if vector.accepted is False and errors != [_wanted(vector)]:
            raise StepFailed(f"{_shown(vector)}: answered with {errors}, not {_wanted(vector)}")
        if vector.accepted and set(errors) - {_ELSEWHERE}:
            raise StepFailed(f"{_shown(vector)}: refused with {errors}")


async def _errors(
    connection: RefereeConnection, vector: Vector, nonce: str
) -> list[tuple[str, str | None]]:
    """The refusals that a text is answered with, each a code and a pointer.

    What texts before it have asked for may be answered in between, by errors of other codes.
    """
    connection.send_text(vector.text.encode("utf-8", "surrogatepass"))
    connection.send({"type": "ping", "nonce": nonce})
    errors: list[tuple[str, str | None]] = []
    while True:
        try:
            message = await connection.receive()
        except Ended as ended:
            raise StepFailed(f"{_shown(vector)}: {ended}") from None
        if message.get("type") == "pong" and message.get("nonce") == nonce:
            return errors
        if message.get("type") == "error" and "seq" not in message:
            error = message["error"]
            if error["code"] in _REFUSALS:
                errors.append((error["code"], (error.get("details") or {}).get("pointer")))


def _wanted(vector: Vector) -> tuple[str, str | None]:
    return vector.error["code"], vector.error.get("pointer")


@verb(
    "vectors.to_client",
    required=("on", "file", "welcome"),
    uses=("on",),
    inspect=lambda arguments: load_vectors(arguments["file"], "server"),
    patience=_PATIENCE,
)
async def to_client(play: Play, arguments: JsonObject) -> None:
    """What is bad ends the connection with 4400, and the SDK comes back (4.3.14)."""
    connection = play.connection(arguments["on"])
    for number, vector in enumerate(load_vectors(arguments["file"], "server")):
        if vector.accepted is not False and vector.kind in _OF_THE_CONNECTION:
            continue
        taken = await _is_taken(connection, vector, f"vector-{number}")
        if vector.accepted is not None and taken != vector.accepted:
            told = "taken" if taken else "met with 4400"
            raise StepFailed(f"{_shown(vector)}: it was {told}")
        if not taken:
            connection = await play.scripted().accept()
            play.keep(arguments["on"], connection)
            hello = await connection.receive()
            if hello.get("type") != "hello":
                raise StepFailed(f"got {hello!r:.300}, not hello")
            connection.send(arguments["welcome"])


async def _is_taken(connection: RefereeConnection, vector: Vector, nonce: str) -> bool:
    connection.send_text(vector.text.encode("utf-8", "surrogatepass"))
    connection.send({"type": "ping", "nonce": nonce})
    try:
        while True:
            message = await connection.receive()
            if message.get("type") == "pong" and message.get("nonce") == nonce:
                return True
    except Ended as ended:
        if ended.code != _PROTOCOL_ERROR:
            raise StepFailed(f"{_shown(vector)}: {ended}, not with {_PROTOCOL_ERROR}") from None
    return False


def _shown(vector: Vector) -> str:
    return f"{vector.name}: {vector.text[:200]}"
