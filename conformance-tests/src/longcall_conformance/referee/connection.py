# SPDX-License-Identifier: Apache-2.0
"""One WebSocket of the referee, from either side, with everything that crossed it on record."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from typing import Any

from .frames import Frame, Opcode, close_payload, encode, read_frame

JsonObject = dict[str, Any]


class Ended(Exception):
    """The connection ended first; `code` is None where no close frame came."""

    def __init__(self, code: int | None, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"the connection ended with {code or 'no close frame'}: {reason or '-'}")


class RefereeConnection:
    """Reads frames into an inbox, answers nothing by itself but WebSocket pings."""

    def __init__(
        self,
        name: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        client: bool,
        record: list[JsonObject],
    ) -> None:
        self.name = name
        self._reader = reader
        self._writer = writer
        self._mask = client
        self._record = record
        self._inbox: asyncio.Queue[JsonObject | Ended] = asyncio.Queue()
        self._ended: Ended | None = None
        self._close_sent = False
        self._silent = False
        self._task = asyncio.create_task(self._read(), name=f"referee {name}")

    @property
    def is_open(self) -> bool:
        """Whether neither side has ended it."""
        return self._ended is None and not self._writer.is_closing()

    async def _read(self) -> None:
        ended = Ended(None, "the stream ended")
        try:
            while True:
                frame = await read_frame(self._reader)
                if self._silent:
                    continue
                if frame.opcode == Opcode.CLOSE:
                    ended = Ended(frame.close_code(), frame.close_reason())
                    if not self._close_sent:
                        self._write(Opcode.CLOSE, frame.payload[:2])
                    break
                self._take(frame)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        self._note("end", {"code": ended.code, "reason": ended.reason})
        self._ended = ended
        self._inbox.put_nowait(ended)
        self._writer.close()

    def _take(self, frame: Frame) -> None:
        if frame.opcode == Opcode.PING:
            self._write(Opcode.PONG, frame.payload)
        elif frame.opcode == Opcode.TEXT:
            message = json.loads(frame.payload)
            self._note("received", message)
            self._inbox.put_nowait(message)
        elif frame.opcode == Opcode.BINARY:
            self._note("received", {"type": "(binary frame)"})
            self._inbox.put_nowait({"type": "(binary frame)"})

    async def receive(self) -> JsonObject:
        """The next message; raises `Ended` when the connection ended."""
        if self._ended is not None and self._inbox.empty():
            raise self._ended
        item = await self._inbox.get()
        if isinstance(item, Ended):
            raise item
        return item

    async def receive_end(self) -> Ended:
        """Waits for the end, passing over messages."""
        while True:
            try:
                await self.receive()
            except Ended as ended:
                return ended

    def send(self, message: JsonObject) -> None:
        """Sends a message."""
        self._note("sent", message)
        self._write(Opcode.TEXT, json.dumps(message, ensure_ascii=False).encode())

    def send_text(self, data: bytes) -> None:
        """Sends a text frame with exactly these bytes."""
        self._note("sent", {"type": "(raw text)", "bytes": len(data)})
        self._write(Opcode.TEXT, data)

    def send_binary(self, data: bytes) -> None:
        """Sends a binary frame."""
        self._note("sent", {"type": "(binary frame)"})
        self._write(Opcode.BINARY, data)

    def _write(self, opcode: int, payload: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(encode(opcode, payload, mask=self._mask))

    async def drop(self, how: str) -> None:
        """Ends or cripples the connection: `fin`, `reset`, `blackhole`, or `close_<code>`."""
        self._note("drop", {"how": how})
        if how == "blackhole":
            self._silent = True
            return
        if how.startswith("close_"):
            self._close_sent = True
            self._write(Opcode.CLOSE, close_payload(int(how.removeprefix("close_"))))
            with contextlib.suppress(ConnectionError, TimeoutError):
                await self._writer.drain()
            return
        if how == "reset":
            sock = self._writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
        else:
            self._writer.close()

    async def close(self) -> None:
        """Lets go of the socket without a handshake."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(ConnectionError, OSError):
            await self._writer.wait_closed()

    def _note(self, what: str, message: JsonObject) -> None:
        self._record.append({"connection": self.name, "what": what, "message": message})
