# SPDX-License-Identifier: Apache-2.0
"""Lists that operators write: of names, of origins, of hosts, of the addresses of proxies."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ANY = "*"
_NULL = "null"
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")


def normal_origin(text: str) -> str | None:
    """An origin as all who mean the same one would write it; None if it is none.

    A browser writes `scheme://host[:port]` with the port left out where it is the scheme's own, or
    `null` for a page that has no origin.
    """
    if text == _NULL:
        return text
    scheme, separator, authority = text.partition("://")
    scheme = scheme.lower()
    if not separator or not _SCHEME.fullmatch(scheme):
        return None
    host = split_host(authority)
    if host is None:
        return None
    name, port = host
    shown = f"[{name}]" if ":" in name else name
    if port is None or port == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{shown}"
    return f"{scheme}://{shown}:{port}"


def split_host(text: str) -> tuple[str, int | None] | None:
    """The name and the port of `host[:port]`, as in the header `Host`; None if it is none.

    The name is in lower case, without a final dot; of an IPv6 address without brackets, and an
    address as it is written shortest.
    """
    try:
        parts = urlsplit(f"//{text}")
        name, port = parts.hostname, parts.port
    except ValueError:
        return None
    # Nothing may stand in it that is neither name nor port: `a@b`, `a/b`, `a?b`.
    if not name or parts.netloc != text or "@" in text or text.endswith(":"):
        return None
    try:
        return str(ipaddress.ip_address(name)), port
    except ValueError:
        pass
    name = name.removesuffix(".")
    return (name, port) if text[0] != "[" and _HOST_NAME.fullmatch(name) else None


def split_list(value: object) -> object:
    """`"a, b"` → `("a", "b")`; anything else is left for pydantic to judge."""
    return tuple(re.split(r"[\s,]+", value.strip(", \t\n"))) if isinstance(value, str) else value


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value if value == ANY else _origin(value) for value in values)


def _origin(value: str) -> str:
    normal = normal_origin(value)
    if normal is None:
        raise ValueError(
            f"{value!r} is no origin: write https://app.example.com, with :PORT where it is not "
            "the scheme's own and nothing behind it, or null, or * for all"
        )
    return normal


def _hosts(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value if value == ANY else _host(value) for value in values)


def _host(value: str) -> str:
    wildcard, rest = ("*.", value[2:]) if value.startswith("*.") else ("", value)
    # An IPv6 address may be written without brackets here: there is no port.
    host = split_host(f"[{rest}]" if rest.count(":") > 1 and rest[0] != "[" else rest)
    if host is None or host[1] is not None:
        raise ValueError(
            f"{value!r} is no host: write api.example.com or an address, without a port, or "
            "*.example.com for all below it, or * for all"
        )
    return wildcard + host[0]


def _network(value: object) -> object:
    return ipaddress.ip_network(value) if isinstance(value, str) else value


def _networks(value: object) -> object:
    values = split_list(value)
    return tuple(map(_network, values)) if isinstance(values, tuple | list) else values


# Without NoDecode a list in the environment would have to be written as JSON.
Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_list)]
Origins = Annotated[Texts, AfterValidator(_origins)]
Hosts = Annotated[Texts, AfterValidator(_hosts)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]
