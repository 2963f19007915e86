# SPDX-License-Identifier: Apache-2.0
"""`raw.…` below the messages: frames and upgrades by hand."""

from __future__ import annotations

import asyncio
import itertools
import os
import struct
from typing import Any

from ...referee.frames import LengthForm, Opcode, build
from ...referee.handshake import SUBPROTOCOL
from ...referee.raw_client import open_connection, upgrade
from ..play import Play, StepFailed
from ..vocabulary import verb

JsonObject = dict[str, Any]


@verb("raw.open", required=("as",), optional=("headers", "url"), defines=("as",))
async def open_session(play: Play, arguments: JsonObject) -> None:
    """Upgrades, says hello as alice and takes the welcome; at `url`, or the server's own."""
    name, url = arguments["as"], arguments.get("url") or play.default_url()
    opened = await open_connection(
        url, name, play.trace.frames, headers=arguments.get("headers", {})
    )
    play.keep(name, opened)
    opened.send({"type": "hello", "token": play.tokens["alice"]})
    await play.receive({"on": name, "type": "welcome"})


@verb("raw.frames", required=("on", "frames"), optional=("piece",), uses=("on",))
async def send_frames(play: Play, arguments: JsonObject) -> None:
    """Writes frames as they are described, all at once or in pieces of so many bytes."""
    frames = arguments["frames"]
    await play.connection(arguments["on"]).write(
        b"".join(map(frame_bytes, frames)),
        piece=arguments.get("piece"),
        is_closing=any(_opcode(frame) == Opcode.CLOSE for frame in frames),
    )


def frame_bytes(frame: JsonObject) -> bytes:
    """The bytes of a frame as a case describes it.

    Raises `StepFailed` for a description that no frame fits.
    """
    mask = frame.get("mask", True)
    key = os.urandom(4) if mask is True else bytes.fromhex(mask) if mask is not False else None
    form = LengthForm(frame["form"]) if "form" in frame else None
    try:
        data = build(
            _opcode(frame),
            _payload(frame),
            key=key,
            fin=frame.get("fin", True),
            rsv=frame.get("rsv", 0),
            form=form,
            says=frame.get("says"),
        )
    except ValueError as error:
        raise StepFailed(f"{frame}: {error}") from None
    return data[: frame["cut"]] if "cut" in frame else data


def _opcode(frame: JsonObject) -> int:
    named = frame["opcode"]
    return named if isinstance(named, int) else Opcode[named.upper()]


def _payload(frame: JsonObject) -> bytes:
    data = b"" if "code" not in frame else struct.pack("!H", frame["code"])
    if "text" in frame:
        return data + bytes(frame["text"].encode())
    if "bytes" in frame:
        return data + b"a" * int(frame["bytes"])
    return data + bytes.fromhex(frame.get("hex", ""))


@verb(
    "raw.fragments",
    required=("on",),
    optional=("text", "hex", "each", "at", "between"),
    uses=("on",),
)
async def send_fragments(play: Play, arguments: JsonObject) -> None:
    """Sends a text message in fragments: cut `at` these offsets, or `each` so many bytes.

    `between` are frames that are sent after each fragment but the last.
    """
    data = _payload(arguments)
    cuts = arguments.get("at") or range(arguments["each"], len(data), arguments["each"])
    places = [0, *cuts, len(data)]
    between = b"".join(map(frame_bytes, arguments.get("between", ())))
    written = bytearray()
    for number, (start, end) in enumerate(itertools.pairwise(places)):
        opcode = Opcode.CONTINUATION if number else Opcode.TEXT
        is_last = end == len(data)
        written += build(opcode, data[start:end], key=os.urandom(4), fin=is_last)
        written += b"" if is_last else between
    await play.connection(arguments["on"]).write(bytes(written))


@verb("raw.expect_pong", required=("on",), optional=("text", "hex", "skip"), uses=("on",))
async def expect_pong(play: Play, arguments: JsonObject) -> None:
    """The next pong frame must carry this payload; `skip` are texts of pongs to pass over."""
    wanted, skip = _payload(arguments), [text.encode() for text in arguments.get("skip", ())]
    while (got := await play.connection(arguments["on"]).receive_pong()) in skip:
        pass
    if got != wanted:
        raise StepFailed(f"a pong with {got!r}, not {wanted!r}")


@verb("raw.expect_close", required=("on", "code"), optional=("skip",), uses=("on",))
async def expect_close(play: Play, arguments: JsonObject) -> None:
    """The server must answer a close frame of ours: with this code, or one of them; then a FIN."""
    connection, codes = play.connection(arguments["on"]), arguments["code"]
    ended = await play.receive_end(
        {key: arguments[key] for key in ("on", "skip") if key in arguments}
    )
    if ended.code not in (codes if isinstance(codes, list) else [codes]):
        raise StepFailed(f"answered with {ended.code}, not {codes}")
    how = await connection.receive_gone()
    if how != "fin":
        raise StepFailed(f"the server did not close its socket: {how}")


@verb(
    "raw.upgrade",
    required=("status",),
    optional=("as", "method", "target", "http", "headers", "behind", "answer", "absent"),
    defines=("as",),
)
async def upgrade_by_hand(play: Play, arguments: JsonObject) -> None:
    """Asks for a WebSocket in a way that may be wrong; the server must answer with `status`.

    `headers` change the necessary ones: a list is sent as several lines, null leaves one out.
    `behind` are frames that are written with the head, before it is answered. `answer` are headers
    of the answer, `absent` such as must not be there.
    """
    try:
        answer = await upgrade(
            play.server_under_test().url,
            arguments.get("as", "upgrade"),
            play.trace.frames,
            headers={"Sec-WebSocket-Protocol": SUBPROTOCOL, **arguments.get("headers", {})},
            method=arguments.get("method", "GET"),
            target=arguments.get("target"),
            version=arguments.get("http", "HTTP/1.1"),
            behind=b"".join(map(frame_bytes, arguments.get("behind", ()))),
        )
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise StepFailed(f"the server gave no answer: {error}") from None
    if answer.connection is not None:
        play.keep(arguments.get("as", "upgrade"), answer.connection)
    if answer.status != arguments["status"]:
        got = {"upgrade": answer.status == 101}
        raise StepFailed(f"answered with {answer.line}, not {arguments['status']}", got)
    for name, value in arguments.get("answer", {}).items():
        if answer.headers.get(name.lower()) != value:
            raise StepFailed(f"{name} is {answer.headers.get(name.lower())!r}, not {value!r}")
    for name in arguments.get("absent", ()):
        if name.lower() in answer.headers:
            raise StepFailed(f"{name} is there: {answer.headers[name.lower()]!r}")
