# SPDX-License-Identifier: Apache-2.0
"""A client that reads when it is told to, and else leaves everything to the kernel's buffers."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import deque
from types import TracebackType
from typing import Any, Self

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri
from wire import PATIENCE, token

_READ = 1 << 18


class Ended(Exception):
    """The connection is over; `code` is that of a close frame, if one came."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class RawSocket:
    """One connection. Between two calls of `receive` nothing is taken from the kernel."""

    def __init__(self, sock: socket.socket, protocol: ClientProtocol) -> None:
        self._sock = sock
        self._protocol = protocol
        self._messages: deque[dict[str, Any]] = deque()

    @classmethod
    async def open(cls, url: str, *, receive_buffer: int) -> Self:
        """Connects with a small receive buffer, and says hello."""
        protocol = ClientProtocol(
            uri := parse_uri(url), subprotocols=[Subprotocol("longcall.v1")], max_size=None
        )
        sock = socket.socket()
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, (uri.host, uri.port))
            self = cls(sock, protocol)
            protocol.send_request(protocol.connect())
            await self._flush()
            while protocol.state is State.CONNECTING:
                await self._take()
            await self.send("hello", token=token())
            welcome = await self.receive()
            assert welcome["type"] == "welcome", welcome
        except BaseException:
            sock.close()
            raise
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sock.close()

    def read_fast(self) -> None:
        """From now on the kernel takes much at a time."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)

    async def send(self, type: str, **fields: Any) -> None:
        """Sends one message."""
        self._protocol.send_text(json.dumps({"type": type} | fields).encode())
        await self._flush()

    async def receive(self) -> dict[str, Any]:
        """The next message but pings; raises `Ended`."""
        while not self._messages:
            await self._take()
        return self._messages.popleft()

    async def _take(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PATIENCE):
                data = await loop.sock_recv(self._sock, _READ)
        except ConnectionError:
            data = b""
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                assert event.fin
                message = json.loads(bytes(event.data))
                if message["type"] != "ping":
                    self._messages.append(message)
        over = not data or self._protocol.close_rcvd is not None
        if over and not self._messages:
            close = self._protocol.close_rcvd
            raise Ended(None if close is None else close.code)

    async def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                await asyncio.get_running_loop().sock_sendall(self._sock, data)
