# SPDX-License-Identifier: Apache-2.0
"""Vectors over the wire: a peer that takes or refuses the wrong texts is found out."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from longcall_conformance.referee.frames import (
    IncompleteFrame,
    Opcode,
    close_payload,
    encode,
    read_frame,
)
from longcall_conformance.referee.handshake import read_head, upgrade_request, upgrade_response
from longcall_conformance.referee.raw_client import open_connection
from longcall_conformance.referee.scripted_server import ScriptedServer
from longcall_conformance.runner.case import load_yaml
from longcall_conformance.runner.places import SUITE
from longcall_conformance.runner.play import Play, StepFailed
from longcall_conformance.runner.vectors import Vector, files, load_vectors
from longcall_conformance.runner.verbs.vectors import to_client, to_server

JsonObject = dict[str, Any]
Verdict = JsonObject | None
"""The error that a text is answered with, or none."""
Judge = Callable[[Vector], Verdict]

WELCOME = {"type": "welcome"}


def as_it_should(vector: Vector) -> Verdict:
    return vector.error if vector.accepted is False else None


def takes_all(_: Vector) -> Verdict:
    return None


def refuses_all(vector: Vector) -> Verdict:
    return vector.error or {"code": "VALIDATION_ERROR"}


def points_elsewhere(vector: Vector) -> Verdict:
    return {**vector.error, "pointer": "/no"} if vector.accepted is False else None


def test_every_file_is_read_and_played() -> None:
    played: set[str] = set()
    for kind, direction in (("client", "server"), ("server", "client")):
        (path,) = Path(SUITE, "cases", kind, "vectors").glob("*.yaml")
        named = set(load_yaml(path)["variants"]["file"])
        for file in files():
            if file not in named:
                with pytest.raises(ValueError, match=f"no vector of {file} is sent by"):
                    load_vectors(file, direction)
        played |= named
    assert played == set(files())


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no vectors bouds, but bounds, codes"):
        load_vectors("bouds", "client")


@pytest.mark.parametrize(
    ("judge", "finding"),
    [
        (as_it_should, None),
        (takes_all, "answered with [], not ('VALIDATION_ERROR'"),
        (refuses_all, "refused with [('VALIDATION_ERROR', None)]"),
        (points_elsewhere, "answered with [('VALIDATION_ERROR', '/no')]"),
    ],
)
async def test_what_a_server_answers_is_held_to_the_vectors(
    judge: Judge, finding: str | None
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            _, headers = await read_head(reader)
            writer.write(upgrade_response(headers))
            await _answer(reader, writer, "client", judge, refuse=_refuse)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        connection = await open_connection(f"ws://127.0.0.1:{port}/v1/connect", "c", [])
        try:
            play = SimpleNamespace(connection=lambda _: connection)
            await _held(to_server, play, {"on": "c", "file": "messages-client"}, finding)
        finally:
            await connection.close()


@pytest.mark.parametrize(
    ("judge", "finding"),
    [
        (as_it_should, None),
        (takes_all, "it was taken"),
        (refuses_all, "it was met with 4400"),
    ],
)
async def test_what_an_sdk_takes_is_held_to_the_vectors(judge: Judge, finding: str | None) -> None:
    server = ScriptedServer([])
    await server.start()
    parts = urlsplit(server.url)

    async def come_back_for_ever() -> None:
        while True:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                writer.write(upgrade_request(parts.netloc, parts.path, {}))
                await read_head(reader)
                writer.write(encode(Opcode.TEXT, b'{"type": "hello"}', mask=True))
                await _answer(reader, writer, "server", judge, refuse=_leave)
            finally:
                writer.close()

    sdk = asyncio.create_task(come_back_for_ever())
    try:
        connection = await server.accept()
        await connection.receive()
        play = SimpleNamespace(
            connection=lambda _: connection, scripted=lambda: server, keep=lambda *_: None
        )
        arguments = {"on": "c", "file": "codes", "welcome": WELCOME}
        await _held(to_client, play, arguments, finding)
    finally:
        sdk.cancel()
        await asyncio.gather(sdk, return_exceptions=True)
        await server.stop()


async def _held(
    verb: Callable[[Play, JsonObject], Any],
    play: object,
    arguments: JsonObject,
    finding: str | None,
) -> None:
    async with asyncio.timeout(60):
        if finding is None:
            await verb(cast("Play", play), arguments)
            return
        with pytest.raises(StepFailed) as failed:
            await verb(cast("Play", play), arguments)
    assert finding in str(failed.value)


async def _answer(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    direction: str,
    judge: Judge,
    *,
    refuse: Callable[[asyncio.StreamWriter, JsonObject], bool],
) -> None:
    """Answers pings, and what else comes by the judge; until `refuse` says that it is over."""
    file = "messages-client" if direction == "client" else "codes"
    known = {vector.text: vector for vector in load_vectors(file, direction)}
    masks = direction == "server"
    with contextlib.suppress(IncompleteFrame):
        while (frame := await read_frame(reader)).opcode == Opcode.TEXT:
            text = frame.payload.decode()
            vector = known.get(text)
            error = judge(vector) if vector is not None else None
            if error is not None and refuse(writer, error):
                await read_frame(reader)  # the ping
                await read_frame(reader)  # the close frame that answers ours
                return
            if vector is None and (message := json.loads(text))["type"] == "ping":
                pong = json.dumps({**message, "type": "pong"}).encode()
                writer.write(encode(Opcode.TEXT, pong, mask=masks))


def _refuse(writer: asyncio.StreamWriter, error: JsonObject) -> bool:
    details = {"pointer": error["pointer"]} if "pointer" in error else None
    told = {"code": error["code"], "message": "no", "retryable": False, "details": details}
    message = json.dumps({"type": "error", "error": told}).encode()
    writer.write(encode(Opcode.TEXT, message, mask=False))
    return False


def _leave(writer: asyncio.StreamWriter, _: JsonObject) -> bool:
    writer.write(encode(Opcode.CLOSE, close_payload(4400), mask=True))
    return True
