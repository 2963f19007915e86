# SPDX-License-Identifier: Apache-2.0
"""`longcall token decode`: what a token says of itself. It proves nothing; the server verifies."""

from __future__ import annotations

import base64
import binascii
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ..errors import ConfigurationError

TIMES = ("exp", "nbf", "iat", "auth_time")
"""Claims that are seconds since 1970."""


@dataclass(frozen=True)
class DecodedToken:
    """The two readable parts of a JWT. The signature is left out."""

    header: dict[str, Any]
    claims: dict[str, Any]

    def time(self, claim: str) -> datetime | None:
        """The time that a claim names; None where it is not there, or is none."""
        value = self.claims.get(claim)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        try:
            return datetime.fromtimestamp(value, UTC)
        except (OverflowError, ValueError, OSError):
            return None


def decode(token: str) -> DecodedToken:
    """Reads a JWT without verifying it.

    Raises:
        ConfigurationError: It is no JWT; says which part is not, and quotes nothing of it.
    """
    token = token.strip().removeprefix("Bearer ").strip()
    parts = token.split(".")
    if len(parts) == 5:
        raise ConfigurationError("this token is encrypted (JWE): only its receiver can read it")
    if len(parts) != 3:
        raise ConfigurationError(
            f"not a JWT: it has {len(parts)} part{'s' * (len(parts) != 1)} between dots, not 3"
        )
    return DecodedToken(_part(parts[0], "header"), _part(parts[1], "claims"))


def _part(text: str, name: str) -> dict[str, Any]:
    try:
        # The decoder would skip characters that are not of its alphabet.
        if not text.isascii() or set(text) & set("+/= \n\t"):
            raise binascii.Error("not its alphabet")
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ConfigurationError(f"not a JWT: its {name} is not base64url") from None
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise ConfigurationError(f"not a JWT: its {name} is not JSON") from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"not a JWT: its {name} is no JSON object")
    return value


def validity(token: DecodedToken, now: datetime) -> str:
    """Returns in words from when and until when the token says that it is valid."""
    starts, ends = token.time("nbf"), token.time("exp")
    if "exp" not in token.claims:
        return "never expires: longcall servers refuse a token without exp"
    if ends is None:
        return "exp is no time"
    at = f"({ends.astimezone():%Y-%m-%d %H:%M:%S %Z})"
    if ends <= now:
        return f"expired {words_for(now - ends)} ago {at}"
    if starts is not None and starts > now:
        return f"not valid before {words_for(starts - now)} from now; expires {at}"
    return f"expires in {words_for(ends - now)} {at}"


def words_for(span: timedelta) -> str:
    """Returns a span in its two largest units: `3 hours 12 minutes`."""
    rest = math.floor(span.total_seconds())
    if rest < 1:
        return "less than a second"
    words = []
    for unit, seconds in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        number, rest = divmod(rest, seconds)
        if number:
            words.append(f"{number} {unit}{'s' * (number != 1)}")
        if words and (len(words) == 2 or not number):
            break
    return " ".join(words)
