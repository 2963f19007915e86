# SPDX-License-Identifier: Apache-2.0
"""Makes tokens: for tests, for trials and for operators. An identity provider makes its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from longcall_server.auth.errors import KeyProblem
from longcall_server.auth.keys import Algorithm, Key, public_key, secret_key, thumbprint

PrivateKey: TypeAlias = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What signs tokens, and the key that verifies them."""

    public: Key
    """For HS256 the shared secret itself, which is not public."""
    material: bytes | PrivateKey = field(repr=False)

    @classmethod
    def of_secret(cls, secret: bytes, kid: str | None = None) -> Self:
        """A shared secret; raises `KeyProblem` if it is too short."""
        return cls(secret_key(secret, kid), secret)

    @classmethod
    def of_private(cls, material: object, kid: str | None = None) -> Self:
        """A private key, by default named by its RFC 7638 thumbprint; raises `KeyProblem`."""
        if not isinstance(material, PrivateKey):
            raise KeyProblem("a key must be RSA, EC on the curve P-256, or Ed25519")
        key = public_key(material.public_key())
        return cls(Key(key.algorithm, key.material, kid or thumbprint(key)), material)

    @classmethod
    def of_pem(cls, text: bytes, kid: str | None = None) -> Self:
        """A private key in PEM, not encrypted; raises `KeyProblem`."""
        try:
            material = load_pem_private_key(text, password=None)
        except TypeError:
            raise KeyProblem("the private key is encrypted") from None
        except (ValueError, UnsupportedAlgorithm):
            raise KeyProblem("this is not a private key in PEM") from None
        return cls.of_private(material, kid)

    @property
    def algorithm(self) -> Algorithm:
        """What it signs with."""
        return self.public.algorithm

    def sign(self, claims: dict[str, Any]) -> str:
        """A token of these claims."""
        headers = None if self.public.kid is None else {"kid": self.public.kid}
        return jwt.encode(claims, self.material, algorithm=self.algorithm.value, headers=headers)


def create_token(
    key: SigningKey,
    *,
    sub: str,
    tenant_id: str,
    permissions: Sequence[str] = (),
    ttl_s: float = 3600,
    now_s: float | None = None,
    issuer: str | None = None,
    audience: str | None = None,
    tenant_claim: str = "tenant_id",
) -> str:
    """Makes a token that is good for `ttl_s` seconds where the key is known."""
    now = time.time() if now_s is None else now_s
    claims: dict[str, Any] = {
        "sub": sub,
        tenant_claim: tenant_id,
        "permissions": list(permissions),
        "iat": int(now),
        "exp": int(now + ttl_s),
    }
    if issuer is not None:
        claims["iss"] = issuer
    if audience is not None:
        claims["aud"] = audience
    return key.sign(claims)
