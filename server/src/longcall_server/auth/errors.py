# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a token or a key. No text here holds anything of either."""

from __future__ import annotations

from enum import StrEnum


class AuthFailure(StrEnum):
    """Why a token is refused. The texts are fixed: none holds anything of a token."""

    MALFORMED = "the token is malformed"
    ALGORITHM = "the token's algorithm is not accepted"
    KEY = "the token names a key that is not known"
    SIGNATURE = "the token's signature is wrong"
    EXPIRED = "the token has expired"
    NOT_YET_VALID = "the token is not valid yet"
    ISSUER = "the token is from another issuer"
    AUDIENCE = "the token is for another audience"
    CLAIMS = "the token lacks a claim or has a bad one"


class AuthError(Exception):
    """A token was refused."""

    def __init__(self, reason: AuthFailure, claim: str | None = None) -> None:
        self.reason = reason
        self.claim = claim
        """The name of the claim, with `CLAIMS`."""
        super().__init__(reason.value if claim is None else f"{reason.value}: {claim}")


class KeysUnavailable(Exception):
    """Whether a token is good cannot be known: its key cannot be fetched (PROTOCOL 3.1.11)."""

    def __init__(self) -> None:
        super().__init__("the keys of tokens cannot be fetched right now")


class KeyProblem(Exception):
    """A key, or a document of keys, cannot be used; the text says why."""
