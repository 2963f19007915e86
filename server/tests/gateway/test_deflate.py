# SPDX-License-Identifier: Apache-2.0
"""permessage-deflate: off unless it is wanted, each message for itself, limits on what it holds."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import WSMsgType
from gateway_harness import Harness, Peer, gateway, token
from gateway_stage import is_terminal
from service_harness import limits
from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.typing import Subprotocol

from longcall_server import Handlers, RequestContext
from longcall_server.gateway.app import GatewaySettings
from longcall_server.gateway.deflate import LEAST_BYTES, Deflater, head_bytes, text_frame
from longcall_server.gateway.deflating_socket import is_longer

RSV1 = 0x40
TAIL = b"\x00\x00\xff\xff"


def inflate(payload: bytes, window_bits: int = 15) -> bytes:
    return zlib.decompressobj(-window_bits).decompress(payload + TAIL)


def text(size: int, seed: int = 0) -> bytes:
    draw = random.Random(seed)
    return " ".join(str(draw.randrange(10_000)) for _ in range(size)).encode()[:size]


@pytest.mark.parametrize("window_bits", range(9, 16))
@pytest.mark.parametrize("size", [LEAST_BYTES, 1_000, 65_535, 70_000, 1_048_576])
def test_a_message_is_what_was_compressed_in_each_window(window_bits: int, size: int) -> None:
    data = text(size)
    payload = Deflater().deflate(data, window_bits)
    assert payload is not None
    assert len(payload) < size
    assert inflate(payload, window_bits) == data


def test_no_message_refers_to_another_one() -> None:
    deflater, data = Deflater(), text(5_000)
    first = deflater.deflate(data, 15)
    assert first is not None
    for _ in range(3):
        again = deflater.deflate(data, 15)
        # Were the same text still known, a few bytes would say it.
        assert again is not None
        assert len(again) >= len(first) - 8
        assert inflate(again) == data


def test_what_does_not_get_shorter_is_not_compressed() -> None:
    deflater = Deflater()
    assert deflater.deflate(b"x" * (LEAST_BYTES - 1), 15) is None
    noise = random.Random(1).randbytes(4_000)
    assert deflater.deflate(noise, 15) is None
    data = text(1_000)
    after = deflater.deflate(data, 15)
    assert after is not None
    assert inflate(after) == data


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_a_frame_has_its_length_in_as_few_bytes_as_it_may(size: int) -> None:
    frame = text_frame(b"x" * size, compressed=True)
    assert frame[0] == 0b1100_0001
    assert text_frame(b"")[0] == 0b1000_0001
    assert len(frame) == size + head_bytes(size)
    assert head_bytes(size) == {0: 2, 125: 2, 126: 4, 65_535: 4, 65_536: 10}[size]


@pytest.mark.parametrize(
    ("text", "limit", "longer"),
    [("abc", 3, False), ("abcd", 3, True), ("ää", 4, False), ("ää", 3, True), ("😀", 3, True)],
)
def test_a_text_is_measured_in_bytes(text: str, limit: int, longer: bool) -> None:
    assert is_longer(text, limit) is longer


# --- On a server ---------------------------------------------------------------------------------


@pytest.fixture
async def at(handlers: Handlers, tmp_path: Path) -> AsyncIterator[Harness]:
    settings = GatewaySettings(compression=True, files_dir=tmp_path, close_timeout_ms=500)
    async with gateway(handlers, tmp_path, settings=settings) as harness:
        yield harness


async def compressing(at: Harness) -> Peer:
    peer = await at.welcomed(compress=15)
    assert peer.ws.compress
    return peer


@pytest.mark.clause("2.6.1")
async def test_it_is_used_with_a_client_that_offers_it_and_not_with_others(at: Harness) -> None:
    for offered in (15, 0):
        peer = await at.welcomed(compress=offered)
        assert bool(peer.ws.compress) is bool(offered)
        await peer.request("echo", "x" * 50_000)
        assert (await peer.receive())["result"] == "x" * 50_000


@pytest.mark.parametrize(
    "offer",
    [
        ClientPerMessageDeflateFactory(),
        ClientPerMessageDeflateFactory(server_no_context_takeover=True),
        ClientPerMessageDeflateFactory(client_no_context_takeover=True),
        ClientPerMessageDeflateFactory(server_max_window_bits=9),
        ClientPerMessageDeflateFactory(client_max_window_bits=9),
    ],
    ids=["plain", "server forgets", "client forgets", "server window", "client window"],
)
async def test_another_library_understands_all_that_is_sent(
    at: Harness, offer: ClientPerMessageDeflateFactory
) -> None:
    async with connect(
        at.url, subprotocols=[Subprotocol("longcall.v1")], extensions=[offer], compression=None
    ) as socket:
        hello = {"type": "hello", "token": token()}
        await socket.send(json.dumps(hello))
        assert json.loads(await socket.recv())["type"] == "welcome"
        assert socket.protocol.extensions
        for number, size in enumerate((10, 200, 20_000, 60_000, 20_000, 200)):
            payload = text(size, number).decode()
            request = {"type": "request", "id": f"r{number}", "action": "echo", "payload": payload}
            await socket.send(json.dumps(request))
            assert json.loads(await socket.recv())["result"] == payload


async def test_a_log_that_is_followed_arrives_whole_and_in_order(at: Harness) -> None:
    peer = await compressing(at)
    await peer.request("pour", 40)
    seen = await peer.until(is_terminal)
    assert [message["seq"] for message in seen] == list(range(1, len(seen) + 1))
    assert all(message["data"] == "x" * 60_000 for message in seen if message["type"] == "chunk")


@pytest.mark.clause("2.6.2", "2.6.3", "2.6.4")
@pytest.mark.parametrize("filler", ["x", "ä"])
async def test_a_limit_is_one_of_bytes_after_decompression(at: Harness, filler: str) -> None:
    peer = await compressing(at)
    size = limits().max_message_bytes
    head, tail = '{"type":"ping","nonce":"n","x":"', '"}'
    room = size - len(head) - len(tail)
    width = len(filler.encode())
    body = filler * (room // width) + "." * (room % width)
    assert await peer.ask(head + body + tail) == {"type": "pong", "nonce": "n"}
    await peer.send(head + body + "." + tail)
    assert await peer.close_code() == 1009


async def test_what_does_not_decompress_is_no_text(at: Harness) -> None:
    peer = await compressing(at)
    peer.ws._writer._write_websocket_frame(b"\xff" * 200, WSMsgType.TEXT, RSV1)
    assert await peer.close_code() == 1007


async def test_a_frame_that_says_it_is_compressed_breaks_the_protocol_where_that_is_off(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with gateway(handlers, tmp_path) as at:
        peer = await at.welcomed(compress=15)
        assert not peer.ws.compress
        peer.ws._writer._write_websocket_frame(b"\x02\x00", WSMsgType.TEXT, RSV1)
        assert await peer.close_code() == 1002


async def test_a_reader_that_stalls_is_noticed_by_what_it_was_really_sent(
    handlers: Handlers, tmp_path: Path
) -> None:
    settings = GatewaySettings(
        compression=True, send_buffer_bytes=131_072, stall_timeout_ms=200, close_timeout_ms=100
    )

    @handlers.register("noise", durable=False)
    async def noise(ctx: RequestContext) -> str:
        return random.Random(2).randbytes(30_000).hex()

    async with gateway(handlers, tmp_path, settings=settings) as at:
        peer = await compressing(at)
        connection = peer.ws._response.connection
        assert connection is not None
        assert connection.transport is not None
        connection.transport.pause_reading()
        for number in range(300):
            await peer.request("noise", id=f"r{number}")
        await at.until_connections(0)
