# SPDX-License-Identifier: Apache-2.0
"""One WebSocket between a client and a node, without a socket: frames in flight, and cuts.

What is sent arrives in order, a little later, or is lost with everything behind it. A cut may be
noticed by one side long before the other.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from aiohttp import WSMsgType

from simulation.wire import Wire

CUT = 1006
"""The close code that a client sees where none was sent."""


class Frame:
    """What `receive` of a socket returns."""

    __slots__ = ("data", "type")

    def __init__(self, type: WSMsgType, data: Any = None) -> None:
        self.type = type
        self.data = data


class Peer(Protocol):
    """The client's end."""

    def take(self, link: Link, frame: dict[str, Any]) -> None:
        """A frame has arrived."""

    def lost(self, link: Link, code: int) -> None:
        """The connection is closed."""


class Sky(Protocol):
    """Who makes time pass on the way."""

    def latency(self) -> float:
        """How long the next frame takes, in seconds."""

    def later(self, delay: float, what: Callable[..., object], *args: Any) -> None:
        """Does it then, whichever process asks for it."""

    def at(self, when: float, what: Callable[..., object], *args: Any) -> None:
        """Does it at that time of the loop."""

    def now(self) -> int:
        """The store's clock."""

    def trace(self, *what: Any) -> None:
        """Writes it down."""


class Link:
    """A connection; for the shipped gateway it is socket, transport, writer and request in one."""

    def __init__(self, name: str, sky: Sky, peer: Peer, wire: Wire) -> None:
        self.name = name
        self.wire = wire
        self.client_open = True
        self._sky = sky
        self._peer = peer
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[Frame] = deque()
        self._reader: asyncio.Future[Frame] | None = None
        self._server_open = True
        self._is_cut = False
        self.is_stalled = False
        """The client takes nothing."""
        self._held: deque[tuple[dict[str, Any], int]] = deque()
        self._unsent = 0
        self._up_at = self._down_at = 0.0
        self._drained: asyncio.Future[None] | None = None

    # --- The client's end ---------------------------------------------------------------------

    def send(self, message: dict[str, Any]) -> None:
        """The client sends a message."""
        self._up_at = max(self._up_at, self._loop.time() + self._sky.latency())
        self._sky.at(self._up_at, self._arrive_at_node, message, json.dumps(message))

    def hang_up(self, code: int = CUT) -> None:
        """The client closes, or is gone."""
        if self.client_open:
            self.client_open = False
            self._sky.later(self._sky.latency(), self._tell_node)

    def stall(self) -> None:
        """The client takes nothing for a while."""
        self.is_stalled = True

    def go_on(self) -> None:
        """The client takes what waits."""
        self.is_stalled = False
        while self._held and not self.is_stalled:
            frame, size = self._held.popleft()
            self._hand_over(frame, size)

    # --- Between ------------------------------------------------------------------------------

    def cut(self, client_notices: float, node_notices: float) -> None:
        """Nothing arrives any more, in either direction; the sides notice after these seconds."""
        if self._is_cut:
            return
        self._is_cut = True
        self._sky.later(client_notices, self._tell_client, CUT)
        self._sky.later(node_notices, self._tell_node)

    def _arrive_at_node(self, message: dict[str, Any], text: str) -> None:
        if self._is_cut or not self._server_open:
            return
        self._sky.trace(self.name, ">", message)
        if message["type"] != "hello":
            self.wire.received(message, self._sky.now())
        self._feed(Frame(WSMsgType.TEXT, text))

    def _arrive_at_client(self, frame: dict[str, Any], size: int) -> None:
        if self._is_cut:
            return
        if self.is_stalled or self._held:
            self._held.append((frame, size))
            return
        self._hand_over(frame, size)

    def _hand_over(self, frame: dict[str, Any], size: int) -> None:
        self._unsent -= size
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None
        if not self.client_open:
            return
        if frame["type"] == "close":
            self._tell_client(frame["code"])
        else:
            self._peer.take(self, frame)

    def _tell_client(self, code: int) -> None:
        if self.client_open:
            self.client_open = False
            self._peer.lost(self, code)

    def _tell_node(self) -> None:
        if self._server_open:
            self._server_open = False
            self._feed(Frame(WSMsgType.CLOSED))
        if self._drained is not None:
            self._drained.set_exception(ConnectionResetError("cut"))
            self._drained = None

    # --- The node's end: what the gateway uses of aiohttp -------------------------------------

    @property
    def transport(self) -> Link:
        """For `Connection`: the request's transport."""
        return self

    @property
    def writer(self) -> Link:
        """For `Connection`: the request's writer."""
        return self

    async def receive(self) -> Frame:
        """The next frame from the client."""
        if not self._inbox:
            self._reader = self._loop.create_future()
            return await self._reader
        return self._inbox.popleft()

    def post(self, data: bytes, kind: WSMsgType = WSMsgType.TEXT) -> int:
        """The node sends a frame."""
        assert kind is WSMsgType.TEXT, "no client here sends pings of RFC 6455"
        if not self._server_open:
            raise ConnectionResetError("the socket is closed")
        text = data.decode()
        frame = json.loads(text)
        self._sky.trace(self.name, "<", _brief(frame))
        self.wire.posted(frame, text, self._sky.now())
        self._post(frame, len(data))
        return len(data)

    async def close(self, *, code: int, message: bytes) -> None:
        """The node closes: what was sent before arrives first."""
        if self._server_open:
            self._sky.trace(self.name, "< close", code, message.decode())
            self._server_open = False
            self._post({"type": "close", "code": code}, 4)
            self._feed(Frame(WSMsgType.CLOSING))
        await asyncio.sleep(0.01)

    def set_write_buffer_limits(self, high: int) -> None:
        """For `Outbox`: it asks for the size itself."""
        self._high = high

    def get_write_buffer_size(self) -> int:
        """Bytes that the client has not taken."""
        return self._unsent

    def is_closing(self) -> bool:
        """Whether the node's end is closed."""
        return not self._server_open

    def abort(self) -> None:
        """What a stalled client has not taken is lost."""
        self._held.clear()
        if self.is_stalled:
            self.cut(0.0, 0.0)

    async def drain(self) -> None:
        """Waits until the client has taken enough."""
        while self._unsent > self._high:
            if not self._server_open:
                raise ConnectionResetError("the socket is closed")
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)

    def _post(self, frame: dict[str, Any], size: int) -> None:
        self._unsent += size
        self._down_at = max(self._down_at, self._loop.time() + self._sky.latency())
        self._sky.at(self._down_at, self._arrive_at_client, frame, size)

    def _feed(self, frame: Frame) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(frame)
        else:
            self._inbox.append(frame)


def _brief(frame: dict[str, Any]) -> str:
    """What a trace says of a frame: nothing that differs between two runs of one seed."""
    names = ("request_id", "seq", "status", "attempt", "version", "reply_to", "duplicate")
    parts = [str(frame["type"]), *(f"{name}={frame[name]}" for name in names if name in frame)]
    if "error" in frame:
        parts.append(frame["error"]["code"])
    if frame["type"] == "snapshot":
        request = frame["request"]
        parts.append(f"{request['status']} last_seq={request['last_seq']}")
    return " ".join(parts)
