# SPDX-License-Identifier: Apache-2.0
"""Compression of what is sent (permessage-deflate, RFC 7692), each message for itself.

A compressor that remembers what it sent before costs 256 KiB a connection, and lets who can make a
connection send chosen text beside a secret learn the secret by lengths. One that forgets can
serve all connections, and needs no word in the handshake: a receiver cannot tell.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

LEAST_BYTES: Final = 128
"""Shorter messages do not get shorter."""

_TAIL: Final = b"\x00\x00\xff\xff"
_FIN_TEXT: Final = 0x81
_RSV1: Final = 0x40


class Deflater:
    """Compresses messages of any number of connections, one at a time."""

    def __init__(self, level: int = zlib.Z_BEST_SPEED) -> None:
        self._level = level
        self._compressors: dict[int, Any] = {}

    def deflate(self, data: bytes, window_bits: int) -> bytes | None:
        """The payload of a compressed message; None if it would not be shorter.

        `window_bits`, from 9 to 15, is what the handshake has agreed on.
        """
        if len(data) < LEAST_BYTES:
            return None
        compressor = self._compressors.get(window_bits)
        if compressor is None:
            compressor = zlib.compressobj(self._level, zlib.DEFLATED, -window_bits)
            self._compressors[window_bits] = compressor
        # A full flush forgets all that was compressed.
        out = compressor.compress(data) + compressor.flush(zlib.Z_FULL_FLUSH)
        payload: bytes = out.removesuffix(_TAIL)
        return payload if len(payload) < len(data) else None


def head_bytes(size: int) -> int:
    """How many bytes stand before the payload of an unmasked frame."""
    return 2 if size < 126 else 4 if size < 65_536 else 10


def text_frame(payload: bytes, *, compressed: bool = False) -> bytes:
    """One unmasked frame that is a whole text message."""
    first = _FIN_TEXT | _RSV1 if compressed else _FIN_TEXT
    size = len(payload)
    match head_bytes(size):
        case 2:
            head = bytes((first, size))
        case 4:
            head = bytes((first, 126)) + size.to_bytes(2, "big")
        case _:
            head = bytes((first, 127)) + size.to_bytes(8, "big")
    return head + payload
