# SPDX-License-Identifier: Apache-2.0
"""One owner who asks for as much as the server takes: `flooding.py HOST PORT SEED`, a process.

It reads the tokens of its connections from standard input, one a line up to an empty one; fills
their pipes with requests, attaches and listings; and looks at nothing that it is told, but counts
it. A connection that the server closes is opened again after a second. It says `flooding` when all
are welcomed, stops when its standard input ends, and then says in JSON what it has done.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter

BATCH = 20
"""Messages that are written together."""
_UPGRADE = """\
GET /v1/connect HTTP/1.1\r
Host: {host}:{port}\r
Connection: Upgrade\r
Upgrade: websocket\r
Sec-WebSocket-Version: 13\r
Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r
Sec-WebSocket-Protocol: longcall.v1\r
\r
"""
_KINDS = (
    '{{"type":"request","id":"{id}","action":"work","payload":1}}',
    '{{"type":"request","id":"{id}","action":"echo","payload":1}}',
    '{{"type":"attach","request_id":"{id}","after_seq":0}}',
    '{{"type":"list","id":"{id}","status":["failed"]}}',
)
_SHARES = (70, 15, 10, 5)
_COUNTED = ("RATE_LIMITED", "RESOURCE_EXHAUSTED", '"acknowledgment"', '"complete"')


class Flood:
    """All connections of the one owner."""

    def __init__(self, host: str, port: int, seed: int) -> None:
        self._host = host
        self._port = port
        self._dice = random.Random(seed)
        self._seed = seed
        self._number = 0
        self.done: Counter[str] = Counter()

    async def keep_full(self, token: str, up: asyncio.Semaphore) -> None:
        """One connection, for ever."""
        while True:
            try:
                await self._pour(token, up)
            except (OSError, EOFError):
                self.done["closed"] += 1
            await asyncio.sleep(1)

    async def _pour(self, token: str, up: asyncio.Semaphore) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(_UPGRADE.format(host=self._host, port=self._port).encode())
            writer.write(_frame(json.dumps({"type": "hello", "token": token})))
            await reader.readuntil(b"\r\n\r\n")
            await reader.readuntil(b'"welcome"')
            self.done["connections"] += 1
            up.release()
            reading = asyncio.create_task(self._count(reader))
            try:
                while not reading.done():
                    writer.write(b"".join(_frame(self._message()) for _ in range(BATCH)))
                    self.done["sent"] += BATCH
                    await writer.drain()
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
        finally:
            writer.transport.abort()

    async def _count(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(1 << 16):
            for word in _COUNTED:
                self.done[word.strip('"')] += data.count(word.encode())

    def _message(self) -> str:
        self._number += 1
        (kind,) = self._dice.choices(_KINDS, _SHARES)
        return kind.format(id=f"f{self._seed}-{self._number}")


def _frame(text: str) -> bytes:
    """A masked text frame; with a key of zeros the text stands in it as it is."""
    data = text.encode()
    size = len(data)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + bytes(4) + data


async def main(host: str, port: str, seed: str) -> None:
    """Floods until standard input ends."""
    tokens = []
    while token := (await asyncio.to_thread(sys.stdin.readline)).strip():
        tokens.append(token)
    flood, up = Flood(host, int(port), int(seed)), asyncio.Semaphore(0)
    tasks = [asyncio.create_task(flood.keep_full(token, up)) for token in tokens]
    for _ in tokens:
        await up.acquire()
    print("flooding", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(flood.done), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
