# SPDX-License-Identifier: Apache-2.0
"""Verifies tokens: JWTs (RFC 7519) signed as compact JWS (RFC 7515)."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from longcall_server.auth.claims import TokenRules, read_claims, strict_object
from longcall_server.auth.errors import AuthError, AuthFailure
from longcall_server.auth.keys import MAX_KEY_ID, Algorithm
from longcall_server.auth.principal import Principal
from longcall_server.auth.ring import KeyRing

MAX_TOKEN_CHARS: Final = 16_384
MAX_HEADER_CHARS: Final = 8_192

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Parts:
    """A token taken apart, as far as that goes without a key."""

    algorithm: Algorithm
    kid: str | None
    signed: bytes
    payload: bytes
    signature: bytes


class Authenticator:
    """Verifies tokens with the keys of a ring.

    `algorithms` narrows what the keys allow (PROTOCOL 3.1.7). `clock` gives ms since the epoch.
    """

    def __init__(
        self,
        ring: KeyRing,
        rules: TokenRules | None = None,
        *,
        algorithms: Iterable[Algorithm] | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._ring = ring
        self._rules = rules or TokenRules()
        allowed = ring.algorithms if algorithms is None else frozenset(algorithms)
        self._algorithms = {algorithm.value: algorithm for algorithm in allowed}
        self._clock = clock

    async def verify(self, token: str) -> Principal:
        """Returns who presents the token; raises `AuthError`, or `KeysUnavailable`."""
        parts = self._parts(token)
        failure = self._try_keys(parts)
        if failure is not None and self._ring.may_bring(parts.algorithm, parts.kid):
            # What is wrong whatever its key is, an old token above all, is worth no fetch.
            self._read(parts)
            if await self._ring.renew(parts.kid):
                failure = self._try_keys(parts)
                if failure is not None:
                    self._ring.missed(parts.kid)
        if failure is not None:
            raise AuthError(failure)
        return self._read(parts)

    @property
    def is_ready(self) -> bool:
        """Whether any key is there: those of a URL may still have to come."""
        return self._ring.has_keys

    async def start(self) -> None:
        """Begins to keep the keys new; waits for nothing."""
        await self._ring.start()

    async def close(self) -> None:
        """Ends that."""
        await self._ring.close()

    def _try_keys(self, parts: _Parts) -> AuthFailure | None:
        keys = self._ring.find(parts.algorithm, parts.kid)
        if any(key.verify(parts.signed, parts.signature) for key in keys):
            return None
        return AuthFailure.SIGNATURE if keys else AuthFailure.KEY

    def _read(self, parts: _Parts) -> Principal:
        return read_claims(parts.payload, self._rules, self._clock())

    def _parts(self, token: str) -> _Parts:
        match = _COMPACT.fullmatch(token) if len(token) <= MAX_TOKEN_CHARS else None
        if match is None or len(match[1]) > MAX_HEADER_CHARS:
            raise AuthError(AuthFailure.MALFORMED)
        header = strict_object(_decoded(match[1]))
        name = header.get("alg")
        algorithm = self._algorithms.get(name) if isinstance(name, str) else None
        if algorithm is None:
            raise AuthError(AuthFailure.ALGORITHM)
        # RFC 7515, 4.1.11: what is critical must be understood, and nothing of it is here.
        # RFC 7797: a payload that is not encoded would be another one than what was signed.
        if "crit" in header or header.get("b64", True) is not True:
            raise AuthError(AuthFailure.MALFORMED)
        kid = header.get("kid")
        if kid is not None and not (isinstance(kid, str) and len(kid) <= MAX_KEY_ID):
            raise AuthError(AuthFailure.MALFORMED)
        signed = token[: match.end(2)].encode()
        return _Parts(algorithm, kid, signed, _decoded(match[2]), _decoded(match[3]))


def _decoded(segment: str) -> bytes:
    """Base64url without padding, in its one right form: no two tokens are the same token."""
    try:
        data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise AuthError(AuthFailure.MALFORMED) from None
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != segment:
        raise AuthError(AuthFailure.MALFORMED)
    return data
