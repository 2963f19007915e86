# SPDX-License-Identifier: Apache-2.0
"""TLS by files: which are refused, what clients see, and that renewed ones are taken up."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from certificates import Pair, pair, replace
from cryptography import x509
from gateway_harness import PATIENCE, Harness, Peer, gateway

from longcall_server import Handlers
from longcall_server.config import SettingsError
from longcall_server.gateway.app import GatewaySettings, ListenerSettings
from longcall_server.gateway.tls import Certificate


@pytest.fixture(scope="module")
def first() -> Pair:
    return pair()


@pytest.fixture(scope="module")
def second() -> Pair:
    return pair()


@pytest.fixture
async def at(handlers: Handlers, tmp_path: Path, first: Pair) -> AsyncIterator[Harness]:
    tls = Certificate(*first.write(tmp_path)).context
    patience = ListenerSettings(request_timeout_s=1)
    settings = GatewaySettings(files_dir=tmp_path, close_timeout_ms=500)
    async with gateway(handlers, tmp_path, settings=settings, listener=patience, tls=tls) as made:
        yield made


async def connected(at: Harness, trusted: Pair) -> Peer:
    return await at.welcomed(ssl=trusted.trusting())


async def shown(at: Harness, trusted: Pair) -> int:
    """The serial number of the certificate that a new connection is shown."""
    reader, writer = await asyncio.open_connection("127.0.0.1", at.port, ssl=trusted.trusting())
    try:
        raw = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.close()
        await writer.wait_closed()
    assert reader is not None
    return x509.load_der_x509_certificate(raw).serial_number


@pytest.mark.parametrize(
    ("certificate", "key", "reason"),
    [
        (None, b"", "--tls-cert: .*cert\\.pem: No such file"),
        (b"", None, "--tls-key: .*key\\.pem: No such file"),
        (b"", b"", "no certificate, or no key, in PEM form"),
        (b"nonsense", b"nonsense", "no certificate, or no key, in PEM form"),
        ("first", b"nonsense", "no certificate, or no key, in PEM form|cannot be used"),
        ("first", "second", "the key is not that of the certificate"),
        ("first", "encrypted", "--tls-key: the key is encrypted"),
    ],
)
def test_files_that_cannot_be_used_are_named_at_the_start(
    tmp_path: Path,
    first: Pair,
    second: Pair,
    *,
    certificate: bytes | str | None,
    key: bytes | str | None,
    reason: str,
) -> None:
    known = {"first": first, "second": second, "encrypted": pair(password=b"secret")}
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    for path, content, part in zip(paths, (certificate, key), ("certificate", "key"), strict=True):
        if content is not None:
            data = getattr(known[content], part) if isinstance(content, str) else content
            path.write_bytes(data)
    with pytest.raises(SettingsError, match=reason):
        Certificate(*paths)


def test_a_folder_is_no_certificate(tmp_path: Path, first: Pair) -> None:
    _, key = first.write(tmp_path)
    with pytest.raises(SettingsError, match=r"--tls-cert: .*: Is a directory"):
        Certificate(tmp_path, key)


async def test_a_client_that_trusts_the_certificate_is_served(at: Harness, first: Pair) -> None:
    peer = await connected(at, first)
    await peer.request("echo", "x" * 50_000)
    assert (await peer.receive())["result"] == "x" * 50_000
    async with at.client().get(at.http + "/healthz", ssl=first.trusting()) as answer:
        assert answer.status == 200


async def test_a_page_of_the_servers_own_origin_is_one_of_https(at: Harness, first: Pair) -> None:
    peer = await at.welcomed(ssl=first.trusting(), headers={"Origin": at.http})
    assert at.http.startswith("https://")
    assert not peer.ws.closed


def test_nothing_older_than_tls_1_2_is_spoken(tmp_path: Path, first: Pair) -> None:
    context = Certificate(*first.write(tmp_path)).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2])
async def test_a_client_of_an_older_tls_is_refused(
    at: Harness, first: Pair, version: ssl.TLSVersion
) -> None:
    client = first.trusting()
    client.set_ciphers("ALL:@SECLEVEL=0")
    client.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    client.maximum_version = version
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", at.port, ssl=client)
    except (ssl.SSLError, ConnectionError):
        assert version < ssl.TLSVersion.TLSv1_2
    else:
        assert version == ssl.TLSVersion.TLSv1_2
        writer.close()
        await writer.wait_closed()


async def test_a_renewed_certificate_is_shown_to_the_next_client_and_disturbs_nobody(
    at: Harness, tmp_path: Path, first: Pair, second: Pair
) -> None:
    peer = await connected(at, first)
    assert await shown(at, first) == first.serial
    second.write(tmp_path)
    assert await shown(at, second) == second.serial
    assert await peer.ask({"type": "ping"}) == {"type": "pong"}
    await connected(at, second)


async def test_half_a_renewal_and_a_spoilt_one_leave_the_old_certificate_in_use(
    at: Harness, tmp_path: Path, first: Pair, second: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    replace(tmp_path / "cert.pem", second.certificate)
    assert await shown(at, first) == first.serial
    assert await shown(at, first) == first.serial
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("the certificate in use is kept: --tls-cert")
    assert "the key is not that of the certificate" in line
    os.unlink(tmp_path / "key.pem")
    assert await shown(at, first) == first.serial
    replace(tmp_path / "key.pem", second.key)
    assert await shown(at, second) == second.serial


@pytest.mark.parametrize("data", [b"", b"\x16\x03\x01\x02\x00\x01"])
async def test_a_handshake_that_does_not_end_is_ended(at: Harness, data: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
    try:
        writer.write(data)
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""
    except ConnectionError:
        pass
    finally:
        writer.close()


async def test_who_speaks_plain_http_to_it_is_not_served(at: Harness, first: Pair) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
    try:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            assert b"200" not in await reader.read()
    except ConnectionError:
        pass
    finally:
        writer.close()
    await connected(at, first)


async def test_a_reader_that_stalls_is_closed_over_tls_too(
    handlers: Handlers, tmp_path: Path, first: Pair
) -> None:
    settings = GatewaySettings(
        send_buffer_bytes=131_072, stall_timeout_ms=200, close_timeout_ms=100
    )
    tls = Certificate(*first.write(tmp_path)).context
    async with gateway(handlers, tmp_path, settings=settings, tls=tls) as at:
        peer = await connected(at, first)
        connection = peer.ws._response.connection
        assert connection is not None
        assert connection.transport is not None
        assert connection.transport.get_extra_info("ssl_object") is not None
        connection.transport.pause_reading()
        await peer.request("pour", 500)
        await at.until_connections(0)
