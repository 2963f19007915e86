# SPDX-License-Identifier: Apache-2.0
"""A whole server and an identity provider beside it: it rotates, goes away, is attacked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from gateway_harness import PATIENCE, Harness, gateway
from key_server import KeyServer, key_server, never
from token_maker import EC, ED25519, RSA, claims, pem, token, utc_ms
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol
from wire import settings

from longcall_server import Handlers
from longcall_server.auth import (
    Authenticator,
    AuthError,
    AuthFailure,
    KeyRing,
    SigningKey,
)
from longcall_server.auth.fetching import Document
from longcall_server.auth.jwks import Jwks, Pace
from longcall_server.core.codes import CloseCode
from longcall_server.server import Server

QUICK = Pace(
    refresh_s=60,
    floor_s=0.2,
    retry_first_s=0.05,
    retry_most_s=0.2,
    fetch_timeout_s=0.5,
    patience_s=PATIENCE,
    absent_s=0.2,
)
"""As in the server, but all of it within a second."""


def good(key: SigningKey, **header: Any) -> str:
    values = claims(utc_ms(), exp=utc_ms() // 1000 + 3600, permissions=["request:*"])
    return token(key, values, **header)


@pytest.fixture
async def provider() -> AsyncIterator[KeyServer]:
    async with key_server(RSA) as made:
        yield made


@pytest.fixture
async def verifier(provider: KeyServer) -> Authenticator:
    jwks = Jwks(Document(provider.url), name="the provider", pace=QUICK)
    return Authenticator(KeyRing(jwks=jwks))


@pytest.fixture
async def at(verifier: Authenticator, handlers: Handlers, tmp_path: Path) -> AsyncIterator[Harness]:
    async with gateway(handlers, tmp_path, authenticator=verifier) as harness:
        yield harness


@pytest.mark.clause("3.1.6", "3.1.9", "3.6.2")
async def test_keys_are_rotated_under_load_and_nobody_notices(
    at: Harness, provider: KeyServer
) -> None:
    newest, ends = RSA, False
    used: dict[str, set[int]] = {key.algorithm.value: set() for key in (RSA, EC, ED25519)}
    all_used = asyncio.Event()
    await at.welcomed(good(RSA))

    async def client(number: int) -> None:
        """Comes, works, renews its token and leaves, until the last rotation is over."""
        while not ends:
            key = newest
            peer = await at.welcomed(good(key))
            await peer.request("echo", number)
            assert (await peer.receive())["result"] == number
            answer = await peer.ask({"type": "refresh", "token": good(newest)})
            assert answer["type"] == "refreshed"
            await peer.ws.close()
            used[key.algorithm.value].add(number)
            if len(used[newest.algorithm.value]) == 10:
                all_used.set()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(client(number))
        await all_used.wait()
        for key in (EC, ED25519):
            # Published and used from the same moment on: nobody is given time to learn of it.
            provider.keys.append(key)
            newest = key
            all_used.clear()
            await all_used.wait()
        ends = True
    assert provider.most_in_flight == 1
    assert provider.fetches == 3


@pytest.mark.clause("3.1.9")
async def test_ten_thousand_unknown_keys_refuse_no_good_client_and_fetch_little(
    at: Harness, provider: KeyServer, verifier: Authenticator
) -> None:
    await at.welcomed(good(RSA))
    texts = [good(ED25519, kid=f"unknown {number}") for number in range(10_000)]
    loop = asyncio.get_running_loop()
    began_at = loop.time()

    async def attack(text: str) -> AuthFailure:
        with pytest.raises(AuthError) as caught:
            await verifier.verify(text)
        return caught.value.reason

    async def attacker(number: int) -> None:
        peer = await at.connect()
        await peer.send({"type": "hello", "token": good(EC, kid=f"also unknown {number}")})
        assert await peer.close_code() == CloseCode.UNAUTHORIZED

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        attacks = [group.create_task(attack(text)) for text in texts]
        for number in range(50):
            group.create_task(attacker(number))
        for _ in range(20):
            peer = await at.welcomed(good(RSA))
            await peer.ws.close()
        provider.keys.append(EC)
        await at.welcomed(good(EC))
        await at.welcomed(good(RSA))
    assert {task.result() for task in attacks} == {AuthFailure.KEY}
    assert provider.most_in_flight == 1
    assert provider.fetches <= 2 + (loop.time() - began_at) / QUICK.floor_s


@pytest.mark.clause("3.1.11")
async def test_a_slow_or_broken_provider_disturbs_nobody_whose_key_is_known(
    at: Harness, provider: KeyServer
) -> None:
    async def broken(_: web.Request) -> web.Response:
        return web.Response(status=500)

    async def garbage(_: web.Request) -> web.Response:
        return web.Response(text='{"keys": []}')

    await at.welcomed(good(RSA))
    for answer in (never, broken, garbage):
        provider.answer = answer
        put_off = await at.connect()
        await put_off.send({"type": "hello", "token": good(EC)})
        for _ in range(10):
            await at.welcomed(good(RSA))
        assert await put_off.close_code() == CloseCode.TRY_AGAIN_LATER
    provider.keys.append(EC)
    provider.answer = provider.publish
    async with asyncio.timeout(PATIENCE):
        while not await _is_welcome(at, good(EC)):
            pass
    assert provider.most_in_flight == 1


async def _is_welcome(at: Harness, text: str) -> bool:
    peer = await at.connect()
    await peer.send({"type": "hello", "token": text})
    frame = await peer.ws.receive()
    return frame.data is not None and '"welcome"' in str(frame.data)


async def test_what_a_token_says_of_its_key_is_fetched_from_nowhere(
    at: Harness, provider: KeyServer
) -> None:
    base = provider.url.removesuffix("/jwks.json")
    await at.welcomed(good(RSA))
    fetches = provider.fetches
    for header in ({"jku": f"{base}/evil.json"}, {"x5u": f"{base}/evil.pem"}):
        peer = await at.connect()
        text = good(EC, kid=RSA.public.kid, alg="RS256", **header)
        await peer.send({"type": "hello", "token": text})
        assert await peer.close_code() == CloseCode.UNAUTHORIZED
    assert (provider.elsewhere, provider.fetches) == (0, fetches)


@pytest.mark.slow
async def test_a_server_starts_without_its_provider_and_serves_when_that_is_there(
    handlers: Handlers, provider: KeyServer
) -> None:
    async def down(_: web.Request) -> web.Response:
        return web.Response(status=503)

    provider.answer = down
    configured = settings(jwt_secret=None, jwks_url=provider.url, jwt_audience="longcall")
    values = claims(utc_ms(), aud="longcall")
    async with Server(configured, handlers) as server, ClientSession() as http:
        assert await _ready(http, server) == 503
        assert await _hello(server, token(RSA, values)) == CloseCode.TRY_AGAIN_LATER
        provider.answer = provider.publish
        async with asyncio.timeout(PATIENCE):
            while await _hello(server, token(RSA, values)) != "welcome":
                pass
        assert await _ready(http, server) == 200
        assert await _hello(server, token(EC, values)) == CloseCode.UNAUTHORIZED


@pytest.mark.slow
async def test_a_key_file_is_rotated_while_the_server_runs(
    handlers: Handlers, tmp_path: Path
) -> None:
    path = tmp_path / "keys.pem"
    await asyncio.to_thread(path.write_text, pem(RSA))
    configured = settings(jwt_secret=None, jwt_public_key_file=path)
    async with Server(configured, handlers) as server:
        assert await _hello(server, good(RSA)) == "welcome"
        assert await _hello(server, good(EC)) == CloseCode.UNAUTHORIZED
        await asyncio.to_thread(path.write_text, pem(EC))
        async with asyncio.timeout(PATIENCE):
            while await _hello(server, good(EC)) != "welcome":
                pass
        assert await _hello(server, good(RSA)) == CloseCode.UNAUTHORIZED


async def _ready(http: ClientSession, server: Server) -> int:
    async with http.get(f"{server.http_url}/readyz") as answer:
        return answer.status


async def _hello(server: Server, text: str) -> str | int:
    """The type of the answer, or the code of the close."""
    async with connect(server.url, subprotocols=[Subprotocol("longcall.v1")]) as socket:
        await socket.send(json.dumps({"type": "hello", "token": text}))
        try:
            return str(json.loads(await socket.recv())["type"])
        except ConnectionClosed:
            assert socket.close_code is not None
            return socket.close_code
