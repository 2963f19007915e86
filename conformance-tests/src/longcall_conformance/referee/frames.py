# SPDX-License-Identifier: Apache-2.0
"""The frames of RFC 6455 by hand, so that a case can also send what no library would."""

from __future__ import annotations

import asyncio
import os
import struct
from dataclasses import dataclass
from enum import IntEnum

MAX_FRAME = 64 * 1024 * 1024


class Opcode(IntEnum):
    """What a frame carries."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class LengthForm(IntEnum):
    """How the length of a payload is written: in 7 bits, or in 16 or 64 behind them."""

    SHORT = 7
    MEDIUM = 16
    LONG = 64

    @classmethod
    def shortest(cls, size: int) -> LengthForm:
        """The only form that RFC 6455 5.2 allows for a payload of this size."""
        return cls.SHORT if size < 126 else cls.MEDIUM if size < 65_536 else cls.LONG


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it was read."""

    opcode: int
    payload: bytes
    """Unmasked."""
    fin: bool = True
    rsv: int = 0
    """The three reserved bits: RSV1 is 4."""
    key: bytes | None = None
    """The masking key; None of a frame that is not masked."""
    form: LengthForm = LengthForm.SHORT

    @property
    def is_control(self) -> bool:
        """Whether it is a close, ping or pong, or a control frame of a later version."""
        return self.opcode >= Opcode.CLOSE

    @property
    def wire(self) -> bytes:
        """The bytes that it was read from."""
        return build(
            self.opcode, self.payload, key=self.key, fin=self.fin, rsv=self.rsv, form=self.form
        )

    def close_code(self) -> int:
        """The code of a close frame; 1005 where it carries none."""
        return int(struct.unpack("!H", self.payload[:2])[0]) if len(self.payload) >= 2 else 1005

    def close_reason(self) -> str:
        """The reason of a close frame."""
        return self.payload[2:].decode("utf-8", "replace")

    def defect(self, *, masked: bool) -> str | None:
        """What breaks RFC 6455 in this frame alone, from a peer that must mask, or must not."""
        if (self.key is not None) is not masked:
            return "a frame that is not masked" if masked else "a masked frame"
        if self.rsv:
            return f"reserved bits {self.rsv:03b}"
        if self.opcode not in Opcode.__members__.values():
            return f"a frame of opcode {self.opcode}"
        if self.form is not LengthForm.shortest(len(self.payload)):
            return f"the length {len(self.payload)} in {self.form.value} bits"
        if self.is_control and (not self.fin or len(self.payload) > 125):
            return f"a control frame of {len(self.payload)} bytes, fin={self.fin}"
        return self._close_defect() if self.opcode == Opcode.CLOSE else None

    def _close_defect(self) -> str | None:
        if len(self.payload) == 1:
            return "a close frame with half a code"
        if self.payload and not is_sendable(self.close_code()):
            return f"a close frame with {self.close_code()}"
        try:
            self.payload[2:].decode()
        except UnicodeDecodeError:
            return f"a close reason that is not UTF-8: {self.payload[2:]!r}"
        return None


class IncompleteFrame(asyncio.IncompleteReadError):
    """The stream ended within a frame; `partial` is what came of it."""


def is_sendable(code: int) -> bool:
    """Whether RFC 6455 7.4 and the IANA registry let a close frame carry this code."""
    return (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999


def encode(opcode: int, payload: bytes, *, mask: bool, fin: bool = True) -> bytes:
    """Returns the bytes of one frame. A client masks, a server does not (RFC 6455 5.3)."""
    return build(opcode, payload, key=os.urandom(4) if mask else None, fin=fin)


def build(
    opcode: int,
    payload: bytes,
    *,
    key: bytes | None,
    fin: bool = True,
    rsv: int = 0,
    form: LengthForm | None = None,
    says: int | None = None,
) -> bytes:
    """Returns the bytes of one frame, be it legal or not.

    `form` forces how the length is written (default: the shortest), `says` makes it lie: the number
    that stands there instead of the payload's size. Raises `ValueError` where the number does not
    fit the form.
    """
    size = len(payload) if says is None else says
    form = LengthForm.shortest(size) if form is None else form
    flag = 0 if key is None else 0x80
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    try:
        if form is LengthForm.SHORT:
            if size > 125:
                raise OverflowError
            head += bytes([flag | size])
        elif form is LengthForm.MEDIUM:
            head += bytes([flag | 126]) + size.to_bytes(2, "big")
        else:
            head += bytes([flag | 127]) + size.to_bytes(8, "big")
    except OverflowError:
        raise ValueError(f"a length of {size} does not fit {form.value} bits") from None
    return head + payload if key is None else head + key + _mask(payload, key)


def _mask(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    stretched = (key * (size // 4 + 1))[:size]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(stretched, "big")
    return mixed.to_bytes(size, "big")


def close_payload(code: int, reason: str = "") -> bytes:
    """Returns the payload of a close frame."""
    return struct.pack("!H", code) + reason.encode()


async def read_frame(reader: asyncio.StreamReader, *, limit: int = MAX_FRAME) -> Frame:
    """Reads one frame.

    Raises `IncompleteFrame` when the stream ends instead, `ValueError` for a payload over `limit`.
    """
    read = b""
    try:
        read = await reader.readexactly(2)
        first, second = read
        size, form = second & 0x7F, LengthForm.SHORT
        if size > 125:
            form = LengthForm.MEDIUM if size == 126 else LengthForm.LONG
            longer = await reader.readexactly(form // 8)
            read += longer
            size = int.from_bytes(longer, "big")
        if size > limit:
            raise ValueError(f"a frame of {size} bytes")
        key = await reader.readexactly(4) if second & 0x80 else None
        read += key or b""
        payload = await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        raise IncompleteFrame(read + error.partial, None) from None
    return Frame(
        first & 0x0F,
        payload if key is None else _mask(payload, key),
        fin=bool(first & 0x80),
        rsv=first >> 4 & 7,
        key=key,
        form=form,
    )
