# SPDX-License-Identifier: Apache-2.0
"""Cursors of listings: a place that only fits the owner and filter it was made for.

A cursor holds no secret and grants nothing: the listing is always of the asking owner. Its digest
keeps honest clients from carrying a place into another listing (PROTOCOL 10.47).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json

from longcall_server.stores.base import BadCursor, ListFilter

_DIGEST_BYTES = 12


def encode_cursor(where: ListFilter, created_at: int, id: str) -> str:
    """Returns the cursor that continues a listing after this request."""
    place = json.dumps([created_at, id], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_digest(where, place) + place).rstrip(b"=").decode()


def decode_cursor(where: ListFilter, cursor: str) -> tuple[int, str]:
    """Returns (created_at, id) of the last request shown; raises `BadCursor`."""
    try:
        padding = "=" * (-len(cursor) % 4)
        raw = base64.b64decode(cursor.encode("ascii") + padding.encode(), b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise BadCursor("the cursor is not one that a listing gave") from None
    digest, place = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
    if digest != _digest(where, place):
        raise BadCursor("the cursor belongs to another listing")
    created_at, id = json.loads(place)
    return int(created_at), str(id)


def _digest(where: ListFilter, place: bytes) -> bytes:
    listing = [where.owner.tenant_id, where.owner.sub, sorted(set(where.statuses)), where.action]
    return hashlib.sha256(json.dumps(listing).encode() + b"\0" + place).digest()[:_DIGEST_BYTES]
