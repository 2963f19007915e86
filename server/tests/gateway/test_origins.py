# SPDX-License-Identifier: Apache-2.0
"""Which pages and which names: as pure functions, and on a server."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import aiohttp
import pytest
from gateway_harness import Harness, gateway, token

from longcall_server import Handlers
from longcall_server.config.names import normal_origin, split_host
from longcall_server.gateway.app import GatewaySettings
from longcall_server.gateway.entrance import EntranceSettings
from longcall_server.gateway.origins import AllowedHosts, AllowedOrigins, is_loopback

OWN = "https://api.example.com"


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("HTTPS://App.Example.COM:443", "https://app.example.com"),
        ("http://app.example.com:80", "http://app.example.com"),
        ("http://app.example.com:443", "http://app.example.com:443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[0:0:0::1]:8080", "http://[::1]:8080"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
        ("null", "null"),
        ("", None),
        ("NULL", None),
        ("app.example.com", None),
        ("https://", None),
        ("https://a b", None),
        ("https://a\tb", None),
        ("https://app.example.com/", None),
        ("https://app.example.com?x", None),
        ("https://app.example.com#x", None),
        ("https://user@app.example.com", None),
        ("https://app.example.com:", None),
        ("https://app.example.com:70000", None),
        ("https://app.example.com:port", None),
        ("https://[::1", None),
        ("https://a.example.com, https://b.example.com", None),
        ("https://a.example.com https://b.example.com", None),
        ("1http://a", None),
    ],
)
def test_an_origin_is_written_in_one_way(text: str, normal: str | None) -> None:
    assert normal_origin(text) == normal


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("api.example.com", ("api.example.com", None)),
        ("API.example.com.:8765", ("api.example.com", 8765)),
        ("[::1]:8765", ("::1", 8765)),
        ("[::0:1]", ("::1", None)),
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("my_service:80", ("my_service", 80)),
        ("::1", None),
        ("", None),
        (":80", None),
        ("a..b", None),
        ("-a", None),
        ("a@b", None),
        ("a/b", None),
        ("a\nb", None),
        ("[v1.x]", None),
        ("a:b", None),
    ],
)
def test_a_host_is_a_name_and_a_port(text: str, expected: tuple[str, int | None] | None) -> None:
    assert split_host(text) == expected


@pytest.mark.parametrize(
    ("listed", "origin", "allowed"),
    [
        ((), OWN, True),
        ((), OWN + ":443", True),
        ((), "https://API.example.com", True),
        ((), "http://api.example.com", False),
        ((), "https://api.example.com:8443", False),
        ((), "https://example.com", False),
        ((), "https://api.example.com.evil.org", False),
        ((), "https://evil-api.example.com", False),
        ((), "null", False),
        ((), "", False),
        ((), "garbage", False),
        (("https://app.example.com",), "https://app.example.com", True),
        (("https://app.example.com",), "https://app.example.com:443", True),
        (("https://app.example.com",), "https://a.app.example.com", False),
        (("https://app.example.com",), "http://app.example.com", False),
        (("https://app.example.com",), OWN, True),
        (("https://app.example.com",), "null", False),
        (("null",), "null", True),
        (("*",), "https://anything.example.org", True),
        (("*",), "null", True),
        (("*",), "garbage", True),
    ],
)
def test_a_page_is_let_in_if_its_origin_is_the_servers_own_or_listed(
    listed: tuple[str, ...], origin: str, allowed: bool
) -> None:
    assert AllowedOrigins(listed).allows(origin, OWN) is allowed


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:5173", True),
        ("https://app.localhost", True),
        ("http://127.0.0.1:3000", True),
        ("http://[::1]:3000", True),
        ("http://localhost.example.com", False),
        ("http://10.0.0.1:3000", False),
        ("null", False),
    ],
)
def test_a_page_that_is_being_written_here_is_let_in_where_that_is_wanted(
    origin: str, allowed: bool
) -> None:
    assert AllowedOrigins(loopback=True).allows(origin, OWN) is allowed
    assert not AllowedOrigins().allows(origin, OWN)


def test_a_server_without_a_readable_name_of_its_own_is_nobodys_origin() -> None:
    assert not AllowedOrigins().allows("garbage", "http://")
    assert not AllowedOrigins().allows("null", "http://")


@pytest.mark.parametrize(
    ("listed", "host", "allowed"),
    [
        ((), "localhost:8765", True),
        ((), "LocalHost.", True),
        ((), "app.localhost", True),
        ((), "127.0.0.1:8765", True),
        ((), "127.9.9.9", True),
        ((), "[::1]:8765", True),
        ((), "evil.example.org:8765", False),
        ((), "localhost.evil.org", False),
        ((), "127.0.0.1.evil.org", False),
        ((), "10.0.0.1", False),
        ((), "", False),
        ((), "localhost/", False),
        (("api.example.com",), "api.example.com", True),
        (("api.example.com",), "API.example.com:443", True),
        (("api.example.com",), "localhost", True),
        (("api.example.com",), "x.api.example.com", False),
        (("*.example.com",), "x.example.com", True),
        (("*.example.com",), "x.y.example.com", True),
        (("*.example.com",), "example.com", False),
        (("*.example.com",), "evilexample.com", False),
        (("10.0.0.1", "2001:db8::1"), "[2001:DB8:0::1]:80", True),
        (("10.0.0.1",), "10.0.0.1:80", True),
        (("*",), "anything", True),
        (("*",), "", True),
    ],
)
def test_a_name_is_answered_if_it_is_listed_or_this_machines(
    listed: tuple[str, ...], host: str, allowed: bool
) -> None:
    assert AllowedHosts(listed).allows(host) is allowed


def test_only_this_machine_is_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.1.2.3", "::1", "a.localhost")))
    assert not any(map(is_loopback, ("", "0.0.0.0", "::", "10.0.0.1", "example.com", "nlocalhost")))


# --- On a server ---------------------------------------------------------------------------------


async def upgrade(at: Harness, **headers: str) -> int:
    """The HTTP status with which a connection is answered; 101 if it is one."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        peer = await at.connect(headers=given)
    except aiohttp.WSServerHandshakeError as error:
        return error.status
    assert (await peer.hello())["type"] == "welcome"
    await peer.ws.close()
    return 101


@pytest.mark.clause("2.7.1", "2.7.2")
async def test_a_page_of_another_origin_is_refused_before_the_upgrade(
    handlers: Handlers, tmp_path: Path
) -> None:
    listed = EntranceSettings(allowed_origins=("https://app.example.com",))
    async with gateway(handlers, tmp_path, settings=GatewaySettings(entrance=listed)) as at:
        assert await upgrade(at) == 101
        assert await upgrade(at, Origin=at.http) == 101
        assert await upgrade(at, Origin="https://app.example.com") == 101
        for foreign in (
            "https://evil.example.com",
            f"https://127.0.0.1:{at.port}",
            "http://127.0.0.1",
            f"http://localhost:{at.port}",
            "null",
            "",
        ):
            assert await upgrade(at, Origin=foreign) == 403, foreign
        assert not at.gateway.connections


async def test_the_refusal_of_an_origin_is_a_problem_document_on_every_route(
    at: Harness,
) -> None:
    for path in ("/v1/connect", "/v1/requests/r1/files/a", "/nothing"):
        async with at.client().get(at.http + path, headers={"Origin": "https://evil.org"}) as got:
            assert got.status == 403, path
            assert got.content_type == "application/problem+json"
            assert (await got.json(content_type=None))["code"] == "FORBIDDEN"


async def test_an_operator_reads_in_the_log_what_a_browser_keeps_to_itself(
    handlers: Handlers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = EntranceSettings(allowed_hosts=("api.example.com",))
    async with gateway(handlers, tmp_path, settings=GatewaySettings(entrance=names)) as at:
        for _ in range(2):
            assert (
                await upgrade(at, Host="API.example.com", Origin="https://App.example.com") == 403
            )
            assert await upgrade(at, Host="other.example.com:80") == 421
    origin, host = (record.getMessage() for record in caplog.records)
    assert "https://app.example.com " in origin
    assert "(http://api.example.com)" in origin
    assert "LONGCALL_ALLOWED_ORIGINS" in origin
    assert "the host other.example.com are" in host
    assert "LONGCALL_ALLOWED_HOSTS" in host


async def test_what_is_no_origin_and_no_host_is_not_repeated_in_the_log(
    handlers: Handlers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = EntranceSettings(allowed_hosts=("api.example.com",))
    async with gateway(handlers, tmp_path, settings=GatewaySettings(entrance=names)) as at:
        assert await upgrade(at, Host="api.example.com", Origin="https://what/ever") == 403
        assert await upgrade(at, Host="what/ever") == 421
    assert len(caplog.records) == 2
    assert "ever" not in caplog.text


async def test_two_origins_are_no_origin(at: Harness) -> None:
    headers = [("Origin", at.http), ("Origin", at.http)]
    async with at.client().get(at.http + "/v1/connect", headers=headers) as got:
        assert got.status in (400, 403)


@pytest.mark.clause("2.7.3")
async def test_a_name_that_is_not_the_servers_is_refused_everywhere_but_at_health(
    handlers: Handlers, tmp_path: Path
) -> None:
    names = EntranceSettings(allowed_hosts=("api.example.com",))
    settings = GatewaySettings(entrance=names)
    async with gateway(handlers, tmp_path, settings=settings) as at:
        assert await upgrade(at, Host="evil.example.org") == 421
        assert await upgrade(at, Host="api.example.com") == 101
        assert await upgrade(at) == 101
        for path, status in (
            ("/v1/requests/r1/files/a", 421),
            ("/nothing", 421),
            ("/healthz", 200),
            ("/readyz", 200),
        ):
            headers = {"Host": "evil.example.org", "Authorization": f"Bearer {token()}"}
            async with at.client().get(at.http + path, headers=headers) as got:
                assert got.status == status, path
                if status == 421:
                    body = await got.json(content_type=None)
                    assert (body["status"], body["code"]) == (421, "VALIDATION_ERROR")
                    assert "evil" not in str(body)


@pytest.mark.clause("2.7.4")
async def test_only_a_trusted_proxy_says_which_scheme_the_page_used(
    handlers: Handlers, tmp_path: Path
) -> None:
    page = {"Host": "api.example.com", "Origin": "https://api.example.com"}
    async with gateway(handlers, tmp_path) as at:
        assert await upgrade(at, **page, X_Forwarded_Proto="https") == 403
    trusting = EntranceSettings(trusted_proxies=(ipaddress.ip_network("127.0.0.0/8"),))
    async with gateway(handlers, tmp_path, settings=GatewaySettings(entrance=trusting)) as at:
        assert await upgrade(at, **page, X_Forwarded_Proto="https") == 101
        assert await upgrade(at, **page, X_Forwarded_Proto="http") == 403
