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

_GOODBYE_S = 10
"""How long a peer may take to close its socket after the close frames."""


class Ended(Exception):
    """The connection ended first; `code` is None where no close frame came."""

    def __init__(self, code: int | None, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"the connection ended with {code or 'no close frame'}: {reason or '-'}")


class Violation(Exception):
    """The peer sent what RFC 6455 does not allow, or a message that is no JSON object."""


class RefereeConnection:
    """Reads frames into an inbox, answers nothing by itself but WebSocket pings and closes.

    What the peer sends must be RFC 6455 to the bit, in messages that are JSON objects; anything
    else ends the connection and stands in the record as a `violation`.
    """

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
        self._is_client = client
        self._record = record
        self._inbox: asyncio.Queue[JsonObject | Ended] = asyncio.Queue()
        self._pongs: asyncio.Queue[Frame | Ended] = asyncio.Queue()
        self._parts: list[Frame] = []
        self._ended: Ended | None = None
        self._close_sent = False
        self._silent = False
        self._gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._read(), name=f"referee {name}")

    @property
    def is_open(self) -> bool:
        """Whether neither side has ended it."""
        return self._ended is None and not self._writer.is_closing()

    async def _read(self) -> None:
        ended, how = Ended(None, "the stream ended"), "fin"
        try:
            while True:
                frame = await self._legal_frame()
                if self._silent:
                    continue
                if frame.opcode == Opcode.CLOSE:
                    ended = Ended(frame.close_code(), frame.close_reason())
                    said = {"type": "(close)", "code": ended.code, "reason": ended.reason}
                    self._note("received", said)
                    if not self._close_sent:
                        self._write(Opcode.CLOSE, frame.payload[:2])
                    break
                self._take(frame)
        except Violation as error:
            ended = Ended(None, f"the peer must not send {error}")
            self._note("violation", {"text": str(error)})
        except asyncio.IncompleteReadError as error:
            if error.partial:
                ended = Ended(None, f"the stream ended within a frame: {error.partial[:40]!r}")
        except (ConnectionError, ValueError) as error:
            ended, how = Ended(None, f"the stream ended: {error!r}"), "reset"
        self._note("end", {"code": ended.code, "reason": ended.reason})
        self._ended = ended
        self._inbox.put_nowait(ended)
        self._pongs.put_nowait(ended)
        if ended.code is not None and self._is_client:
            how = await self._wait_for_fin()
        self._writer.close()
        self._gone.set_result(how)

    async def _wait_for_fin(self) -> str:
        """After the close frames the server ends the stream, and says nothing more before."""
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await read_frame(self._reader)
            self._note("violation", {"text": "a frame after the close frame"})
        except asyncio.IncompleteReadError:
            return "fin"
        except (OSError, ValueError):  # a timeout is an OSError
            pass
        return "reset"

    async def _legal_frame(self) -> Frame:
        frame = await read_frame(self._reader)
        defect = frame.defect(masked=not self._is_client)
        if defect is None and not frame.is_control:
            if frame.opcode == Opcode.CONTINUATION and not self._parts:
                defect = "a continuation of nothing"
            elif frame.opcode != Opcode.CONTINUATION and self._parts:
                defect = "a new message within a fragmented one"
        if defect is not None:
            raise Violation(defect)
        return frame

    def _take(self, frame: Frame) -> None:
        if frame.opcode == Opcode.PING:
            self._write(Opcode.PONG, frame.payload)
        elif frame.opcode == Opcode.PONG:
            self._note("received", {"type": "(pong)", "hex": frame.payload.hex()})
            self._pongs.put_nowait(frame)
        else:
            self._parts.append(frame)
            if frame.fin:
                first, payload = self._parts[0], b"".join(part.payload for part in self._parts)
                self._parts.clear()
                self._take_message(first.opcode, payload)

    def _take_message(self, opcode: int, payload: bytes) -> None:
        message: Any = {"type": "(binary frame)"}
        if opcode == Opcode.TEXT:
            try:
                message = json.loads(payload.decode())
            except ValueError as error:
                raise Violation(f"a text that is no UTF-8 or JSON: {error}") from None
            if not isinstance(message, dict):
                raise Violation(f"a text that is no object: {payload[:80]!r}")
        self._note("received", message)
        self._inbox.put_nowait(message)

    async def receive_pong(self) -> bytes:
        """The payload of the next pong frame; raises `Ended` when the connection ended."""
        if self._ended is not None and self._pongs.empty():
            raise self._ended
        item = await self._pongs.get()
        if isinstance(item, Ended):
            raise item
        return item.payload

    async def receive_gone(self, *, first: bool = False) -> str:
        """Waits until the peer has closed its socket; `fin` or `reset`, as it did it.

        `first`: our own side of the stream is ended before. A server that was wronged may wait for
        that, since it cannot make sense of what would still come.
        """
        if first and not self._writer.is_closing():
            with contextlib.suppress(OSError):
                self._writer.write_eof()
        return await asyncio.shield(self._gone)

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

    async def write(
        self, data: bytes, *, piece: int | None = None, is_closing: bool = False
    ) -> None:
        """Writes bytes to the socket as they are, at once or in pieces of so many bytes.

        `is_closing`: a close frame is among them, so that the peer's is not answered.
        """
        self._note("sent", {"type": "(bytes)", "bytes": len(data)})
        self._close_sent = self._close_sent or is_closing
        step = piece or max(len(data), 1)
        for start in range(0, len(data), step):
            if self._writer.is_closing():
                return
            self._writer.write(data[start : start + step])
            with contextlib.suppress(ConnectionError):
                await self._writer.drain()
            if piece is not None:
                await asyncio.sleep(0)

    def _write(self, opcode: int, payload: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(encode(opcode, payload, mask=self._is_client))

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
