# SPDX-License-Identifier: Apache-2.0
"""The commands `token` and `jwks`: for who has no identity provider, or wants to try one key."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longcall_server.config import SettingsError, load_settings, parse_duration

if TYPE_CHECKING:
    from longcall_server.auth import SigningKey


def add_commands(commands: Any) -> None:
    """Adds both to the parsers of the program."""
    token = commands.add_parser(
        "token",
        help="make a token",
        description="Prints a token made with the key of --key, else with LONGCALL_JWT_SECRET or "
        "the first secret of LONGCALL_JWT_SECRET_FILE. It says what LONGCALL_JWT_ISSUER, "
        "LONGCALL_JWT_AUDIENCE and LONGCALL_JWT_TENANT_CLAIM demand.",
    )
    token.add_argument("--sub", required=True, help="the user")
    token.add_argument("--tenant", required=True, help="the tenant")
    token.add_argument(
        "--permission",
        action="append",
        default=[],
        help="a permission, e.g. 'request:*' or requests:read:tenant; may be repeated",
    )
    token.add_argument(
        "--ttl",
        type=_ttl,
        default="3600",
        help="how long it is valid, in seconds or as 24h (default 1h)",
    )
    token.add_argument(
        "--key",
        metavar="FILE",
        help="private key in PEM (RSA, EC P-256, Ed25519), which decides the algorithm",
    )
    token.add_argument(
        "--kid", help="the name of that key (default its RFC 7638 thumbprint, as jwks prints it)"
    )
    token.set_defaults(run=_token)
    jwks = commands.add_parser(
        "jwks",
        help="print the JWK Set of private keys, to be published",
        description="Prints the public part of private keys in PEM as a JWK Set, as a JWKS URL "
        "must serve it. `openssl genpkey -algorithm ed25519 -out FILE` makes a key.",
    )
    jwks.add_argument("keys", nargs="+", metavar="FILE")
    jwks.set_defaults(run=_jwks)


def _token(options: argparse.Namespace) -> int:
    from longcall_server import auth  # noqa: PLC0415  (other commands need none of it)

    settings = load_settings()
    if options.key is not None:
        key = _private_key(options.key, options.kid)
    else:
        if options.kid is not None:
            raise SettingsError("--kid: a shared secret has no name here; it goes with --key")
        key = auth.SigningKey.of_settings(settings)
    token = auth.create_token(
        key,
        sub=options.sub,
        tenant_id=options.tenant,
        permissions=options.permission,
        ttl_s=options.ttl.total_seconds(),
        rules=auth.TokenRules.of_settings(settings),
    )
    print(token)
    return 0


def _jwks(options: argparse.Namespace) -> int:
    print(json.dumps(_jwk_set(options.keys), indent=2))
    return 0


def _jwk_set(paths: Sequence[str]) -> dict[str, Any]:
    from longcall_server.auth.keys import jwk  # noqa: PLC0415  (other commands need none of it)

    return {"keys": [jwk(_private_key(path).public) for path in paths]}


def _private_key(path: str, kid: str | None = None) -> SigningKey:
    from longcall_server import auth  # noqa: PLC0415  (other commands need none of it)

    try:
        return auth.SigningKey.of_pem(Path(path).read_bytes(), kid)
    except OSError as error:
        raise SettingsError(f"{path}: it cannot be read: {error.strerror}") from None
    except auth.KeyProblem as problem:
        raise SettingsError(f"{path}: {problem}") from None


def _ttl(text: str) -> timedelta:
    try:
        ttl = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    assert isinstance(ttl, timedelta)
    return ttl
