# SPDX-License-Identifier: Apache-2.0
"""One client of the proxy and its connection to the server: frames pass, or meet their fault."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import socket
import struct
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..frames import Frame, IncompleteFrame, Opcode, read_frame
from ..handshake import parse_head
from .mangle import corrupt
from .rules import Direction, Fault, JsonObject, Rule, Seen

_TYPE = re.compile(rb'"type"\s*:\s*"([^"\\]{1,100})"')
_NAMES: dict[int, str] = {
    Opcode.BINARY: "(binary)",
    Opcode.CLOSE: "(close)",
    Opcode.PING: "(ping)",
    Opcode.PONG: "(pong)",
}
_PIPE_BYTES = 65_536
_SLOW_WRITES_A_SECOND = 20
_GOODBYE_S = 2
"""How long a side may take to accept what was written before it was closed."""


class Judge(Protocol):
    """What a relay needs of its proxy."""

    def take(self, seen: Seen) -> list[Rule]:
        """The faults that a frame meets."""

    def upgraded(self) -> None:
        """A connection has become a WebSocket."""

    def left(self) -> None:
        """The client has ended its side."""

    def tell(self, rule: Rule, seen: Seen, detail: JsonObject) -> None:
        """A fault was made."""

    def hold(self, rule: Rule) -> asyncio.Event:
        """What a held frame waits for."""


@dataclass
class Story:
    """What is told of one connection."""

    number: int
    status: int | None = None
    """Of the answer to its first request; 101 where it became a WebSocket."""
    frames: dict[str, Counter[str]] = field(
        default_factory=lambda: {direction: Counter() for direction in Direction}
    )
    ended: str | None = None

    def as_json(self) -> JsonObject:
        """For the report."""
        frames = {
            direction: dict(sorted(types.items())) for direction, types in self.frames.items()
        }
        told = {"connection": self.number, "status": self.status, "ended": self.ended}
        return {**told, "frames": frames}


@dataclass
class _Side:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def reset(self) -> None:
        """Ends it with a RST."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None and not self.writer.is_closing():
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def end(self) -> None:
        """Says that nothing more will be written."""
        with contextlib.suppress(OSError, RuntimeError):
            if not self.writer.is_closing():
                self.writer.write_eof()


_Pump = Callable[[Direction, _Side, _Side], Coroutine[Any, Any, None]]


@dataclass
class _Passing:
    """What becomes of one frame."""

    data: bytes
    piece: int | None = None
    bytes_per_second: int | None = None
    end: Rule | None = None
    """What ends the connection, or its direction, behind the data."""


class Relay:
    """Passes on bytes between two sides; one frame of each direction is held at most."""

    def __init__(
        self, number: int, judge: Judge, client: _Side, *, seed: int, max_frame_bytes: int
    ) -> None:
        self.story = Story(number)
        self._judge = judge
        self._client = client
        self._server: _Side | None = None
        self._chance = {
            direction: random.Random(f"{seed}/connection {number} {direction}")
            for direction in Direction
        }
        self._max_frame = max_frame_bytes
        self._is_black = False
        self._blocked: set[Direction] = set()
        self._over = asyncio.Event()
        self._given_up = asyncio.Event()
        self._lost: set[Direction] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.problem: str | None = None

    @classmethod
    def of(
        cls,
        number: int,
        judge: Judge,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        seed: int,
        max_frame_bytes: int,
    ) -> Relay:
        """The relay of a client that has just come."""
        side = _Side(reader, writer)
        return cls(number, judge, side, seed=seed, max_frame_bytes=max_frame_bytes)

    @property
    def is_open(self) -> bool:
        """Whether the client's socket is."""
        return not self._client.writer.is_closing() and not self._client.reader.at_eof()

    async def run(self, host: str, port: int) -> None:
        """Serves the client to its end."""
        try:
            head = await self._client.reader.readuntil(b"\r\n\r\n")
            self._server = _Side(*await asyncio.open_connection(host, port))
            self._server.writer.write(head)
            is_frames = await self._answer(head)
            pump = self._pump_frames if is_frames else self._pump_bytes
            await self._both(pump)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError) as error:
            self._end("reset", f"before it was connected: {type(error).__name__}")
        finally:
            await self._let_go()

    async def _let_go(self) -> None:
        """Closes both sides; one that takes nothing any more is cut off."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            for side in self._sides():
                side.writer.close()
            async with asyncio.timeout(_GOODBYE_S):
                for side in self._sides():
                    with contextlib.suppress(OSError):
                        await side.writer.wait_closed()
        except TimeoutError:
            pass
        finally:
            for side in self._sides():
                side.writer.transport.abort()

    async def _answer(self, head: bytes) -> bool:
        """Passes on the answer to the first request; whether it made a WebSocket."""
        assert self._server is not None
        _, headers = parse_head(head)
        if headers.get("upgrade", "").lower() != "websocket":
            return False
        answer = await self._server.reader.readuntil(b"\r\n\r\n")
        self._client.writer.write(answer)
        self.story.status = int(answer.split(b" ", 2)[1])
        if self.story.status != 101:
            return False
        self._judge.upgraded()
        return True

    async def _both(self, pump: _Pump) -> None:
        assert self._server is not None
        pumps = [
            asyncio.create_task(pump(Direction.TO_SERVER, self._client, self._server)),
            asyncio.create_task(pump(Direction.TO_CLIENT, self._server, self._client)),
        ]
        over = asyncio.create_task(self._over.wait())
        waiting: set[asyncio.Future[Any]] = {asyncio.gather(*pumps), over}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (over, *pumps):
                task.cancel()
            results = await asyncio.gather(*waiting, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                self.problem = f"connection {self.story.number}: {result!r}"

    def _sides(self) -> list[_Side]:
        return [self._client] + ([self._server] if self._server is not None else [])

    @property
    def is_websocket(self) -> bool:
        """Whether the server has said 101."""
        return self.story.status == 101

    def cut(self, how: str) -> None:
        """Ends the connection now, as `fin` or `reset`; or makes it a `blackhole`."""
        if how == "blackhole":
            self._is_black = True
        else:
            self._end(how, f"{how} by hand")

    def give_up(self) -> None:
        """Reads and throws away what is stalled: so it is seen whether its sender has gone."""
        self._given_up.set()

    def _end(self, how: str, why: str) -> None:
        if self.story.ended is None:
            self.story.ended = why
        for side in self._sides():
            if how == "reset":
                side.reset()
            else:
                side.writer.close()
        self._over.set()

    # --- Bytes that are no frames -----------------------------------------------------------------

    async def _pump_bytes(self, direction: Direction, source: _Side, target: _Side) -> None:
        try:
            while data := await source.reader.read(_PIPE_BYTES):
                target.writer.write(data)
                await target.writer.drain()
            self._source_ended(direction, target)
        except ConnectionError:
            self._end("reset", f"reset {direction}")

    def _source_ended(self, direction: Direction, target: _Side) -> None:
        """One side says nothing more: neither will the other hear more of it."""
        if self._is_black:
            return
        self.story.ended = self.story.ended or f"fin {direction}"
        target.end()
        if self._blocked - {direction}:
            # What is stalled or held can no longer reach who has gone.
            self._end("fin", self.story.ended)

    # --- Frames -----------------------------------------------------------------------------------

    async def _pump_frames(self, direction: Direction, source: _Side, target: _Side) -> None:
        number, kind = 0, ""
        try:
            while True:
                frame = await read_frame(source.reader, limit=self._max_frame)
                if self._is_black or direction in self._lost:
                    continue
                number += 1
                seen = self._look(direction, number, frame, kind)
                if not frame.is_control:
                    kind = "" if frame.fin else seen.type
                self.story.frames[direction][seen.type] += 1
                await self._pass(seen, frame, target)
        except IncompleteFrame as end:
            if end.partial and not self._is_black:
                target.writer.write(end.partial)
            self._source_ended(direction, target)
        except ConnectionError:
            if not self._is_black:
                self._end("reset", f"reset {direction}")
        except ValueError as error:
            self.problem = f"connection {self.story.number}, {direction}: {error}"
            self._end("reset", str(error))
        finally:
            if direction is Direction.TO_SERVER:
                self._judge.left()

    def _look(self, direction: Direction, number: int, frame: Frame, kind: str) -> Seen:
        message: JsonObject | None = None
        if frame.opcode == Opcode.TEXT and frame.fin:
            with contextlib.suppress(ValueError):
                value = json.loads(frame.payload)
                message = value if isinstance(value, dict) else None
        if message is not None and isinstance(message.get("type"), str):
            name = message["type"]
        elif frame.opcode == Opcode.TEXT:
            found = None if frame.fin else _TYPE.search(frame.payload)
            name = found.group(1).decode("utf-8", "replace") if found else "(text)"
        elif frame.opcode == Opcode.CONTINUATION:
            name = kind or "(text)"
        else:
            name = _NAMES.get(frame.opcode, "(other)")
        return Seen(self.story.number, direction, number, name, message, len(frame.payload))

    async def _pass(self, seen: Seen, frame: Frame, target: _Side) -> None:
        """Makes the faults that are due, and passes on what is left of the frame."""
        passing = _Passing(frame.wire)
        for rule in self._judge.take(seen):
            detail = self._change(rule, seen.direction, frame, passing)
            self._judge.tell(rule, seen, detail)
            if rule.fault is Fault.DELAY:
                await asyncio.sleep(detail["ms"] / 1000)
            elif rule.fault is Fault.HOLD:
                self._blocked.add(seen.direction)
                await self._judge.hold(rule).wait()
                self._blocked.discard(seen.direction)
        await self._write(target, passing)
        if passing.end is not None:
            await self._finish(passing.end, seen.direction)

    def _change(
        self, rule: Rule, direction: Direction, frame: Frame, passing: _Passing
    ) -> JsonObject:
        """Changes what is passed on; returns what is told of it beside the rule."""
        chance = self._chance[direction]
        match rule.fault:
            case Fault.DELAY:
                return {
                    "ms": rule.option("ms", 100) + chance.randint(0, rule.option("jitter_ms", 0))
                }
            case Fault.HOLD:
                pass
            case Fault.DROP:
                passing.data = b""
            case Fault.DUPLICATE:
                passing.data *= rule.option("copies", 2)
            case Fault.CORRUPT:
                what = rule.option("what", "payload")
                passing.data = corrupt(frame, what, chance)
                return {"what": what}
            case Fault.SLICE:
                passing.piece = rule.option("bytes", 1)
            case Fault.THROTTLE:
                passing.bytes_per_second = rule.option("bytes_per_second", 10_000)
            case Fault.MID_FRAME:
                whole = len(passing.data)
                passing.data = passing.data[: min(rule.option("bytes", whole // 2), whole - 1)]
                passing.end = rule
                return {"bytes": len(passing.data), "of": whole}
            case _:
                passing.end = rule
                passing.data = passing.data if rule.option("after", False) else b""
        return {}

    async def _finish(self, rule: Rule, direction: Direction) -> None:
        if rule.fault is Fault.BLACKHOLE:
            self._is_black = True
            self._end_later(rule)
        elif rule.fault is Fault.STALL:
            self._blocked.add(direction)
            self._end_later(rule)
            await self._given_up.wait()
            self._lost.add(direction)
        else:
            how = rule.option("how", "fin") if rule.fault is Fault.MID_FRAME else str(rule.fault)
            self._end(how, f"{rule.fault} of {rule.name}")

    def _end_later(self, rule: Rule) -> None:
        if (ms := rule.option("ms", None)) is not None:
            why = f"{rule.fault} of {rule.name} ended"
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(ms / 1000, self._end, "reset", why)

    @staticmethod
    async def _write(target: _Side, passing: _Passing) -> None:
        data, rate = passing.data, passing.bytes_per_second
        step = passing.piece or (max(1, rate // _SLOW_WRITES_A_SECOND) if rate else len(data))
        for start in range(0, len(data), step or 1):
            part = data[start : start + step]
            target.writer.write(part)
            await target.writer.drain()
            if rate is not None:
                await asyncio.sleep(len(part) / rate)
            elif passing.piece is not None:
                await asyncio.sleep(0)
