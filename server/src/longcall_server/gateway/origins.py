# SPDX-License-Identifier: Apache-2.0
"""Which pages of browsers, and which names of this server, are let in (PROTOCOL 2.7)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from longcall_server.config.names import ANY, normal_origin, split_host

_LOOPBACK_NAME = "localhost"


class AllowedOrigins:
    """The origins whose pages may use this server: its own, and those of a list.

    `*` in the list allows all of them, `null` too, which is otherwise allowed only where it is
    listed: any page can make itself one without an origin. With `loopback` pages that the browser's
    own machine serves are allowed too, at whatever port.
    """

    def __init__(self, listed: Iterable[str] = (), *, loopback: bool = False) -> None:
        self._listed = frozenset(listed)
        self._loopback = loopback

    def allows(self, origin: str, own: str) -> bool:
        """Whether a page of `origin`, the text of the header, may use the server whose own origin
        is `own` (`https://host:port`)."""
        if ANY in self._listed:
            return True
        normal = normal_origin(origin)
        if normal is None:
            return False
        if normal in self._listed or normal == normal_origin(own):
            return True
        host = split_host(normal.partition("://")[2])
        return self._loopback and host is not None and is_loopback(host[0])


class AllowedHosts:
    """The names under which this server answers; `*` in the list: any.

    A page of a stranger whose name was made to point here (DNS rebinding) is of the same origin
    for its browser; only the name tells. Names and addresses of this machine itself are always
    allowed: nobody can make them point elsewhere.
    """

    def __init__(self, listed: Iterable[str] = (ANY,)) -> None:
        listed = frozenset(listed)
        self._any = ANY in listed
        self._names = frozenset(name for name in listed if not name.startswith("*."))
        self._suffixes = tuple(name[1:] for name in listed if name.startswith("*."))

    def allows(self, host: str) -> bool:
        """Whether this is one of them; `host` is the text of the header `Host`."""
        if self._any:
            return True
        found = split_host(host)
        if found is None:
            return False
        name, _ = found
        return name in self._names or name.endswith(self._suffixes) or is_loopback(name)


def is_loopback(name: str) -> bool:
    """Whether a name or an address, without brackets and port, is of this machine alone."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == _LOOPBACK_NAME or name.endswith("." + _LOOPBACK_NAME)
