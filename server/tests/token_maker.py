# SPDX-License-Identifier: Apache-2.0
"""Keys of every kind and tokens of any form, and what an authenticator says of them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from longcall_server.auth import (
    Authenticator,
    AuthError,
    KeyRing,
    Principal,
    SigningKey,
    TokenRules,
)

NOW = 1_800_000_000_000
"""The time of every test that has no clock of its own, in ms."""

SECRET = SigningKey.of_secret(b"k" * 32)
RSA = SigningKey.of_private(rsa.generate_private_key(public_exponent=65537, key_size=2048))
EC = SigningKey.of_private(ec.generate_private_key(ec.SECP256R1()))
ED25519 = SigningKey.of_private(ed25519.Ed25519PrivateKey.generate())
KINDS = {"HS256": SECRET, "RS256": RSA, "ES256": EC, "EdDSA": ED25519}


def utc_ms() -> int:
    """The time, for what has no clock of its own."""
    return time.time_ns() // 1_000_000


def claims(now: int = NOW, **changes: Any) -> dict[str, Any]:
    """Those of a good token, with changes; `...` leaves one out."""
    values = {"sub": "ann", "tenant_id": "acme", "exp": now // 1000 + 60, **changes}
    return {name: value for name, value in values.items() if value is not ...}


def segment(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def token(key: SigningKey, payload: object, **header: Any) -> str:
    """Signs anything under any header; bytes are taken as they are, `...` leaves a member out."""
    fields = {"typ": "JWT", "alg": key.algorithm.value, "kid": key.public.kid or ..., **header}
    texts = ({name: value for name, value in fields.items() if value is not ...}, payload)
    signed = ".".join(
        segment(text if isinstance(text, bytes) else json.dumps(text).encode()) for text in texts
    )
    return f"{signed}.{segment(signature(key, signed.encode()))}"


def signature(key: SigningKey, signed: bytes) -> bytes:
    """What a key makes of these bytes."""
    return get_default_algorithms()[key.algorithm].sign(signed, key.material)


def pem(key: Any) -> str:
    """The public half."""
    public: Any = key.public.material if isinstance(key, SigningKey) else key
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    text: bytes = public.public_bytes(serialization.Encoding.PEM, form)
    return text.decode()


def private_pem(key: SigningKey, password: bytes | None = None) -> str:
    """The private half."""
    encryption = (
        serialization.NoEncryption()
        if password is None
        else serialization.BestAvailableEncryption(password)
    )
    private: Any = key.material
    text: bytes = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    return text.decode()


def rules(**fields: Any) -> TokenRules:
    return TokenRules(**fields)


def authenticator(*keys: SigningKey, rules: TokenRules | None = None) -> Authenticator:
    """One that knows these keys and lives at `NOW`."""
    return Authenticator(KeyRing(key.public for key in keys), rules, clock=lambda: NOW)


async def accepted(values: dict[str, Any], rules: TokenRules | None = None) -> Principal:
    """Who presents a rightly signed token of these claims."""
    return await authenticator(SECRET, rules=rules).verify(token(SECRET, values))


async def refused(verifier: Authenticator, text: str) -> AuthError:
    """Why a token is refused; what is said shows nothing of it."""
    with pytest.raises(AuthError) as caught:
        await verifier.verify(text)
    error = caught.value
    assert error.__suppress_context__ or error.__context__ is None
    for part in _parts(text):
        assert part not in str(error)
    return error


async def refused_claims(values: dict[str, Any], rules: TokenRules | None = None) -> AuthError:
    """Why a rightly signed token of these claims is refused."""
    return await refused(authenticator(SECRET, rules=rules), token(SECRET, values))


def _parts(text: str) -> Iterable[str]:
    return (part for part in text.split(".") if len(part) > 3)
