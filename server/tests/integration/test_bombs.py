# SPDX-License-Identifier: Apache-2.0
"""What little can be sent to make a server take much memory: measured on a process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSMsgType
from processes import Process, serving
from wire import PATIENCE, token

pytestmark = pytest.mark.slow

LIMIT = 1_048_576
GIB = 1 << 30
ROOM = 24 << 20
"""More than a message or two in several forms, and a fraction of what each bomb holds."""
TAIL = b"\x00\x00\xff\xff"
RSV1 = 0x40


@contextlib.asynccontextmanager
async def bombed(folder: Path, *, compress: int = 15) -> AsyncIterator[Server]:
    flags = ("--compression", "true", "--store", "memory", "--messages-per-minute", "1000000")
    async with (
        serving(folder, *flags, handlers="swelling_app:handlers") as process,
        aiohttp.ClientSession() as session,
    ):
        server = Server(process, session, compress)
        async with server.connection() as socket:
            # What a first message takes once is not counted.
            await socket.send_str(json.dumps({"type": "ping", "x": "x" * (LIMIT - 40)}))
            assert (await answer(socket))["type"] == "pong"
        yield server


class Server:
    """A process whose memory is looked at."""

    def __init__(self, process: Process, session: aiohttp.ClientSession, compress: int) -> None:
        self._process = process
        self._session = session
        self._compress = compress

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with self._session.ws_connect(
            self._process.url,
            protocols=("longcall.v1",),
            compress=self._compress,
            max_msg_size=0,
        ) as socket:
            assert bool(socket.compress) is bool(self._compress)
            await socket.send_str(json.dumps({"type": "hello", "token": token()}))
            assert (await answer(socket))["type"] == "welcome"
            yield socket

    async def post(self, path: str, body: bytes, encoding: str) -> int:
        """The status of a route that reads a body."""
        bearer = token(permissions=("admin",))
        headers = {"Authorization": f"Bearer {bearer}", "Content-Encoding": encoding}
        url = str(self._process.ready["http_url"]) + path
        async with self._session.post(url, data=body, headers=headers) as response:
            return response.status

    @contextlib.contextmanager
    def growing_less_than(self, size: int) -> Iterator[None]:
        """The most memory that the process ever had grows by less than this meanwhile."""
        before = self.most()
        yield
        assert self.most() - before < size

    def most(self) -> int:
        """The most memory that the process has had at any time."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return next(
            int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:")
        )


async def answer(socket: aiohttp.ClientWebSocketResponse) -> dict[str, object]:
    async with asyncio.timeout(PATIENCE):
        while True:
            message: dict[str, object] = json.loads(await socket.receive_str())
            if message["type"] != "ping":
                return message


async def close_code(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    async with asyncio.timeout(PATIENCE):
        while (await socket.receive()).type is WSMsgType.TEXT:
            pass
    return socket.close_code


def zeros(size: int) -> bytes:
    """So many zeros, compressed; made a piece at a time."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = bytes(1 << 20)
    parts = [compressor.compress(piece) for _ in range(size >> 20)]
    return b"".join((*parts, compressor.flush(zlib.Z_SYNC_FLUSH))).removesuffix(TAIL)


async def test_what_is_measured_would_show_it(tmp_path: Path) -> None:
    async with bombed(tmp_path) as server, server.connection() as socket:
        before = server.most()
        request = {"type": "request", "id": "s", "action": "swell", "payload": 4 * ROOM}
        await socket.send_str(json.dumps(request))
        assert (await answer(socket))["result"] == 4 * ROOM
        assert server.most() - before > 3 * ROOM


@pytest.mark.clause("2.6.2", "2.6.3")
async def test_a_gibibyte_of_zeros_in_one_message_is_refused_before_it_is_there(
    tmp_path: Path,
) -> None:
    bomb = zeros(GIB)
    assert len(bomb) <= LIMIT
    async with bombed(tmp_path) as server:
        with server.growing_less_than(ROOM):
            for _ in range(3):
                async with server.connection() as socket:
                    socket._writer._write_websocket_frame(bomb, WSMsgType.TEXT, RSV1)
                    assert await close_code(socket) == 1009


@pytest.mark.clause("2.6.2", "2.6.3")
async def test_the_same_in_fragments_with_pings_between(tmp_path: Path) -> None:
    bomb = zeros(GIB)
    async with bombed(tmp_path) as server, server.connection() as socket:
        with server.growing_less_than(ROOM):
            transport = socket._writer.transport
            step = 1_000
            for start in range(0, len(bomb), step):
                part = bomb[start : start + step]
                first = (RSV1 | 0x01) if start == 0 else 0x00
                last = 0x80 if start + step >= len(bomb) else 0x00
                transport.write(masked(first | last, part) + masked(0x89, b""))
            assert await close_code(socket) == 1009


@pytest.mark.clause("2.6.4")
async def test_many_small_frames_that_are_a_message_of_the_limit_each_cost_one_of_them(
    tmp_path: Path,
) -> None:
    head, tail = b'{"type":"ping","nonce":"n","x":"', b'"}'
    message = head + b"0" * (LIMIT - len(head) - len(tail)) + tail
    # With its window kept from message to message, each is still smaller than the first.
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    async with bombed(tmp_path) as server, server.connection() as socket:
        with server.growing_less_than(ROOM):
            for _ in range(200):
                data = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
                assert len(data) < 2_000
                payload = data.removesuffix(TAIL)
                socket._writer._write_websocket_frame(payload, WSMsgType.TEXT, RSV1)
            for _ in range(200):
                assert await answer(socket) == {"type": "pong", "nonce": "n"}


async def test_a_stream_that_ends_and_begins_again_in_one_message_is_bounded_too(
    tmp_path: Path,
) -> None:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    member = compressor.compress(bytes(LIMIT // 2)) + compressor.flush(zlib.Z_FINISH)
    bomb = member * (LIMIT // len(member) - 1)
    async with bombed(tmp_path) as server, server.connection() as socket:
        with server.growing_less_than(ROOM):
            socket._writer._write_websocket_frame(bomb, WSMsgType.TEXT, RSV1)
            assert await close_code(socket) == 1009


@pytest.mark.clause("2.6.3")
async def test_frames_that_lie_about_their_size_cost_nothing(tmp_path: Path) -> None:
    lies = [2**63 - 1, 2**62, 2**32, LIMIT + 1]
    async with bombed(tmp_path, compress=0) as server:
        with server.growing_less_than(ROOM):
            for size in lies * 5:
                async with server.connection() as socket:
                    head = bytes((0x81, 0xFF)) + size.to_bytes(8, "big") + bytes(4)
                    socket._writer.transport.write(head + b"x" * 1_000)
                    assert await close_code(socket) == 1009
        with server.growing_less_than(ROOM):
            async with contextlib.AsyncExitStack() as stack:
                # What is announced is not taken before it comes.
                for _ in range(50):
                    socket = await stack.enter_async_context(server.connection())
                    head = bytes((0x81, 0xFF)) + LIMIT.to_bytes(8, "big") + bytes(4)
                    transport = socket._writer.transport
                    transport.write(head)
                    stack.callback(transport.abort)
                async with server.connection() as other:
                    await other.send_str('{"type":"ping"}')
                    assert await answer(other) == {"type": "pong"}


@pytest.mark.parametrize("encoding", ["deflate", "gzip"])
async def test_a_compressed_body_is_measured_by_what_it_holds(
    tmp_path: Path, encoding: str
) -> None:
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    parts = [compressor.compress(bytes(1 << 20)) for _ in range(GIB >> 20)]
    bomb = b"".join((*parts, compressor.flush()))
    async with bombed(tmp_path) as server:
        with server.growing_less_than(ROOM):
            assert await server.post("/v1/announcements", bomb, encoding) == 413


def masked(first: int, payload: bytes) -> bytes:
    """A frame as a client sends it, with a mask of zeros."""
    size = len(payload)
    if size < 126:
        return bytes((first, 0x80 | size)) + bytes(4) + payload
    return bytes((first, 0xFE)) + size.to_bytes(2, "big") + bytes(4) + payload
