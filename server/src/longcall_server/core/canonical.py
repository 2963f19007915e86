# SPDX-License-Identifier: Apache-2.0
"""Canonical JSON (RFC 8785) and the digest that tells the same request again (PROTOCOL 10.23)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import rfc8785


def canonical_json(value: Any) -> bytes:
    """The RFC 8785 form of a JSON value; raises `ValueError` for what is not I-JSON."""
    # Python's encoder differs from RFC 8785 in the form of floats, and in the order of keys
    # outside of the basic plane: where neither can occur it is the same, and four times as fast.
    text = json.dumps(
        value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False
    )
    if text.isascii() and "." not in text and "e-" not in text and "e+" not in text:
        return text.encode()
    return rfc8785.dumps(value)


def request_digest(action: str, payload: Any) -> str:
    """SHA-256 in hex over action and payload; an absent payload is null."""
    return hashlib.sha256(canonical_json([action, payload])).hexdigest()
