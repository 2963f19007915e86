# SPDX-License-Identifier: Apache-2.0
"""What `corrupt` makes of a frame."""

from __future__ import annotations

import random
from dataclasses import replace

from ..frames import Frame, build


def corrupt(frame: Frame, what: str, chance: random.Random) -> bytes:
    """The bytes of a frame that is damaged in one way; an empty one gets a reserved bit instead."""
    payload = frame.payload
    match what if payload else "rsv" if what in ("payload", "utf8", "json") else what:
        case "payload":
            place = chance.randrange(len(payload))
            byte = payload[place] ^ chance.randrange(1, 256)
            return replace(frame, payload=_with(payload, place, byte)).wire
        case "utf8":
            return replace(frame, payload=_with(payload, chance.randrange(len(payload)), 0xFF)).wire
        case "json":
            return replace(frame, payload=payload[:-1] + b" ").wire
        case "opcode":
            return replace(frame, opcode=3).wire
        case "mask":
            return replace(frame, key=chance.randbytes(4) if frame.key is None else None).wire
        case "length":
            return build(
                frame.opcode,
                payload,
                key=frame.key,
                fin=frame.fin,
                rsv=frame.rsv,
                says=len(payload) + 1,
            )
        case _:
            return replace(frame, rsv=frame.rsv ^ 4).wire


def _with(payload: bytes, place: int, byte: int) -> bytes:
    return payload[:place] + bytes([byte]) + payload[place + 1 :]
