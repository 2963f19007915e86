# SPDX-License-Identifier: Apache-2.0
"""Where a request comes from: the peer, or who the proxies that are trusted say it was."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from longcall_server.config.names import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_SCHEMES = frozenset({"http", "https"})
_SUBSCRIBER_PREFIX = 64


@dataclass(frozen=True, slots=True)
class Remote:
    """Where a request comes from."""

    address: Address | None
    """The client's; None for a peer without one, as over a Unix socket."""
    scheme: str
    """`http` or `https`, as the client sees this server."""


class TrustedProxies:
    """The proxies whose word on the client is taken; everybody else's is ignored."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self._networks = tuple(networks)

    def trusts(self, address: Address | None) -> bool:
        """Whether this is one of them."""
        return address is not None and any(address in network for network in self._networks)

    def remote(
        self,
        peer: Address | None,
        scheme: str,
        forwarded_for: Sequence[str] = (),
        forwarded_proto: Sequence[str] = (),
    ) -> Remote:
        """Where a request from `peer` comes from, by the values of `X-Forwarded-For` and
        `X-Forwarded-Proto`.

        Each proxy appends whom it heard from. So the list is read from its end, over the proxies
        that are trusted, up to the first other address: what stands before it was written by the
        client. Whatever is no address ends the reading at the proxy that wrote it.
        """
        if not self.trusts(peer):
            return Remote(peer, scheme)
        client, hops = peer, 1
        for item in reversed(_items(forwarded_for)):
            address = parse_address(item)
            if address is None:
                break
            client = address
            if not self.trusts(address):
                break
            hops += 1
        said = [item.lower() for item in _items(forwarded_proto)]
        # One entry for each hop, or one in all, where each proxy replaces it.
        if said and (word := said[-min(hops, len(said))]) in _SCHEMES:
            scheme = word
        return Remote(client, scheme)


def peer_address(transport: asyncio.BaseTransport | None) -> Address | None:
    """The other end of a socket; None if it has no address, or is no longer there."""
    name = None if transport is None else transport.get_extra_info("peername")
    return parse_address(name[0]) if isinstance(name, tuple) else None


def parse_address(text: str) -> Address | None:
    """An address as proxies write it: with or without a port, IPv6 in brackets or bare.

    None if it is none. An IPv4 address within IPv6 (`::ffff:192.0.2.1`) is the former.
    """
    if text.startswith("["):
        text, bracket, rest = text[1:].partition("]")
        if not bracket or not _is_port(rest):
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _is_port(f":{port}"):
            return None
    try:
        # The zone of a link-local address (`%eth0`) is a name of the proxy's, not the client's.
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def subscriber(address: Address | None) -> str:
    """What connections are counted by: one that has an IPv6 /64 has all addresses of it."""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _SUBSCRIBER_PREFIX), strict=False))
    return str(address)


def _items(values: Sequence[str]) -> list[str]:
    return [item.strip() for value in values for item in value.split(",")]


def _is_port(text: str) -> bool:
    return not text or (text[0] == ":" and text[1:].isascii() and text[1:].isdigit())
