# SPDX-License-Identifier: Apache-2.0
"""Clients whose tokens take a while to verify, or cannot be verified right now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
from aiohttp import ClientWSTimeout
from gateway_harness import KEY, PATIENCE, Harness, gateway, token
from gateway_stage import code

from longcall_server import Handlers
from longcall_server.auth import (
    Authenticator,
    KeyRing,
    KeysUnavailable,
    Principal,
    TokenRules,
    create_token,
)
from longcall_server.core.codes import CloseCode
from longcall_server.gateway.app import GatewaySettings, drain


class Slow(Authenticator):
    """Takes its time, as one that has to fetch a key; or never gets it."""

    def __init__(self) -> None:
        super().__init__(KeyRing([KEY.public]))
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.is_down = False

    async def verify(self, token: str) -> Principal:
        self.asked.set()
        await self.go_on.wait()
        if self.is_down:
            raise KeysUnavailable
        return await super().verify(token)

    def hold(self) -> None:
        """Verifies nothing until it may go on."""
        self.asked.clear()
        self.go_on.clear()

    async def is_asked(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.asked.wait()


@pytest.fixture
async def slow() -> Slow:
    return Slow()


@pytest.fixture
async def at(slow: Slow, handlers: Handlers, tmp_path: Path) -> AsyncIterator[Harness]:
    # Long enough that a machine that stalls between a connection and its hello is not too slow.
    settings = GatewaySettings(hello_timeout_ms=2_000, close_timeout_ms=500)
    async with gateway(handlers, tmp_path, settings=settings, authenticator=slow) as harness:
        yield harness


@pytest.mark.clause("4.2.4")
async def test_what_is_sent_behind_a_hello_waits_until_its_token_is_verified(
    at: Harness, slow: Slow
) -> None:
    slow.hold()
    peer, quick = await at.connect(), await at.connect()
    await peer.send({"type": "hello", "token": token()})
    await peer.request("echo", 5)
    # Much later than a hello may come.
    assert await quick.close_code() == CloseCode.TOO_SLOW
    slow.go_on.set()
    assert (await peer.receive())["type"] == "welcome"
    assert await peer.receive() == {"type": "response", "request_id": "r1", "result": 5}


async def test_who_waits_for_a_verification_holds_up_nobody_else(at: Harness, slow: Slow) -> None:
    other = await at.welcomed()
    slow.hold()
    peer = await at.connect()
    await peer.send({"type": "hello", "token": token()})
    await slow.is_asked()
    await other.request("echo", 1)
    assert await other.receive() == {"type": "response", "request_id": "r1", "result": 1}
    slow.go_on.set()
    assert (await peer.receive())["type"] == "welcome"


@pytest.mark.clause("3.1.11")
async def test_without_keys_a_hello_is_put_off_and_not_refused(at: Harness, slow: Slow) -> None:
    slow.is_down = True
    peer = await at.connect()
    await peer.send({"type": "hello", "token": token()})
    assert await peer.close_code() == CloseCode.TRY_AGAIN_LATER
    async with at.client().get(
        f"{at.http}/v1/requests/r1/files/a", headers={"Authorization": f"Bearer {token()}"}
    ) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert (await answer.json())["code"] == "UNAVAILABLE"
    slow.is_down = False
    await at.welcomed()


@pytest.mark.clause("3.1.11", "10.42.1")
async def test_without_keys_a_refresh_is_put_off_and_the_connection_stays(
    at: Harness, slow: Slow
) -> None:
    peer = await at.welcomed()
    slow.is_down = True
    refusal = await peer.ask({"type": "refresh", "token": token()})
    assert (refusal["reply_to"], code(refusal)) == ("refresh", "UNAVAILABLE")
    assert refusal["error"]["retryable"]
    slow.is_down = False
    assert (await peer.ask({"type": "refresh", "token": token()}))["type"] == "refreshed"
    await peer.pinged()


@pytest.mark.clause("3.6.5")
async def test_the_old_token_ends_also_while_the_new_one_is_verified(
    at: Harness, slow: Slow
) -> None:
    peer = await at.welcomed(token(ttl_s=3))
    slow.hold()
    await peer.send({"type": "refresh", "token": token()})
    assert await peer.close_code() == CloseCode.UNAUTHORIZED


async def test_a_drain_does_not_wait_for_a_verification(at: Harness, slow: Slow) -> None:
    slow.hold()
    peer = await at.connect()
    await peer.send({"type": "hello", "token": token()})
    await slow.is_asked()
    # Nobody ever lets the verification go on.
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as both:
        left = both.create_task(peer.close_code())
        await drain(at.app, code=CloseCode.GOING_AWAY, reason="the server stops", grace_s=0)
    assert left.result() == CloseCode.GOING_AWAY


async def test_a_client_that_leaves_during_a_verification_leaves_nothing_behind(
    at: Harness, slow: Slow
) -> None:
    slow.hold()
    before = asyncio.all_tasks()
    # It does not wait for the goodbye of the server, which reads nothing meanwhile.
    peer = await at.connect(timeout=ClientWSTimeout(ws_close=0.05))
    await peer.send({"type": "hello", "token": token()})
    await slow.is_asked()
    await peer.ws.close()
    slow.go_on.set()
    async with asyncio.timeout(PATIENCE):
        await drain(at.app, code=CloseCode.GOING_AWAY, reason="the server stops", grace_s=PATIENCE)
    names = {task.get_name() for task in asyncio.all_tasks() - before}
    assert not [name for name in names if name.startswith("longcall")]


@pytest.mark.clause("3.1.10", "3.6.4")
async def test_a_welcome_tells_the_end_of_the_leeway(handlers: Handlers, tmp_path: Path) -> None:
    lenient = Authenticator(KeyRing([KEY.public]), TokenRules(leeway_ms=60_000))
    async with gateway(handlers, tmp_path, authenticator=lenient) as at:
        now_s = int(time.time())
        late = create_token(KEY, sub="ann", tenant_id="acme", ttl_s=-1, now_s=now_s)
        peer = await at.connect()
        welcome = await peer.hello(late)
        assert datetime.fromisoformat(welcome["expires_at"]).timestamp() == now_s + 59
        answer = await peer.ask({"type": "refresh", "token": late})
        assert answer["expires_at"] == welcome["expires_at"]
