# SPDX-License-Identifier: Apache-2.0
"""Whatever answers at the URL: the document, or a clear problem, in bounded memory."""

from __future__ import annotations

import asyncio
import gc
import gzip
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from key_server import KeyServer, key_server, never
from token_maker import EC, RSA

from longcall_server.auth import KeyProblem
from longcall_server.auth.fetching import MAX_DOCUMENT_BYTES, Document
from longcall_server.auth.keys import jwk_set_keys


@pytest.fixture
async def provider() -> AsyncIterator[KeyServer]:
    async with key_server(RSA, EC) as made:
        yield made


async def problem(provider: KeyServer) -> str:
    with pytest.raises(KeyProblem) as caught:
        await Document(provider.url)()
    return str(caught.value)


async def test_the_document_is_what_was_published(provider: KeyServer) -> None:
    keys = jwk_set_keys(await Document(provider.url)())
    assert [key.kid for key in keys] == [RSA.public.kid, EC.public.kid]


@pytest.mark.parametrize("status", [204, 304, 400, 401, 404, 429, 500, 503])
async def test_any_other_status_is_a_problem(provider: KeyServer, status: int) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status)

    provider.answer = answer
    said = await problem(provider)
    assert str(status) in said or "redirects" in said


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["/elsewhere", "http://127.0.0.1:9/", "file:///etc/passwd"])
async def test_a_redirect_is_followed_nowhere(
    provider: KeyServer, status: int, target: str
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": target})

    provider.answer = answer
    assert "set the URL where the keys are" in await problem(provider)
    assert provider.elsewhere == 0


async def test_a_document_of_the_most_bytes_is_read_and_one_more_is_too_many(
    provider: KeyServer,
) -> None:
    for size in (MAX_DOCUMENT_BYTES, MAX_DOCUMENT_BYTES + 1):

        async def answer(_: web.Request, size: int = size) -> web.Response:
            return web.Response(body=b" " * size)

        provider.answer = answer
        if size == MAX_DOCUMENT_BYTES:
            assert len(await Document(provider.url)()) == size
        else:
            assert "more than" in await problem(provider)


async def test_an_answer_without_end_is_given_up(provider: KeyServer) -> None:
    sent = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65_536)
            sent += 65_536

    provider.answer = answer
    assert "more than" in await problem(provider)
    # What the sockets hold comes on top.
    assert sent < 64 * MAX_DOCUMENT_BYTES


async def test_a_compressed_answer_is_not_unpacked(provider: KeyServer) -> None:
    bomb = gzip.compress(b" " * 50_000_000)

    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    provider.answer = answer
    document = await Document(provider.url)()
    assert document == bomb
    with pytest.raises(KeyProblem, match="not a JWK Set"):
        jwk_set_keys(document)


async def test_an_answer_that_breaks_off_is_a_problem(provider: KeyServer) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"keys": [')
        assert request.transport is not None
        request.transport.close()
        return response

    provider.answer = answer
    assert "the request failed" in await problem(provider)


async def test_who_waits_no_longer_leaves_nothing_behind(provider: KeyServer) -> None:
    provider.answer = never
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await Document(provider.url)()
    # A session or a socket that was left open would warn here, which is an error.
    gc.collect()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_port_where_nobody_listens_is_a_problem(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(KeyProblem, match="the request failed"):
        await Document(f"{scheme}://127.0.0.1:{port}/")()


async def test_a_server_without_tls_is_a_problem_for_https(provider: KeyServer) -> None:
    with pytest.raises(KeyProblem, match="the request failed"):
        await Document(provider.url.replace("http:", "https:"))()
    assert provider.fetches == 0


async def test_no_problem_and_no_name_shows_what_is_secret_in_a_url() -> None:
    document = Document("http://me:hunter2@127.0.0.1:1/keys?api_key=hunter3#hunter4")
    assert document.name == "http://127.0.0.1:1/keys"
    with pytest.raises(KeyProblem) as caught:
        await document()
    assert "hunter" not in str(caught.value)
    assert caught.value.__suppress_context__
