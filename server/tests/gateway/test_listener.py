# SPDX-License-Identifier: Apache-2.0
"""Sockets that say nothing, say it slowly, say too much, or speak no HTTP."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from gateway_harness import PATIENCE, Harness, gateway, token
from raw_http import raw

from longcall_server import Handlers
from longcall_server.gateway.app import GatewaySettings, ListenerSettings
from longcall_server.gateway.doors import ConnectionLimits
from longcall_server.gateway.listener import MAX_HEADERS, MAX_LINE_BYTES

SECRET = "top-secret-part-of-a-token"
UPGRADE = (
    b"GET /v1/connect HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
QUICK = ListenerSettings(request_timeout_s=0.2)


@pytest.mark.parametrize("start", [b"", b"GET /v1/connect HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
async def test_a_socket_on_which_no_request_comes_is_closed(
    handlers: Handlers, tmp_path: Path, start: bytes
) -> None:
    async with gateway(handlers, tmp_path, listener=QUICK) as at, raw(at.port) as silent:
        silent.writer.write(start)
        assert await silent.until_end() == b""
        await at.welcomed()


async def test_a_head_that_never_ends_is_not_waited_for_although_something_comes(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with gateway(handlers, tmp_path, listener=QUICK) as at, raw(at.port) as slow:

        async def trickle() -> None:
            slow.writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
            while True:
                slow.writer.write(b"x")
                await slow.writer.drain()
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        try:
            assert await slow.until_end() == b""
        finally:
            trickling.cancel()
            await asyncio.gather(trickling, return_exceptions=True)


def test_sockets_are_closed_under_uvloop_too(handlers: Handlers, tmp_path: Path) -> None:
    """Its transports are none of asyncio's classes."""
    uvloop = pytest.importorskip("uvloop")
    few = ConnectionLimits(total=100, per_address=1, unidentified=4)
    settings = GatewaySettings(connections=few)

    async def scenario() -> None:
        async with (
            gateway(handlers, tmp_path, settings=settings, listener=QUICK) as at,
            raw(at.port) as silent,
            raw(at.port) as second,
            raw(at.port) as one_too_many,
        ):
            assert await one_too_many.until_end() == b""
            assert await silent.until_end() == b""
            assert await second.until_end() == b""

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


async def test_a_connection_lives_longer_than_a_head_may_take(
    handlers: Handlers, tmp_path: Path
) -> None:
    patience = ListenerSettings(request_timeout_s=0.1, keepalive_timeout_s=0.1)
    settings = GatewaySettings(heartbeat_interval_ms=400)
    async with gateway(handlers, tmp_path, settings=settings, listener=patience) as at:
        peer = await at.welcomed()
        async with asyncio.timeout(PATIENCE):
            frame = await peer.ws.receive_json()
        assert frame["type"] == "ping"


async def test_a_socket_that_is_idle_after_an_answer_is_closed(
    handlers: Handlers, tmp_path: Path
) -> None:
    patience = ListenerSettings(keepalive_timeout_s=0.1)
    async with gateway(handlers, tmp_path, listener=patience) as at, raw(at.port) as idle:
        answer = await idle.answer(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert await idle.until_end() == b""


async def test_a_body_that_does_not_come_is_not_waited_for(
    handlers: Handlers, tmp_path: Path
) -> None:
    settings = GatewaySettings(body_timeout_ms=50)
    async with gateway(handlers, tmp_path, settings=settings) as at, raw(at.port) as slow:
        head = (
            "POST /v1/announcements HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
            f"Authorization: Bearer {token('ann', 'admin')}\r\n\r\n{{"
        )
        answer = await slow.answer(head.encode())
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    ("who", "status"), [("", 401), (f"Authorization: Bearer {token('ann', 'admin')}\r\n", 400)]
)
async def test_a_body_that_does_not_decompress_is_the_clients_defect_and_not_the_servers(
    at: Harness, caplog: pytest.LogCaptureFixture, who: str, status: int
) -> None:
    head = (
        "POST /v1/announcements HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
        f"Content-Encoding: gzip\r\n{who}\r\n"
    )
    async with raw(at.port) as sender:
        sender.writer.write(head.encode() + b"none")
        answer = await sender.until_end()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"application/problem+json" in answer
    assert not caplog.records


async def test_who_goes_away_within_a_body_is_no_defect(
    at: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    head = (
        "POST /v1/announcements HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
        f"Authorization: Bearer {token('ann', 'admin')}\r\nExpect: 100-continue\r\n\r\n"
    )
    async with raw(at.port) as sender:
        sender.writer.write(head.encode() + b"{")
        async with asyncio.timeout(PATIENCE):  # the request is being answered
            await sender.reader.readuntil(b"100 Continue\r\n\r\n")
    await at.welcomed()  # what came before this has been noticed
    assert not caplog.records


async def test_a_socket_too_many_is_closed_before_it_says_anything(
    handlers: Handlers, tmp_path: Path
) -> None:
    few = ConnectionLimits(total=100, per_address=1, unidentified=4)
    settings = GatewaySettings(connections=few)
    async with (
        gateway(handlers, tmp_path, settings=settings) as at,
        raw(at.port) as first,
        raw(at.port),
        raw(at.port) as third,
    ):
        assert await third.until_end() == b""
        answer = await first.answer(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (UPGRADE + b"Sec-WebSocket-Protocol: longcall.v1", 101),
        (UPGRADE, 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost", 200),
        (b"GET /v2/what HTTP/1.1\r\nHost: localhost", 404),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nExpect: much", 417),
        (b"no request", 400),
    ],
)
async def test_no_answer_tells_which_versions_are_at_work(
    at: Harness, data: bytes, status: int
) -> None:
    async with raw(at.port) as sender:
        answer = await sender.answer(data + b"\r\n\r\n")
    assert answer.split()[1] == b"%d" % status
    assert b"\r\nServer: longcall-server\r\n" in answer
    assert b"aiohttp" not in answer.lower()
    assert b"python" not in answer.lower()


@pytest.mark.clause("3.2.7", "3.2.8")
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (f"GET /v1/connect?access_token={SECRET}\x00 HTTP/1.1\r\n\r\n".encode(), 400),
        (f"GET /{SECRET}/{'x' * MAX_LINE_BYTES} HTTP/1.1\r\n\r\n".encode(), 431),
        (f"GET / HTTP/1.1\r\nAuthorization: Bearer {SECRET}\x00\r\n\r\n".encode(), 400),
        (
            f"GET / HTTP/1.1\r\nAuthorization: {SECRET}{'x' * MAX_LINE_BYTES}\r\n\r\n".encode(),
            431,
        ),
        (f"GET / HTTP/1.1\r\nAuthorization {SECRET}\r\n\r\n".encode(), 400),
        (f"{SECRET} / HTTP/1.1\r\n\r\n".encode(), 400),
        (f"GET / HTTP/9.{SECRET}\r\n\r\n".encode(), 400),
        (f"GET http://[{SECRET} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), 400),
        (f"GET / HTTP/1.1\r\nContent-Length: {SECRET}\r\n\r\n".encode(), 400),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (MAX_HEADERS + 1) + b"\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + SECRET.encode(), 400),
        (UPGRADE.replace(b"AAAA", SECRET.encode()) + b"Sec-WebSocket-Protocol: longcall.v1", 400),
        (UPGRADE + f"Sec-WebSocket-Protocol: {SECRET}".encode(), 400),
        (UPGRADE.replace(b": 13", b": " + SECRET.encode()) + b"Sec-WebSocket-Protocol: x", 400),
    ],
)
async def test_what_cannot_be_read_is_repeated_neither_to_its_sender_nor_to_the_log(
    at: Harness, caplog: pytest.LogCaptureFixture, data: bytes, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    async with raw(at.port) as sender:
        if not data.endswith(b"\r\n\r\n"):
            data += b"\r\n\r\n"
        answer = await sender.answer(data)
    assert int(answer.split()[1]) == status, answer
    assert b"application/problem+json" in answer
    assert SECRET.encode() not in answer
    assert SECRET not in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]
    await at.welcomed()


@pytest.mark.clause("2.1.4")
async def test_subprotocols_may_come_in_several_headers(
    at: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    async with raw(at.port) as client:
        head = await client.answer(
            UPGRADE
            + f"Sec-WebSocket-Protocol: {SECRET}\r\n".encode()
            + b"Sec-WebSocket-Protocol: chat, longcall.v1\r\n\r\n"
        )
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"sec-websocket-protocol: longcall.v1" in head.lower()
    assert SECRET not in caplog.text


@pytest.mark.clause("3.2.8")
async def test_a_defect_of_a_route_is_told_with_an_incident_alone(
    at: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("what was wrong")

    monkeypatch.setattr(at.gateway.doors, "enter", fail)
    async with raw(at.port) as client:
        answer = await client.answer(UPGRADE + b"Sec-WebSocket-Protocol: longcall.v1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"incident_id" in answer
    assert b"what was wrong" not in answer
    assert "what was wrong" in caplog.text


async def test_a_frame_that_lies_about_its_size_costs_nothing(at: Harness) -> None:
    async with raw(at.port) as liar:
        head = await liar.answer(UPGRADE + b"Sec-WebSocket-Protocol: longcall.v1\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        hello = b'{"type":"hello","token":"%s"}' % token().encode()
        mask = b"\0\0\0\0"
        liar.writer.write(b"\x81\xfe" + len(hello).to_bytes(2, "big") + mask + hello)
        liar.writer.write(b"\x81\xff" + (2**63 - 1).to_bytes(8, "big") + mask + b"x" * 100)
        assert (1009).to_bytes(2, "big") in await liar.until_end()
