# SPDX-License-Identifier: Apache-2.0
"""Keys and rules as an operator has set them."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from longcall_server.auth.authenticator import Authenticator
from longcall_server.auth.claims import TokenRules
from longcall_server.auth.errors import KeyProblem
from longcall_server.auth.fetching import Document
from longcall_server.auth.files import KeyFile, pem_file, secrets_file
from longcall_server.auth.jwks import Jwks, Pace
from longcall_server.auth.keys import Algorithm, Key, pem_keys, secret_key
from longcall_server.auth.ring import KeyRing
from longcall_server.config import (
    NO_TOKEN_KEY,
    Settings,
    SettingsError,
    variable_name,
)

_log = logging.getLogger(__name__)


def configured_authenticator(settings: Settings) -> Authenticator:
    """Verifies tokens as is set; raises `SettingsError` for bad keys and if there are none."""
    if not settings.has_token_key:
        raise SettingsError(NO_TOKEN_KEY)
    keys: list[Key] = []
    files: list[KeyFile] = []
    jwks: Jwks | None = None
    if settings.jwt_secret is not None:
        with _blaming("jwt_secret"):
            keys.append(secret_key(settings.jwt_secret.get_secret_value().encode()))
    if settings.jwt_public_key is not None:
        with _blaming("jwt_public_key"):
            keys += pem_keys(settings.jwt_public_key)
    if settings.jwt_secret_file is not None:
        files.append(_file("jwt_secret_file", settings.jwt_secret_file, secrets_file))
    if settings.jwt_public_key_file is not None:
        files.append(_file("jwt_public_key_file", settings.jwt_public_key_file, pem_file))
    if settings.jwks_url is not None:
        with _blaming("jwks_url"):
            check_url(settings.jwks_url, allow_http=settings.jwks_allow_http)
        if not settings.jwt_audience:
            _log.warning(
                "%s is not set: a token that the provider made for any other application is "
                "accepted here",
                variable_name("jwt_audience"),
            )
        document = Document(settings.jwks_url)
        pace = Pace(refresh_s=settings.jwks_refresh.total_seconds())
        jwks = Jwks(document, name=document.name, pace=pace)
    ring = KeyRing(keys, files=files, jwks=jwks)
    rules = TokenRules.of_settings(settings)
    return Authenticator(ring, rules, algorithms=_algorithms(settings, ring))


def check_url(url: str, *, allow_http: bool) -> None:
    """Keys from an unprotected network are anybody's; raises `KeyProblem`."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("https", "http"):
        raise KeyProblem("it is no URL: write https://id.example.com/.well-known/jwks.json")
    if parts.scheme == "http" and not (allow_http or _is_loopback(host)):
        raise KeyProblem(
            "over http:// to another machine anybody on the way could put in keys of their own: "
            "use https://, or set LONGCALL_JWKS_ALLOW_HTTP=true where the network is trusted"
        )


def _algorithms(settings: Settings, ring: KeyRing) -> frozenset[Algorithm]:
    chosen = frozenset(map(Algorithm, settings.jwt_algorithms)) or ring.algorithms
    useless = chosen - ring.algorithms
    if useless:
        raise SettingsError(
            f"{variable_name('jwt_algorithms')}: no key is for {', '.join(sorted(useless))}"
        )
    return chosen


def _file(setting: str, path: Path, parse: Callable[[bytes], tuple[Key, ...]]) -> KeyFile:
    with _blaming(setting):
        return KeyFile(path, parse)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def _blaming(setting: str) -> Iterator[None]:
    try:
        yield
    except KeyProblem as problem:
        raise SettingsError(f"{variable_name(setting)}: {problem}") from None
