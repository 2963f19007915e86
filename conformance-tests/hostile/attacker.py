# SPDX-License-Identifier: Apache-2.0
"""Carries out plays on real connections, and sees to it that each ends as it must and no sooner."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from expectations import is_server_message
from plays import Play, Shot

from longcall_conformance.referee.frames import Frame, Opcode, encode, read_frame
from longcall_conformance.referee.handshake import (
    SUBPROTOCOL,
    HandshakeRefused,
    read_head,
    upgrade_request,
)
from longcall_conformance.referee.verdicts import Verdicts

PATIENCE = 120
"""Seconds for an answer: that it comes at all is what is asked, on any machine."""
_LOOKED_AT = 50
"""One frame of so many is held to the schema."""


class Ended(Exception):
    """The server ended the connection: with a code, or without one."""

    def __init__(self, code: int | None) -> None:
        self.code = code
        super().__init__(f"ended with {code}")


@dataclass
class Tally:
    """What all attackers did and saw."""

    mutations: int = 0
    messages: int = 0
    connections: int = 0
    answers: int = 0
    types: Counter[str] = field(default_factory=Counter)
    """Of the answers."""
    refusals: int = 0
    ends: Counter[int | None] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    """Of the errors that were looked at."""


class Attacker:
    """One connection after another."""

    def __init__(
        self,
        name: str,
        address: tuple[str, int],
        plan: Callable[[int], Play],
        verdicts: Verdicts,
        tally: Tally,
    ) -> None:
        self._name = name
        self._address = address
        self._plan = plan
        self._verdicts = verdicts
        self._tally = tally
        self._mutations = 0

    async def run(self, mutations: int, first_play: int = 0) -> None:
        """Plays until so many mutations are sent."""
        number = first_play
        while self._mutations < mutations:
            play = self._plan(number)
            line = _Line(f"{self._name}, play {number}", self._verdicts, self._tally)
            try:
                async with asyncio.timeout(PATIENCE * (len(play.volleys) + 2)):
                    await line.open(self._address)
                    self._mutations += await line.perform(play)
            except (OSError, HandshakeRefused, asyncio.IncompleteReadError, TimeoutError) as error:
                self._verdicts.find("survival", f"{line.name}: no connection: {error!r}")
                return
            finally:
                line.drop()
            number += 1


class _Line:
    """One connection, from its upgrade to its end."""

    def __init__(self, name: str, verdicts: Verdicts, tally: Tally) -> None:
        self.name = name
        self._verdicts = verdicts
        self._tally = tally
        self._writer: asyncio.StreamWriter | None = None
        self._refusals = 0
        """Since the last ping."""

    async def open(self, address: tuple[str, int]) -> None:
        host, port = address
        self._reader, self._writer = await asyncio.open_connection(host, port, limit=2**20)
        head = upgrade_request(
            f"{host}:{port}", "/v1/connect", {"Sec-WebSocket-Protocol": SUBPROTOCOL}
        )
        self._writer.write(head)
        first, _ = await read_head(self._reader)
        if int(first.split(" ")[1]) != 101:
            raise HandshakeRefused(int(first.split(" ")[1]), first)
        self._tally.connections += 1

    def drop(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()

    async def perform(self, play: Play) -> int:
        """Carries the play out; how many mutations were sent."""
        sent = self._shoot((play.first,))
        if not await self._enter(play.first):
            return sent
        for number, volley in enumerate(play.volleys):
            sent += self._shoot(volley)
            last = volley[-1]
            if last.drops:
                break
            if last.fate.ends:
                await self._await_end(last)
                break
            if not await self._await_pong(number, volley):
                break
        return sent

    def _shoot(self, shots: tuple[Shot, ...]) -> int:
        assert self._writer is not None
        self._writer.write(b"".join(shot.wire for shot in shots))
        mutations = sum(shot.is_mutation for shot in shots)
        self._tally.messages += len(shots)
        self._tally.mutations += mutations
        return mutations

    async def _enter(self, first: Shot) -> bool:
        """Whether the connection is open, as it must be, or may be."""
        try:
            frame = await self._read()
        except Ended as ended:
            if ended.code not in first.fate.ends:
                self._find(f"{ended} instead of a welcome", first)
            return False
        if not first.fate.is_welcomed:
            self._find(f"answered with {frame.payload[:200]!r}", first)
            return False
        if b'"type":"welcome"' not in frame.payload:
            self._find(f"the first message is {frame.payload[:200]!r}", first)
            return False
        return True

    async def _await_pong(self, number: int, volley: tuple[Shot, ...]) -> bool:
        """The connection lives, and everything before this was read."""
        assert self._writer is not None
        nonce = f"sync-{number}".encode()
        ping = b'{"type":"ping","nonce":"' + nonce + b'"}'
        self._writer.write(encode(Opcode.TEXT, ping, mask=True))
        self._refusals = 0
        try:
            while True:
                frame = await self._read()
                if frame.opcode == Opcode.TEXT and nonce in frame.payload:
                    break
        except Ended as ended:
            shown = "\n    ".join(shot.told for shot in volley)
            self._verdicts.find("survival", f"{self.name}: {ended} after one of\n    {shown}")
            return False
        due = sum(shot.fate.is_refused for shot in volley)
        if self._refusals < due:
            shown = "\n    ".join(shot.told for shot in volley if shot.fate.is_refused)
            text = f"{self.name}: {self._refusals} refusals, {due} were due, of\n    {shown}"
            self._verdicts.find("every bad message is answered", text)
        return True

    async def _await_end(self, last: Shot) -> None:
        try:
            while True:
                await self._read()
        except Ended as ended:
            if ended.code not in last.fate.ends:
                self._find(f"{ended} instead of {sorted(last.fate.ends)}", last)

    async def _read(self) -> Frame:
        """The next frame that is a message."""
        assert self._writer is not None
        while True:
            try:
                async with asyncio.timeout(PATIENCE):
                    frame = await read_frame(self._reader)
            except TimeoutError:
                self._verdicts.find("answers", f"{self.name}: nothing for {PATIENCE} s")
                raise
            except (asyncio.IncompleteReadError, ConnectionError):
                self._tally.ends[None] += 1
                raise Ended(None) from None
            if frame.opcode == Opcode.CLOSE:
                self._tally.ends[frame.close_code()] += 1
                raise Ended(frame.close_code())
            if frame.opcode == Opcode.PING:
                self._writer.write(encode(Opcode.PONG, frame.payload, mask=True))
            elif frame.opcode == Opcode.TEXT:
                self._look(frame.payload)
                return frame

    def _look(self, payload: bytes) -> None:
        tally = self._tally
        tally.answers += 1
        tally.types[payload[9 : payload.find(b'"', 9)].decode()] += 1
        if b'"INTERNAL_ERROR"' in payload:
            self._verdicts.find("no INTERNAL_ERROR", f"{self.name}: {payload[:400]!r}")
        if payload.startswith(b'{"type":"error"') and b'"seq":' not in payload[:200]:
            tally.refusals += 1
            if b'"VALIDATION_ERROR"' in payload or b'"UNSUPPORTED_TYPE"' in payload:
                self._refusals += 1
        if tally.answers % _LOOKED_AT == 0:
            self._look_closely(payload)

    def _look_closely(self, payload: bytes) -> None:
        message = json.loads(payload)
        if not is_server_message(message):
            self._verdicts.find("answers keep to the schema", f"{self.name}: {payload[:400]!r}")
        elif message["type"] == "error":
            self._tally.codes[message["error"]["code"]] += 1

    def _find(self, what: str, shot: Shot) -> None:
        self._verdicts.find("survival", f"{self.name}: {what}, after {shot.told}")
