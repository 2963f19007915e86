# SPDX-License-Identifier: Apache-2.0
"""What RFC 6455 forbids in the frames of a client and aiohttp lets pass (PROTOCOL 2.2.4).

A frame that is not masked (5.1), a length in more bytes than it needs or beyond 63 bits (5.2),
reserved bits of a control frame (5.2), and a message that begins within another one (5.4): aiohttp
misses that where the first one is still empty. Everything else is left to aiohttp's reader.
"""

from __future__ import annotations

from typing import Any

from aiohttp import WebSocketError, WSCloseCode

_CONTINUATION = 0
_FIRST_CONTROL = 8


class Framing:
    """Reads the heads of frames out of a stream of bytes; the bytes themselves are not kept."""

    def __init__(self) -> None:
        self._head = bytearray()
        """Of a frame whose head has not come as a whole: its bytes up to the masking key."""
        self._left = 0
        """Bytes of the current frame behind those."""
        self._is_in_message = False

    def take(self, data: bytes) -> tuple[int, str | None]:
        """Looks at the next bytes; returns how many of them are fine, and what is wrong then.

        The bytes are fine up to the head that is not; where that began in an earlier call, none is.
        """
        position, size = 0, len(data)
        if size == self._whole_message(data):
            return size, None
        while True:
            if self._left:
                skipped = min(self._left, size - position)
                self._left -= skipped
                position += skipped
            start = position
            while (missing := self._missing()) > 0:
                if position == size:
                    return size, None
                self._head += data[position : position + missing]
                position = min(position + missing, size)
            defect = self._defect()
            if defect is not None:
                return start, defect
            self._begin()

    def _whole_message(self, data: bytes) -> int:
        """The size of the one message that the bytes begin with; 0 of what needs a closer look.

        Most reads of a socket bring one short message: they cost a fifth of the closer look.
        """
        if self._left or self._head or self._is_in_message or data[:1] != b"\x81" or len(data) < 6:
            return 0
        length = data[1]
        if 0x80 <= length < 0x80 | 126:
            return length - 0x80 + 6
        if length == 0x80 | 126:
            size = data[2] << 8 | data[3]
            return size + 8 if size > 125 else 0
        return 0

    def _missing(self) -> int:
        """How many bytes the head still lacks, as far as can be told."""
        if len(self._head) < 2:
            return 2 - len(self._head)
        length = self._head[1] & 0x7F
        whole = 4 if length == 126 else 10 if length == 127 else 2
        return whole - len(self._head)

    def _size(self) -> int:
        length = self._head[1] & 0x7F
        return length if length < 126 else int.from_bytes(self._head[2:], "big")

    def _defect(self) -> str | None:
        first, second = self._head[0], self._head[1]
        opcode, length, size = first & 0x0F, second & 0x7F, self._size()
        if not second & 0x80:
            return "A frame of a client is masked."
        if size >> 63:
            return "A length has 63 bits."
        if (length == 126 and size < 126) or (length == 127 and size < 65_536):
            return "A length is written in as few bytes as it needs."
        if opcode >= _FIRST_CONTROL:
            return "A control frame has no reserved bits." if first & 0x70 else None
        if opcode != _CONTINUATION and self._is_in_message:
            return "A message begins within another one."
        return None

    def _begin(self) -> None:
        first = self._head[0]
        if first & 0x0F < _FIRST_CONTROL:
            self._is_in_message = not first & 0x80
        self._left = 4 + self._size()
        self._head.clear()


class GuardedReader:
    """Stands before aiohttp's reader of one connection and hands on what is fine."""

    def __init__(self, reader: Any, queue: Any) -> None:
        self._reader = reader
        self._queue = queue
        self._framing = Framing()
        self._is_over = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Takes bytes of the socket; (True, …) when the connection broke the rules."""
        if self._is_over:
            return True, b""
        fine, defect = self._framing.take(data)
        is_over: bool
        is_over, _ = self._reader.feed_data(data if defect is None else data[:fine])
        if defect is not None and not is_over:
            self._queue.set_exception(WebSocketError(WSCloseCode.PROTOCOL_ERROR, defect))
        self._is_over = is_over or defect is not None
        return self._is_over, b""

    def feed_eof(self) -> None:
        """The peer has ended the stream."""
        self._reader.feed_eof()
