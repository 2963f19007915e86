# SPDX-License-Identifier: Apache-2.0
"""A token to who is asking (PROTOCOL 3).

Exception
└── AuthError    the token is refused; says why, never shows any of it
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

import jwt
from jwt.exceptions import InvalidSubjectError

from longcall_server.stores.base import Owner

MIN_SECRET_BYTES: Final = 32
MAX_LEEWAY_MS: Final = 60_000
READ_TENANT: Final = "requests:read:tenant"

_ALGORITHMS: Final = ("HS256",)
_REQUEST: Final = "request:"
_LAST_SECOND: Final = 253_402_300_799
"""The end of the year 9999: no time on the wire is later."""


class AuthFailure(StrEnum):
    """Why a token is refused. The texts are fixed: none holds anything of a token."""

    MALFORMED = "the token is malformed"
    ALGORITHM = "the token's algorithm is not accepted"
    SIGNATURE = "the token's signature is wrong"
    EXPIRED = "the token has expired"
    NOT_YET_VALID = "the token is not valid yet"
    ISSUER = "the token is from another issuer"
    AUDIENCE = "the token is for another audience"
    CLAIMS = "the token lacks a claim or has a bad one"


_REASONS: Final = {
    jwt.InvalidSignatureError: AuthFailure.SIGNATURE,
    jwt.InvalidAlgorithmError: AuthFailure.ALGORITHM,
    jwt.ExpiredSignatureError: AuthFailure.EXPIRED,
    jwt.ImmatureSignatureError: AuthFailure.NOT_YET_VALID,
    jwt.InvalidIssuerError: AuthFailure.ISSUER,
    jwt.InvalidAudienceError: AuthFailure.AUDIENCE,
}


class AuthError(Exception):
    """A token was refused."""

    def __init__(self, reason: AuthFailure, claim: str | None = None) -> None:
        self.reason = reason
        self.claim = claim
        """The name of the claim, with `CLAIMS`."""
        super().__init__(reason.value if claim is None else f"{reason.value}: {claim}")


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """How tokens are verified: HS256 alone, fixed here and never taken from a token."""

    secret: bytes = field(repr=False)
    """The shared key, 32 bytes or more."""
    issuer: str | None = None
    """What `iss` must be; None: not checked."""
    audience: str | None = None
    """What `aud` must be or contain; None: not checked."""
    leeway_ms: int = 0
    """How far the issuer's clock may be off, at most 60 s (PROTOCOL 3.1.10)."""

    def __post_init__(self) -> None:
        if len(self.secret) < MIN_SECRET_BYTES:
            raise ValueError(f"the secret must have at least {MIN_SECRET_BYTES} bytes")
        if not 0 <= self.leeway_ms <= MAX_LEEWAY_MS:
            raise ValueError(f"the leeway must be from 0 to {MAX_LEEWAY_MS} ms")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking, and what they may do."""

    owner: Owner
    permissions: frozenset[str]
    expires_at: int
    """When the server stops accepting the token: `exp` with the leeway (PROTOCOL 3.6.4)."""
    principal_id: str
    """The opaque name of the owner (PROTOCOL 10.40)."""

    def may_request(self, action: str) -> bool:
        """Whether a `request:` permission matches the action (PROTOCOL 3.5.1, 3.5.2)."""
        return any(
            _glob(permission.removeprefix(_REQUEST)).fullmatch(action) is not None
            for permission in self.permissions
            if permission.startswith(_REQUEST)
        )

    def may_list(self, sub: str) -> bool:
        """Whether the requests of this subject of the tenant may be listed (PROTOCOL 3.4.4)."""
        return sub == self.owner.sub or READ_TENANT in self.permissions


class Authenticator:
    """Verifies tokens."""

    def __init__(self, settings: AuthSettings) -> None:
        self._settings = settings
        self._leeway = settings.leeway_ms / 1000
        self._options: Any = {
            "require": ["exp", "sub", "tenant_id"],
            "verify_aud": settings.audience is not None,
            # Not asked for by the protocol: a clock that is a little ahead harms nobody.
            "verify_iat": False,
            "verify_jti": False,
        }

    def verify(self, token: str) -> Principal:
        """Returns who presents the token; raises `AuthError`."""
        settings = self._settings
        try:
            claims = jwt.decode(
                token,
                settings.secret,
                algorithms=_ALGORITHMS,
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=self._leeway,
                options=self._options,
            )
        except jwt.PyJWTError as error:
            raise _failure(error) from None
        except (ValueError, TypeError, RecursionError):
            # What a decoder below PyJWT says of bytes that are no token.
            raise AuthError(AuthFailure.MALFORMED) from None
        owner = Owner(tenant_id=_text(claims, "tenant_id"), sub=_text(claims, "sub"))
        return Principal(
            owner=owner,
            permissions=_permissions(claims),
            expires_at=min(int(claims["exp"]), _LAST_SECOND) * 1000 + settings.leeway_ms,
            principal_id=principal_id(owner),
        )


def principal_id(owner: Owner) -> str:
    """An opaque name that stays the same for an owner, whatever key signs the tokens."""
    text = json.dumps([owner.tenant_id, owner.sub])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def create_token(
    settings: AuthSettings,
    *,
    sub: str,
    tenant_id: str,
    permissions: Sequence[str] = (),
    ttl_s: float = 3600,
    now_s: float | None = None,
) -> str:
    """Makes a token that `Authenticator(settings)` accepts for `ttl_s` seconds."""
    now = time.time() if now_s is None else now_s
    claims: dict[str, Any] = {
        "sub": sub,
        "tenant_id": tenant_id,
        "permissions": list(permissions),
        "iat": int(now),
        "exp": int(now + ttl_s),
    }
    if settings.issuer is not None:
        claims["iss"] = settings.issuer
    if settings.audience is not None:
        claims["aud"] = settings.audience
    return jwt.encode(claims, settings.secret, algorithm=_ALGORITHMS[0])


def _failure(error: jwt.PyJWTError) -> AuthError:
    if isinstance(error, jwt.MissingRequiredClaimError):
        return AuthError(AuthFailure.CLAIMS, error.claim)
    if isinstance(error, InvalidSubjectError):
        return AuthError(AuthFailure.CLAIMS, "sub")
    reasons = (reason for kind, reason in _REASONS.items() if isinstance(error, kind))
    return AuthError(next(reasons, AuthFailure.MALFORMED))


def _text(claims: dict[str, Any], claim: str) -> str:
    value = claims[claim]
    if not isinstance(value, str) or not value or not _is_unicode(value):
        raise AuthError(AuthFailure.CLAIMS, claim)
    return value


def _permissions(claims: dict[str, Any]) -> frozenset[str]:
    # PROTOCOL 3.1.3, 3.5.3: absent is none; anything but a list of strings is refused.
    value = claims.get("permissions", [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise AuthError(AuthFailure.CLAIMS, "permissions")
    return frozenset(value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@lru_cache(maxsize=1024)
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
