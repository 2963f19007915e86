# SPDX-License-Identifier: Apache-2.0
"""What a token whose signature is right says, checked (PROTOCOL 3.1)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from longcall_server.auth.errors import AuthError, AuthFailure
from longcall_server.auth.principal import Principal, principal_id
from longcall_server.config import Settings, milliseconds
from longcall_server.stores.base import Owner

MAX_LEEWAY_MS: Final = 60_000
_LAST_MS: Final = 253_402_300_799_000
"""The end of the year 9999: no time on the wire is later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """What a token must say."""

    issuers: Sequence[str] = ()
    """What `iss` may be; none: not checked."""
    audiences: Sequence[str] = ()
    """What `aud` must be or contain one of; none: not checked."""
    leeway_ms: int = 0
    """How far the issuer's clock may be off, at most 60 s (PROTOCOL 3.1.10)."""
    tenant_claim: str = "tenant_id"
    """Which claim names the tenant (PROTOCOL 3.1.12)."""
    required_claims: Sequence[str] = ()
    """Which others must be there and not null."""
    permissions: frozenset[str] = frozenset()
    """What everybody may who has a good token (PROTOCOL 3.5.4)."""

    @classmethod
    def of_settings(cls, settings: Settings) -> Self:
        """As an operator has set them."""
        return cls(
            issuers=settings.jwt_issuer,
            audiences=settings.jwt_audience,
            leeway_ms=milliseconds(settings.jwt_leeway),
            tenant_claim=settings.jwt_tenant_claim,
            required_claims=settings.jwt_required_claims,
            permissions=frozenset(settings.jwt_permissions),
        )

    def __post_init__(self) -> None:
        if not 0 <= self.leeway_ms <= MAX_LEEWAY_MS:
            raise ValueError(f"the leeway must be from 0 to {MAX_LEEWAY_MS} ms")


def strict_object(text: bytes) -> dict[str, Any]:
    """A JSON object without equal keys, `NaN` and the like; raises `AuthError` for another text."""
    try:
        # Decoded here: `json` would guess the encoding of bytes.
        written = text.decode()
        value = json.loads(written, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise AuthError(AuthFailure.MALFORMED) from None
    if not isinstance(value, dict):
        raise AuthError(AuthFailure.MALFORMED)
    return value


def read_claims(payload: bytes, rules: TokenRules, now: int) -> Principal:
    """Checks the claims of a token at `now`, in ms since the epoch; raises `AuthError`."""
    claims = strict_object(payload)
    for name in ("exp", "sub", rules.tenant_claim, *rules.required_claims):
        if claims.get(name) is None:
            raise AuthError(AuthFailure.CLAIMS, name)
    expires_at = min(_time(claims, "exp") + rules.leeway_ms, _LAST_MS)
    if expires_at <= now:
        raise AuthError(AuthFailure.EXPIRED)
    if "nbf" in claims and _time(claims, "nbf") > now + rules.leeway_ms:
        raise AuthError(AuthFailure.NOT_YET_VALID)
    # `iat` is not looked at: an issuer whose clock is a little ahead harms nobody.
    if rules.issuers:
        _check_issuer(claims, rules.issuers)
    if rules.audiences:
        _check_audience(claims, rules.audiences)
    owner = Owner(tenant_id=_text(claims, rules.tenant_claim), sub=_text(claims, "sub"))
    return Principal(
        owner=owner,
        permissions=_permissions(claims) | rules.permissions,
        expires_at=expires_at,
        principal_id=principal_id(owner),
    )


def _time(claims: Mapping[str, Any], name: str) -> int:
    """A NumericDate (RFC 7519) in ms; no text and no truth value, whatever would read as one."""
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AuthError(AuthFailure.CLAIMS, name)
    try:
        if not math.isfinite(value):
            raise OverflowError
        # The year 9999 is as good as any later one, and its milliseconds are exact.
        return int(min(value, _LAST_MS / 1000) * 1000)
    except OverflowError:
        raise AuthError(AuthFailure.CLAIMS, name) from None


def _check_issuer(claims: Mapping[str, Any], issuers: Sequence[str]) -> None:
    issuer = claims.get("iss")
    if issuer is None:
        raise AuthError(AuthFailure.CLAIMS, "iss")
    if not isinstance(issuer, str) or issuer not in issuers:
        raise AuthError(AuthFailure.ISSUER)


def _check_audience(claims: Mapping[str, Any], audiences: Sequence[str]) -> None:
    audience = claims.get("aud")
    if audience is None:
        raise AuthError(AuthFailure.CLAIMS, "aud")
    values = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(value, str) for value in values):
        raise AuthError(AuthFailure.CLAIMS, "aud")
    if not any(value in audiences for value in values):
        raise AuthError(AuthFailure.AUDIENCE)


def _text(claims: Mapping[str, Any], claim: str) -> str:
    value = claims[claim]
    if not isinstance(value, str) or not value or not _is_unicode(value):
        raise AuthError(AuthFailure.CLAIMS, claim)
    return value


def _permissions(claims: Mapping[str, Any]) -> frozenset[str]:
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


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("equal keys")
    return value


def _refuse(_: str) -> object:
    raise ValueError("not JSON")
