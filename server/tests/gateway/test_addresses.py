# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import pytest

from longcall_server.gateway.addresses import (
    Remote,
    TrustedProxies,
    parse_address,
    subscriber,
)

PROXIES = TrustedProxies(map(ipaddress.ip_network, ("10.0.0.0/8", "fd00::/8", "127.0.0.1")))


def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("", None),
        ("unknown", None),
        ("_hidden", None),
        ("192.0.2", None),
        ("192.0.2.256", None),
        ("192.0.2.1:", None),
        ("192.0.2.1:port", None),
        ("192.0.2.1:²", None),
        ("[2001:db8::1", None),
        ("[2001:db8::1]x", None),
        ("[192.0.2.1]:", None),
        ("192.0.2.1, 10.0.0.1", None),
        ("1" * 5000, None),
    ],
)
def test_an_address_is_read_as_proxies_write_it(text: str, expected: str | None) -> None:
    assert parse_address(text) == (None if expected is None else address(expected))


@pytest.mark.clause("2.7.4")
@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        # Nobody's word is taken but a trusted proxy's.
        ("192.0.2.9", ["198.51.100.1"], "192.0.2.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::7]:1"], "2001:db8::7"),
        # Over all trusted hops, from the end; what the client wrote itself is never reached.
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1", "fd00::2"], "198.51.100.1"),
        ("10.0.0.1", ["10.9.9.9, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        # Garbage ends the reading at the proxy that wrote it.
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["198.51.100.1,"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("::1", ["198.51.100.1"], "::1"),
    ],
)
def test_the_client_is_the_first_from_the_end_that_is_no_trusted_proxy(
    peer: str, forwarded: Sequence[str], client: str
) -> None:
    assert PROXIES.remote(address(peer), "http", forwarded).address == address(client)


@pytest.mark.parametrize(
    ("peer", "forwarded", "said", "scheme"),
    [
        ("10.0.0.1", ["198.51.100.1"], ["https"], "https"),
        ("10.0.0.1", ["198.51.100.1"], [" HTTPS "], "https"),
        ("10.0.0.1", ["198.51.100.1"], [], "http"),
        ("10.0.0.1", ["198.51.100.1"], ["gopher"], "http"),
        ("10.0.0.1", ["198.51.100.1"], ["https, http"], "http"),
        ("10.0.0.1", ["198.51.100.1, 10.0.0.2"], ["https, http"], "https"),
        ("10.0.0.1", ["198.51.100.1, 10.0.0.2"], ["https"], "https"),
        ("192.0.2.9", ["198.51.100.1"], ["https"], "http"),
    ],
)
def test_the_scheme_is_what_the_proxy_next_to_the_client_saw(
    peer: str, forwarded: Sequence[str], said: Sequence[str], scheme: str
) -> None:
    assert PROXIES.remote(address(peer), "http", forwarded, said).scheme == scheme


def test_a_peer_without_an_address_is_trusted_with_nothing() -> None:
    assert PROXIES.remote(None, "http", ["198.51.100.1"], ["https"]) == Remote(None, "http")


def test_nobody_is_trusted_by_default() -> None:
    peer = address("127.0.0.1")
    assert TrustedProxies().remote(peer, "http", ["198.51.100.1"]).address == peer


def test_a_subscriber_has_all_addresses_of_its_network() -> None:
    assert subscriber(address("192.0.2.1")) != subscriber(address("192.0.2.2"))
    assert subscriber(address("2001:db8:0:7::1")) == subscriber(address("2001:db8:0:7:ffff::2"))
    assert subscriber(address("2001:db8:0:7::1")) != subscriber(address("2001:db8:0:8::1"))
