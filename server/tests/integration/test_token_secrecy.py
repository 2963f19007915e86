# SPDX-License-Identifier: Apache-2.0
"""No piece of a token is in anything that a run of the server writes or sends (PROTOCOL 3.2.7).

Two processes on one data folder, with every log turned up, meet good and bad tokens in all places
where a token may travel, hellos and requests that are none, handlers that fail, and a crash. Then
everything is searched. A canary, put on purpose wherever a handler and a client can put something,
shows that each of these places is looked at.
"""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import aiohttp
import jwt
import pytest
from aiohttp import WSMsgType
from evidence import Evidence
from processes import HERE, Process, running
from raw_http import raw
from wire import PATIENCE, SECRET, token

pytestmark = pytest.mark.slow

GOOD = {place: token(f"user of {place}") for place in ("hello", "header", "query", "refresh")}
CANARY = ".".join(secrets.token_urlsafe(size) for size in (24, 90, 32))
"""Of the form of a token, and without a piece of any other."""


def bad_tokens() -> dict[str, str]:
    """Tokens that are refused, each for another reason."""
    claims = {"sub": "mallory", "tenant_id": "acme", "exp": int(time.time()) + 3_600}
    head = base64.urlsafe_b64encode(b'{"alg":"HS256"}').decode().rstrip("=")
    nested = base64.urlsafe_b64encode(b"[" * 3_000).decode().rstrip("=")

    def signed(key: str = SECRET, algorithm: str | None = "HS256", **changes: object) -> str:
        given = {name: value for name, value in (claims | changes).items() if value is not None}
        return jwt.encode(given, key, algorithm=algorithm)

    return {
        "expired": signed(exp=int(time.time()) - 60),
        "another key": signed(key="another-secret-of-more-than-32-bytes"),
        "no algorithm": signed(key="", algorithm="none", note="x" * 40),
        "another algorithm": signed(key=SECRET * 2, algorithm="HS512"),
        "no tenant": signed(tenant_id=None),
        "bad subject": signed(sub=7),
        "bad permissions": signed(permissions="request:everything"),
        "not yet": signed(nbf=int(time.time()) + 3_000),
        "spoilt": signed(note="spoilt")[:-6] + "AAAAAA",
        "no json": f"{head}.Y2VydGFpbmx5IG5vIGpzb24.c2lnbmF0dXJlIG9mIG5vdGhpbmc",
        "too deep": f"{head}.{nested}.c2lnbmF0dXJlIHRvbyBkZWVw",
        "two parts": "bm8gdG9rZW4gYXQgYWxsISEgT25lIHBhcnQu.YW5kIG5vIHNpZ25hdHVyZSBlaXRoZXIu",
        "long": f"{head}.{'bG9uZyBhbmQgbG9uZ2Vy' * 500}.c2lnbmF0dXJlIGFzIHdlbGw",
    }


BAD = bad_tokens()


class Visitor:
    """A client that writes down every word it hears."""

    def __init__(self, process: Process, session: aiohttp.ClientSession, heard: Evidence) -> None:
        self._url = process.url
        self._http = str(process.ready["http_url"])
        self._session = session
        self._heard = heard

    async def hello(
        self, text: str | None, *, header: str | None = None, query: str | None = None
    ) -> str:
        """Connects and says this; what comes of it."""
        async with self.connection(header=header, query=query) as socket:
            if socket is None:
                return "refused"
            await socket.send_str('{"type":"hello"}' if text is None else text)
            return await self.hear(socket)

    @asynccontextmanager
    async def connection(
        self, *, header: str | None = None, query: str | None = None
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse | None]:
        """A connection; None where it was refused."""
        url = self._url if query is None else f"{self._url}?access_token={quote(query)}"
        headers = {} if header is None else {"Authorization": f"Bearer {header}"}
        try:
            socket = await self._session.ws_connect(
                url, protocols=("longcall.v1",), headers=headers
            )
        except aiohttp.WSServerHandshakeError as error:
            self._heard.add("refused upgrades", f"{error.status} {error.message} {error.headers}")
            yield None
            return
        async with socket:
            yield socket

    async def hear(self, socket: aiohttp.ClientWebSocketResponse) -> str:
        """The next message but pings; its type, or the code of a close."""
        while True:
            async with asyncio.timeout(PATIENCE):
                frame = await socket.receive()
            if frame.type is not WSMsgType.TEXT:
                self._heard.add("close frames", f"{frame.type} {frame.data} {frame.extra}")
                return str(socket.close_code)
            self._heard.add("frames", frame.data)
            message = json.loads(frame.data)
            if message["type"] != "ping":
                return str(message["type"])

    async def until(self, socket: aiohttp.ClientWebSocketResponse, *types: str) -> None:
        while (kind := await self.hear(socket)) not in types:
            assert not kind.isdigit(), kind

    async def get(self, path: str, *, method: str = "GET", header: str | None = None) -> int:
        """The status of a route."""
        headers = {} if header is None else {"Authorization": f"Bearer {header}"}
        async with self._session.request(
            method, self._http + path, headers=headers, data=b"{}" if method == "POST" else None
        ) as answer:
            self._heard.add("HTTP answers", f"{answer.headers} {await answer.text()}")
            return answer.status

    async def say(self, data: bytes) -> None:
        """Sends what may be no HTTP at all."""
        port = urlsplit(self._http).port
        assert port is not None
        async with raw(port) as socket:
            socket.writer.write(data)
            socket.writer.write_eof()
            self._heard.add("answers to garbage", await socket.until_end())


async def visit(process: Process, heard: Evidence, *, takes_query: bool) -> None:
    """All that can go right and wrong with a token."""
    async with aiohttp.ClientSession() as session:
        visitor = Visitor(process, session, heard)
        await loosen(visitor)
        await good_tokens(visitor, takes_query=takes_query)
        for name, bad in BAD.items():
            await refused_everywhere(visitor, bad, takes_query=takes_query)
            await malformed(visitor, bad)
            heard.add("tried", name)
        for good in GOOD.values():
            await malformed(visitor, good)
        await canary(visitor)


async def loosen(visitor: Visitor) -> None:
    async with visitor.connection() as socket:
        assert socket is not None
        await socket.send_json({"type": "hello", "token": GOOD["hello"]})
        await visitor.until(socket, "welcome")
        await socket.send_json({"type": "request", "id": "loose", "action": "loosen"})
        await visitor.until(socket, "response")


async def good_tokens(visitor: Visitor, *, takes_query: bool) -> None:
    assert await visitor.hello(json.dumps({"type": "hello", "token": GOOD["hello"]})) == "welcome"
    assert await visitor.hello(None, header=GOOD["header"]) == "welcome"
    expected = "welcome" if takes_query else "4401"
    assert await visitor.hello(None, query=GOOD["query"]) == expected
    for place, status in (("header", 404), ("query", 404 if takes_query else 401)):
        path = "/v1/requests/never/files/a"
        if place == "query":
            assert await visitor.get(f"{path}?access_token={GOOD['query']}") == status
        else:
            assert await visitor.get(path, header=GOOD["header"]) == status
    for path in ("/v1/connect", "/v1/announcements", "/healthz", "/nothing"):
        await visitor.get(f"{path}?access_token={GOOD['query']}", header=GOOD["header"])
        await visitor.get(path, method="POST", header=GOOD["header"])


async def refused_everywhere(visitor: Visitor, bad: str, *, takes_query: bool) -> None:
    assert await visitor.hello(json.dumps({"type": "hello", "token": bad})) == "4401"
    assert await visitor.hello(None, header=bad) in ("4401", "refused")
    assert await visitor.hello(None, query=bad) in ("4401", "refused")
    path = "/v1/requests/never/files/a"
    assert await visitor.get(path, header=bad) in (401, 431)
    assert await visitor.get(f"{path}?access_token={bad}") in (401, 431)
    async with visitor.connection() as socket:
        assert socket is not None
        await socket.send_json({"type": "hello", "token": GOOD["refresh"]})
        await visitor.until(socket, "welcome")
        # Refused, good, and good but of somebody else.
        for given, answer in (
            (bad, "error"),
            (GOOD["refresh"], "refreshed"),
            (GOOD["hello"], "error"),
        ):
            await socket.send_json({"type": "refresh", "token": given})
            await visitor.until(socket, answer)


async def malformed(visitor: Visitor, text: str) -> None:
    """A token where it does not belong, or in what cannot be read."""
    for hello in (
        f'{{"type":"hello","token":"{text}"',
        f'{{"type":"hello","token":["{text}"]}}',
        f'{{"type":"hello","token":"{text}\\ud800"}}',
        f'{{"type":"hello","token":" {text}"}}',
        f'{{"type":"hello","token":"x","token":"{text}\\u0000"}}',
        f'{{"type":"hello","token":"{text}","client":{{"name":5}}}}',
        f'{{"type":"hello","token":"{text}","client":"{text}"}}',
        f'{{"type":"hello","{text}":1,"token":7}}',
        f'{{"type":"{text}"}}',
        f'"{text}"',
        text,
        json.dumps({"type": "refresh", "token": text}),
    ):
        assert (await visitor.hello(hello)) in ("4400", "4401", "welcome"), hello[:40]
    async with visitor.connection() as socket:
        assert socket is not None
        await socket.send_json({"type": "hello", "token": GOOD["hello"]})
        await visitor.until(socket, "welcome")
        for message in (
            f'{{"type":"hello","token":"{text}"}}',
            f'{{"type":"refresh","token":["{text}"]}}',
            f'{{"type":"refresh","token":"{text}"',
            f'{{"type":"refresh","token":"{text}","x":1e999}}',
            f'{{"type":"{text}","token":"{text}"}}',
            f'{{"type":"refresh","tokens":"{text}"}}',
        ):
            await socket.send_str(message)
            await visitor.until(socket, "error")
    # Not in a path: nobody can tell what is a token there, and the loop's debug log shows it.
    encoded = text.encode()
    for garbage in (
        b"GET /v1/connect?access_token=" + encoded + b"\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/connect?access_token=" + encoded + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + encoded + b"\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization " + encoded + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: " + encoded + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: " + encoded + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: " + encoded + b"\r\n\r\n",
        encoded + b" / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/connect HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        + encoded
        + b"\r\nSec-WebSocket-Protocol: longcall.v1\r\n\r\n",
        b"GET /v1/connect HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        b"AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: " + encoded + b"\r\n\r\n",
        encoded,
    ):
        await visitor.say(garbage)


async def canary(visitor: Visitor) -> None:
    """Puts it wherever a client and a handler can."""
    async with visitor.connection() as socket:
        assert socket is not None
        await socket.send_json({"type": "hello", "token": GOOD["hello"]})
        await visitor.until(socket, "welcome")
        for action in ("echo", "keep", "fail"):
            request = {"type": "request", "id": action, "action": action, "payload": CANARY}
            await socket.send_json(request)
            await visitor.until(socket, "response" if action == "echo" else "acknowledgment")
            if action != "echo":
                await visitor.until(socket, "complete", "error")
    assert await visitor.get("/v1/requests/keep/files/kept.txt", header=GOOD["hello"]) == 200
    # One that is never answered: the file that is stored says so.
    assert await visitor.hello(json.dumps({"type": CANARY, "token": CANARY})) == "4400"


async def command(folder: Path, evidence: Evidence, *words: str) -> None:
    """Runs an operator's command and takes down what it says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "longcall_server", *words, "--data-dir", str(folder / "data")),
        cwd=HERE,
        env=os.environ | {"PYTHONASYNCIODEBUG": "1", "LONGCALL_LOG_LEVEL": "debug"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE):
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    evidence.add(" ".join(words[:2]), said)


@pytest.mark.clause("3.2.7", "3.2.8")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("loop", "takes_query"), [("asyncio", True), ("uvloop", False)])
async def test_no_piece_of_a_token_is_in_anything_that_was_written_or_sent(
    tmp_path: Path, loop: str, *, takes_query: bool
) -> None:
    without = tmp_path / "without"
    without.mkdir()
    if loop == "asyncio":
        (without / "uvloop.py").write_text("raise ImportError\n")
    elif importlib.util.find_spec("uvloop") is None:
        pytest.skip("uvloop is not installed")
    environment = {
        "LONGCALL_JWT_SECRET": SECRET,
        "LONGCALL_LOG_LEVEL": "debug",
        "PYTHONASYNCIODEBUG": "1",
        "PYTHONFAULTHANDLER": "1",
        "PYTHONPATH": str(without),
    }
    flags = ("--port", "0", "--allow-query-token", str(takes_query).lower())
    folder, evidence = tmp_path / "run", Evidence()
    folder.mkdir()
    for number, end in enumerate((signal.SIGSEGV, signal.SIGTERM)):
        async with running(
            "serve",
            folder,
            *flags,
            handlers="leaky_app:handlers",
            log=str(folder / f"log-{number}.txt"),
            **environment,
        ) as process:
            if number == 0:
                await visit(process, evidence, takes_query=takes_query)
                # In use, with its log beside it.
                evidence.add_files(folder / "data")
            process.signal(end)
            await process.over()
    await command(folder, evidence, "deadletter", "list", "--json")
    await command(folder, evidence, "deadletter", "show", "fail")
    await command(folder, evidence, "backup", str(folder / "backup.tar"))
    evidence.add_files(folder)

    first_log = evidence.found["file log-0.txt"]
    assert b"Fatal Python error: Segmentation fault" in first_log
    assert b"a defect of the handler" in first_log
    seen = evidence.places_of(CANARY)
    assert {
        "frames",
        "HTTP answers",
        "file log-0.txt",
        "file data/longcall.sqlite3-wal",
        "file backup.tar",
        "deadletter show",
    } <= {place.replace("file longcall", "file data/longcall") for place in seen}, seen
    for name, secret in (GOOD | BAD).items():
        assert evidence.places_of(secret) == set(), name
