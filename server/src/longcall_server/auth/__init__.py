# SPDX-License-Identifier: Apache-2.0
"""Who is asking: a token to a principal (PROTOCOL 3).

Authenticator     verifies tokens, with the keys of a KeyRing and by TokenRules
SigningKey        makes tokens, with `create_token`

Exception
├── AuthError         the token is refused; says why, never shows any of it
├── KeysUnavailable   whether the token is good cannot be known right now
└── KeyProblem        a key cannot be used; says why, never shows any of it
"""

from longcall_server.auth.authenticator import Authenticator
from longcall_server.auth.claims import MAX_LEEWAY_MS, TokenRules
from longcall_server.auth.errors import AuthError, AuthFailure, KeyProblem, KeysUnavailable
from longcall_server.auth.issuing import SigningKey, create_token
from longcall_server.auth.keys import MIN_SECRET_BYTES, Algorithm, Key, secret_key
from longcall_server.auth.principal import READ_TENANT, Principal, principal_id
from longcall_server.auth.ring import KeyRing

__all__ = [
    "MAX_LEEWAY_MS",
    "MIN_SECRET_BYTES",
    "READ_TENANT",
    "Algorithm",
    "AuthError",
    "AuthFailure",
    "Authenticator",
    "Key",
    "KeyProblem",
    "KeyRing",
    "KeysUnavailable",
    "Principal",
    "SigningKey",
    "TokenRules",
    "create_token",
    "principal_id",
    "secret_key",
]
