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

from longcall_server.auth.claims import TokenRules
from longcall_server.auth.errors import KeyProblem
from longcall_server.auth.files import KeyFile, secrets_file
from longcall_server.auth.keys import Algorithm, Key, public_key, secret_key, thumbprint
from longcall_server.config import Settings, SettingsError, variable_name

_NO_SECRET = """\
there is nothing to sign with: set LONGCALL_JWT_SECRET or LONGCALL_JWT_SECRET_FILE, or give a
private key with --key FILE (openssl genpkey -algorithm ed25519 -out FILE makes one)"""

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

    @classmethod
    def of_settings(cls, settings: Settings) -> Self:
        """The shared secret that is set, of a file the first; raises `SettingsError` without one,
        and for one that is none."""
        name = "jwt_secret" if settings.jwt_secret is not None else "jwt_secret_file"
        try:
            if settings.jwt_secret is not None:
                return cls.of_secret(settings.jwt_secret.get_secret_value().encode())
            if settings.jwt_secret_file is None:
                raise SettingsError(_NO_SECRET)
            key = KeyFile(settings.jwt_secret_file, secrets_file).keys[0]
        except KeyProblem as problem:
            raise SettingsError(f"{variable_name(name)}: {problem}") from None
        assert isinstance(key.material, bytes)
        return cls(key, key.material)

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
    rules: TokenRules | None = None,
) -> str:
    """Makes a token that is good for `ttl_s` seconds where the key is known and the rules hold.

    `iss` and `aud` are the first that the rules name.
    """
    rules = rules or TokenRules()
    now = time.time() if now_s is None else now_s
    claims: dict[str, Any] = {
        "sub": sub,
        rules.tenant_claim: tenant_id,
        "permissions": list(permissions),
        "iat": int(now),
        "exp": int(now + ttl_s),
    }
    if rules.issuers:
        claims["iss"] = rules.issuers[0]
    if rules.audiences:
        claims["aud"] = rules.audiences[0]
    return key.sign(claims)
