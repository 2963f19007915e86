# SPDX-License-Identifier: Apache-2.0
"""Files over HTTP: whole and right, or not at all. PROTOCOL 8.6."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from peer import Peer
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from longcall import (
    ConfigurationError,
    DownloadError,
    NotFoundError,
    Options,
    UnauthorizedError,
    connect,
)
from longcall.download import download_file
from longcall.options import http_base


class FileServer(Peer):
    """A scripted server that also answers GET of files, with `body` and `headers`."""

    def __init__(
        self, body: bytes = b"", *, status: int = 200, etag: str | None = "", cut: int = 0
    ) -> None:
        super().__init__()
        self.requests: list[tuple[str, str | None]] = []
        self.body, self.status, self.cut = body, status, cut
        self.etag = f'"{hashlib.sha256(body).hexdigest()}"' if etag == "" else etag

    def answer(self, socket: ServerConnection, request: Request) -> Response | None:
        if "/files/" not in request.path:
            return None
        self.requests.append((request.path, request.headers.get("Authorization")))
        headers = Headers()
        headers["Content-Length"] = str(len(self.body))
        headers["Connection"] = "close"
        if self.etag is not None:
            headers["ETag"] = self.etag
        body = self.body[: len(self.body) - self.cut]
        return Response(self.status, HTTPStatus(self.status).phrase, headers, body)


def in_folder(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


async def download(server: FileServer, path: Path, name: str = "report 1.csv") -> Any:
    async with connect(server.url, "secret", options=Options(close_timeout=0.5)) as client:
        return await client.attach("job:1").download(name, path)


def problem(code: str | None) -> bytes:
    return json.dumps({"title": "no", "detail": "not this one", "code": code}).encode()


async def test_file_is_put_in_its_place_when_it_is_whole(tmp_path: Path) -> None:
    body = bytes(range(256)) * 4000
    async with FileServer(body) as server:
        got = await download(server, tmp_path)
        again = await download(server, tmp_path / "other")
    assert got.path == str(tmp_path / "report 1.csv")
    assert (got.size, got.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert again.path == str(tmp_path / "other")
    assert in_folder(tmp_path) == {"other": body, "report 1.csv": body}
    expected = ("/v1/requests/job%3A1/files/report%201.csv", "Bearer secret")
    assert server.requests == [expected, expected]


@pytest.mark.parametrize(
    "defect", [{"cut": 1}, {"etag": f'"{"0" * 64}"'}, {"etag": None}, {"etag": '"abc"'}]
)
async def test_what_is_not_the_file_leaves_the_old_one(
    tmp_path: Path, defect: dict[str, Any]
) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    async with FileServer(b"x" * 1000, **defect) as server:
        with pytest.raises(DownloadError):
            await download(server, target)
    assert in_folder(tmp_path) == {"file": b"old"}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, problem("NOT_FOUND"), NotFoundError),
        (401, problem("UNAUTHORIZED"), UnauthorizedError),
        (502, b"<html>", DownloadError),
        (500, problem(None), DownloadError),
    ],
)
async def test_refusal_is_a_typed_error(
    tmp_path: Path, status: int, body: bytes, error: type[Exception]
) -> None:
    async with FileServer(body, status=status) as server:
        with pytest.raises(error) as caught:
            await download(server, tmp_path)
    assert "secret" not in str(caught.value)
    assert not in_folder(tmp_path)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc/passwd"])
async def test_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    async with FileServer() as server:
        with pytest.raises(ConfigurationError):
            await download(server, tmp_path, name)
    assert not server.requests


async def test_token_function_that_fails_is_told(tmp_path: Path) -> None:
    async with FileServer() as server, connect(server.url, lambda reason: "") as client:
        with pytest.raises(ConfigurationError):
            await client.attach("job").download("file", tmp_path)


async def test_download_that_nobody_wants_any_more_stops(tmp_path: Path) -> None:
    stopped = threading.Event()
    stopped.set()
    async with FileServer(b"x" * 1000) as server:
        with pytest.raises(DownloadError):
            await asyncio.to_thread(
                download_file,
                http_base(server.url),
                "job",
                "file",
                tmp_path,
                token=None,
                headers={},
                timeout=5,
                stopped=stopped,
            )
    assert not in_folder(tmp_path)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("ws://a:1/v1/connect", "http://a:1"),
        ("wss://a/v1/connect", "https://a"),
        ("wss://a/api/v1/connect", "https://a/api"),
        ("wss://a/socket?x=1", "https://a"),
    ],
)
def test_http_address_beside_the_websocket(url: str, base: str) -> None:
    assert http_base(url) == base
