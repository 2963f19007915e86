# SPDX-License-Identifier: Apache-2.0
"""Settings of who is asking: how tokens are verified."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from longcall_server.config.durations import Duration, PositiveDuration
from longcall_server.config.names import Texts, split_list

MIN_SECRET_BYTES = 32
ADMIN = "admin"
"""The permission of operators (PROTOCOL 3.5)."""

Algorithms = Annotated[
    tuple[Literal["HS256", "RS256", "ES256", "EdDSA"], ...], NoDecode, BeforeValidator(split_list)
]


NO_TOKEN_KEY = """\
there is no key to verify tokens with. Set one or more of
  LONGCALL_JWT_SECRET           a shared secret, e.g. "$(openssl rand -hex 32)"
  LONGCALL_JWT_SECRET_FILE      a file of them, one a line
  LONGCALL_JWT_PUBLIC_KEY       a public key in PEM
  LONGCALL_JWT_PUBLIC_KEY_FILE  a file of them
  LONGCALL_JWKS_URL             where your identity provider publishes its keys
A token of a secret:  longcall-server token --sub you --tenant yours --permission 'request:*'
A secret and a token for one run:  longcall-server serve --dev"""


class IdentitySettings(BaseModel):
    """Keys, and what a token must say."""

    jwt_secret: SecretStr | None = Field(
        None, description="HS256 key of the tokens, 32 bytes or more; environment only, no default"
    )
    jwt_secret_file: Path | None = Field(
        None, description="file of HS256 keys, one a line; read again when it changes"
    )
    jwt_public_key: str | None = Field(
        None, description="public keys in PEM (RSA, EC P-256, Ed25519), one or more blocks"
    )
    jwt_public_key_file: Path | None = Field(
        None, description="file of public keys in PEM; read again when it changes"
    )
    jwks_url: str | None = Field(
        None, description="where the identity provider publishes its keys (a JWK Set)"
    )
    jwks_refresh: PositiveDuration = Field(
        timedelta(minutes=5),
        ge=timedelta(seconds=10),
        description="how often those keys are fetched; also when a token names a new one",
    )
    jwks_allow_http: bool = Field(
        False, description="whether that URL may be http:// to another machine"
    )
    jwt_algorithms: Algorithms = Field(
        (), description="accepted algorithms; none: what the keys allow"
    )
    jwt_issuer: Texts = Field(
        (), description="required `iss` of tokens, one of these; none: not checked"
    )
    jwt_audience: Texts = Field(
        (), description="required `aud` of tokens, one of these; none: not checked"
    )
    jwt_leeway: Duration = Field(
        timedelta(0),
        le=timedelta(seconds=60),
        description="how far the issuer's clock may be off, at most 60s",
    )
    jwt_tenant_claim: str = Field(
        "tenant_id", min_length=1, description="the claim that names the tenant"
    )
    jwt_required_claims: Texts = Field((), description="other claims that a token must have")
    jwt_permissions: Texts = Field(
        (), description="permissions that every good token has, e.g. request:*"
    )

    @property
    def has_token_key(self) -> bool:
        """Whether any key to verify tokens with is set."""
        keys = (self.jwt_secret, self.jwt_public_key, self.jwks_url)
        files = (self.jwt_secret_file, self.jwt_public_key_file)
        return any(value is not None for value in (*keys, *files))

    @field_validator("jwt_secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"a key of {MIN_SECRET_BYTES} bytes or more is needed")
        return secret

    @field_validator("jwt_permissions")
    @classmethod
    def _not_everybody_operates(cls, permissions: tuple[str, ...]) -> tuple[str, ...]:
        # PROTOCOL 3.5.7: that would make an operator of every user of every tenant.
        if ADMIN in permissions:
            raise ValueError(f"{ADMIN} is for operators: it stands in their tokens alone")
        return permissions
