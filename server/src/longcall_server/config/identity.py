# SPDX-License-Identifier: Apache-2.0
"""Settings of who is asking: how tokens are verified."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr, field_validator

MIN_SECRET_BYTES = 32


class IdentitySettings(BaseModel):
    """Keys, and what a token must say."""

    jwt_secret: SecretStr | None = Field(
        None, description="HS256 key of the tokens, 32 bytes or more; environment only, no default"
    )
    jwt_issuer: str | None = Field(None, description="required `iss` of tokens; none: not checked")
    jwt_audience: str | None = Field(
        None, description="required `aud` of tokens; none: not checked"
    )

    @field_validator("jwt_secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"a key of {MIN_SECRET_BYTES} bytes or more is needed")
        return secret
