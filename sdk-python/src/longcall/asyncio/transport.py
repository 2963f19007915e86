# SPDX-License-Identifier: Apache-2.0
"""One WebSocket, by the websockets library. Knows frames and close codes, and no message."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from ..options import Options
from .failures import OpenFailed

SUBPROTOCOL: Final = Subprotocol("longcall.v1")
FIRST_READ_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of a message until `welcome` tells the limit. The library fixes the limit of a frame before
it waits for it, so this one also holds for the first message after `welcome`."""
# The library logs whole frames at DEBUG, and the first one holds the token.
_LOGGER = logging.getLogger("longcall.websockets")
_LOGGER.setLevel(logging.INFO)


class Transport:
    """An open WebSocket. Sending never waits: what the socket does not take yet waits here.

    What waits is bounded by what the protocol lets out: its token bucket and its window.
    """

    def __init__(self, socket: ClientConnection, close_timeout: float) -> None:
        self._socket = socket
        self._close_timeout = close_timeout
        self._outbox: deque[str] = deque()
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    @classmethod
    async def open(cls, url: str, options: Options) -> Transport:
        """Opens a socket.

        Raises:
            OpenFailed: There is none, within `options.open_timeout`.
        """
        try:
            socket = await connect(
                url,
                subprotocols=[SUBPROTOCOL],
                additional_headers=dict(options.headers),
                compression="deflate" if options.compression else None,
                open_timeout=options.open_timeout,
                close_timeout=options.close_timeout,
                ping_interval=None,  # the protocol has its own heartbeat
                max_size=FIRST_READ_LIMIT,
                logger=_LOGGER,
            )
        except InvalidStatus as refused:
            response = refused.response
            raise OpenFailed(
                f"HTTP {response.status_code}",
                status=response.status_code,
                retry_after=_seconds(response.headers.get("Retry-After")),
            ) from None
        except (OSError, EOFError, WebSocketException, ValueError, ImportError) as error:
            # ImportError: a SOCKS proxy is configured, and its library is not there.
            raise OpenFailed(f"{type(error).__name__}: {error}") from None
        if socket.subprotocol != SUBPROTOCOL:  # PROTOCOL 2.1.5
            await socket.close(1002)
            raise OpenFailed(f"the server does not speak {SUBPROTOCOL}")
        return cls(socket, options.close_timeout)

    @property
    def fileno(self) -> int:
        """The number of the socket's file; -1 once it is closed."""
        number: int = self._socket.transport.get_extra_info("socket").fileno()
        return number

    def send(self, text: str) -> None:
        """Sends a text frame behind those that wait."""
        self._outbox.append(text)
        self._wake.set()

    def set_read_limit(self, max_bytes: int) -> None:
        """Lets messages over this size break the connection. PROTOCOL 6.5.3."""
        self._socket.protocol.max_message_size = max_bytes

    def close(self, code: int, reason: str) -> None:
        """Closes behind what waits, after a short closing handshake; `run` ends then."""
        self._closing = (code, reason)
        self._wake.set()
        # The writer may hang in a socket that takes nothing.
        self._deadline = asyncio.get_running_loop().call_later(self._close_timeout, self.abort)

    def abort(self) -> None:
        """Cuts the connection; `run` ends then."""
        self._outbox.clear()
        self._socket.transport.abort()

    async def run(self, take: Callable[[str | bytes], None]) -> tuple[int | None, str]:
        """Hands each message to `take` until the socket is closed.

        Returns the code and reason with which the *server* closed it; None without any.
        """
        writer = asyncio.create_task(self._write(), name="longcall writer")
        try:
            taken = 0
            while True:
                take(await self._socket.recv())
                taken += 1
                if taken % 64 == 0:
                    # Buffered messages come without a pause; those who wait for them need one.
                    await asyncio.sleep(0)
        except ConnectionClosed as closed:
            return _server_close(closed)
        finally:
            if self._deadline is not None:
                self._deadline.cancel()
            writer.cancel()
            await asyncio.wait([writer])
            self._socket.transport.abort()  # leaves nothing behind, whatever state it is in
            await self._socket.wait_closed()

    async def _write(self) -> None:
        try:
            while True:
                while self._outbox:
                    await self._socket.send(self._outbox.popleft())
                if self._closing is not None:
                    await self._socket.close(*self._closing)
                    return
                self._wake.clear()
                await self._wake.wait()
        except ConnectionClosed:
            pass  # run() sees it as well, and says why


def _server_close(closed: ConnectionClosed) -> tuple[int | None, str]:
    if closed.rcvd is None or (closed.sent is not None and not closed.rcvd_then_sent):
        # Lost, or closed from here (a message too big for instance): no word of the server.
        sent = closed.sent
        return None, sent.reason if sent is not None else "the connection was lost"
    return closed.rcvd.code, closed.rcvd.reason


def _seconds(retry_after: str | None) -> float | None:
    """Reads the seconds of a `Retry-After`; a date, which needs a clock, counts as absent."""
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else None
