# SPDX-License-Identifier: Apache-2.0
"""A client of the referee's own frames: it drops nothing, so that it also sees what an SDK hides.

It keeps to what PROTOCOL.md asks of a client that comes back: a request that was not answered is
sent again with `resend`, all others are attached behind their last event.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

from board import Board, Identity
from workload import Asked

from longcall_conformance.referee.connection import Ended, RefereeConnection
from longcall_conformance.referee.handshake import HandshakeRefused
from longcall_conformance.referee.observations import ObservationFile
from longcall_conformance.referee.raw_client import open_connection

JsonObject = dict[str, Any]

_AT_ONCE = 3
_PAUSE = 0.05
"""Seconds before another try to connect."""


@dataclass
class _Open:
    """A request that has not ended."""

    message: JsonObject
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    is_sent: bool = False
    is_read: bool = False
    last_seq: int = 0
    newest: tuple[int, int] = (0, 0)
    """Progress that was seen."""
    newest_here: tuple[int, int] = (0, 0)
    """The same, of this connection."""


class RawClient:
    """Asks until the board says stop, and then waits for what is open."""

    def __init__(
        self,
        identity: Identity,
        board: Board,
        observed: ObservationFile,
        ask: Callable[[Random], Asked],
    ) -> None:
        self._identity = identity
        self._board = board
        self._observed = observed
        self._ask = ask
        self._count = 0
        self._open: dict[str, _Open] = {}
        self._connection: RefereeConnection | None = None
        self._is_leaving = False
        self.ends: list[tuple[bool, int | None]] = []
        """Of each connection: whether `goaway` had come, and the close code."""
        self.reconnects = 0

    async def run(self) -> None:
        """Returns when everything that it asked for has ended."""
        connecting = asyncio.create_task(self._stay_connected())
        try:
            await asyncio.gather(*(self._ask_on() for _ in range(_AT_ONCE)))
        finally:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            self._observed.close()

    async def _ask_on(self) -> None:
        while not self._board.stopping.is_set():
            asked = self._ask(self._identity.rng)
            if asked.cancelled or "files" in asked.expect:
                continue  # left to the others
            self._count += 1
            request_id = f"{self._identity.name}-{self._count}"
            message: JsonObject = {
                "type": "request",
                "id": request_id,
                "action": asked.action,
                "payload": asked.payload,
            }
            if asked.deadline_s is not None:
                message["deadline_ms"] = round(asked.deadline_s * 1000)
            self._observed.note(
                "submit",
                request_id,
                action=asked.action,
                payload=asked.payload,
                expect=asked.expect,
            )
            self._board.submitted += 1
            one = self._open[request_id] = _Open(message)
            if self._connection is not None and not self._is_leaving:
                self._send(self._connection, one)
            await one.ended.wait()
            self._board.saw_end(request_id)

    # --- The connection ---------------------------------------------------------------------------

    @property
    def is_welcome(self) -> bool:
        """Whether it is connected, and nobody has told it to go."""
        return self._connection is not None and not self._is_leaving

    async def _stay_connected(self) -> None:
        while True:
            with contextlib.suppress(OSError, HandshakeRefused, asyncio.IncompleteReadError):
                await self._connect()
            await asyncio.sleep(_PAUSE)

    async def _connect(self) -> None:
        connection = await open_connection(self._identity.url, self._identity.name, [])
        said_goaway = False
        try:
            connection.send({"type": "hello", "token": self._identity.token})
            while True:
                message = await connection.receive()
                said_goaway = said_goaway or message["type"] == "goaway"
                self._take(connection, message)
        except Ended as ended:
            self.ends.append((said_goaway, ended.code))
        finally:
            self._connection = None
            await connection.close()

    def _welcomed(self, connection: RefereeConnection) -> None:
        self.reconnects += bool(self.ends)
        self._connection, self._is_leaving = connection, False
        for one in self._open.values():
            one.newest_here = (0, 0)
            self._send(connection, one)

    def _send(self, connection: RefereeConnection, one: _Open) -> None:
        """Asks for a request, or goes on reading it."""
        if one.last_seq > 0:
            position = {"request_id": one.message["id"], "after_seq": one.last_seq}
            connection.send({"type": "attach", **position})
            return
        connection.send({**one.message, "resend": True} if one.is_sent else one.message)
        one.is_sent = True

    # --- Messages ---------------------------------------------------------------------------------

    def _take(self, connection: RefereeConnection, message: JsonObject) -> None:
        match message["type"]:
            case "welcome":
                self._welcomed(connection)
            case "ping":
                connection.send({"type": "pong"})
            case "goaway":
                self._is_leaving = True
            case "snapshot":
                self._take_snapshot(message)
            case "response":
                self._end(message["request_id"], "result", result=message["result"])
            case "error" if "seq" not in message:
                self._take_refusal(message)
            case _:
                self._take_event(message["request_id"], message)

    def _take_snapshot(self, message: JsonObject) -> None:
        one = self._open.get(message["request"]["id"])
        progress = message["request"].get("progress")
        if one is None or progress is None:
            return
        if (progress["attempt"], progress["version"]) > one.newest:
            # What a snapshot tells again is no fault.
            self._take_progress(message["request"]["id"], progress)

    def _take_refusal(self, message: JsonObject) -> None:
        """PROTOCOL 10.4: what may have been stored is asked again, all else has ended."""
        error, request_id = message["error"], message.get("request_id")
        one = self._open.get(request_id) if request_id is not None else None
        if one is None:
            self._observed.note("trouble", request_id, text=str(message))
        elif error["retryable"] and not message.get("executed"):
            asyncio.get_running_loop().call_later(
                error.get("retry_after_ms", 1000) / 1000, self._ask_again, one
            )
        else:
            self._end(message["request_id"], "error", code=error["code"])

    def _ask_again(self, one: _Open) -> None:
        if self._connection is not None and not one.ended.is_set():
            self._send(self._connection, one)

    def _take_event(self, request_id: str, message: JsonObject) -> None:
        one = self._open.get(request_id)
        if one is None:
            self._observed.note("trouble", request_id, text=f"came after the end: {message}")
            return
        if message["type"] == "progress":
            self._take_progress(request_id, message)
            return
        if not one.is_read:
            one.is_read = True
            self._observed.note("read", request_id, reading=request_id)
        one.last_seq = max(one.last_seq, message["seq"])
        self._note_event(request_id, message)

    def _note_event(self, request_id: str, message: JsonObject) -> None:
        numbered = {"reading": request_id, "seq": message["seq"]}
        match message["type"]:
            case "acknowledgment":
                self._observed.note("acknowledged", request_id)
                self._note_status(request_id, {"attempt": 0, "chunks_kept_to": 0, **message})
            case "status":
                self._note_status(request_id, message)
            case "chunk":
                chunk = {"attempt": message["attempt"], "data": message["data"]}
                self._observed.note("chunk", request_id, **numbered, **chunk)
            case "complete":
                self._observed.note("end", request_id, **numbered, type="complete")
                self._end(request_id, "result", result=message["result"])
            case "error":
                self._observed.note("end", request_id, **numbered, type="error")
                error = message["error"]
                self._end(request_id, "error", code=error["code"], details=error.get("details"))
            case other:
                self._observed.note("trouble", request_id, text=f"a message of type {other}")

    def _note_status(self, request_id: str, message: JsonObject) -> None:
        retry_at, error = message.get("retry_at"), message.get("error")
        self._board.saw(request_id, message["status"])
        self._observed.note(
            "status",
            request_id,
            reading=request_id,
            seq=message["seq"],
            status=message["status"],
            attempt=message["attempt"],
            chunks_kept_to=message["chunks_kept_to"],
            retry_at=retry_at and datetime.fromisoformat(retry_at).isoformat(),
            error=error and {"code": error["code"]},
        )

    def _take_progress(self, request_id: str, progress: JsonObject) -> None:
        one = self._open[request_id]
        place = (progress["attempt"], progress["version"])
        first_here, one.newest_here = one.newest_here < place, max(place, one.newest_here)
        if place <= one.newest and first_here:
            return  # PROTOCOL 10.36: a server cannot know what another connection was sent.
        if not one.is_read:
            one.is_read = True
            self._observed.note("read", request_id, reading=request_id)
        one.newest = max(place, one.newest)
        self._observed.note(
            "progress",
            request_id,
            reading=request_id,
            attempt=progress["attempt"],
            version=progress["version"],
            percentage=progress.get("percentage"),
        )

    def _end(self, request_id: str, what: str, **members: Any) -> None:
        one = self._open.pop(request_id, None)
        self._observed.note(what, request_id, handle="raw", **members)
        if one is not None:
            one.ended.set()
