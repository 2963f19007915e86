# SPDX-License-Identifier: Apache-2.0
"""A connection whose pipe is full leaves the event loop to the others."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from gateway_harness import gateway, token
from service_harness import limits

from longcall_server import Handlers
from longcall_server.config import load_settings
from longcall_server.core.session import Session
from longcall_server.gateway.connection import _AT_ONCE
from longcall_server.limits import OwnerPace
from longcall_server.server import gateway_settings

FLOOD = 3_000
PING = {"type": "ping"}


async def test_a_connection_with_thousands_of_messages_lets_others_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    over = asyncio.Event()
    receive = Session.receive

    def watched(self: Session, text: str, now: int) -> object:
        taken.append(json.loads(text).get("nonce", ""))
        if taken.count("flood") == FLOOD:
            over.set()
        return receive(self, text, now)

    bounds = limits(message_burst=10 * FLOOD, messages_per_minute=10 * FLOOD)
    async with gateway(Handlers(), tmp_path, bounds=bounds) as at:
        flood, other = await at.welcomed(), await at.welcomed()
        monkeypatch.setattr(Session, "receive", watched)
        # All of it lies in the sockets before the server's loop looks at them.
        for _ in range(FLOOD):
            flood.ws._writer.transport.write(_masked('{"type":"ping","nonce":"flood"}'))
        for _ in range(3):
            other.ws._writer.transport.write(_masked('{"type":"ping","nonce":"other"}'))
        await asyncio.wait_for(over.wait(), 20)
    assert taken.count("other") == 3
    last = len(taken) - 1 - taken[::-1].index("other")
    assert last <= 4 * _AT_ONCE, "it waited for the other's messages"


async def test_ten_connections_of_one_owner_have_the_turns_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    over = asyncio.Event()
    receive = Session.receive
    connections, each, mine = 10, 300, 4 * _AT_ONCE

    def watched(self: Session, text: str, now: int) -> object:
        taken.append(json.loads(text).get("nonce", ""))
        if taken.count("other") == mine:
            over.set()
        return receive(self, text, now)

    bounds = limits(message_burst=10 * FLOOD, messages_per_minute=10 * FLOOD)
    async with gateway(Handlers(), tmp_path, bounds=bounds) as at:
        floods = [await at.welcomed() for _ in range(connections)]
        other = await at.welcomed(token("bob"))
        monkeypatch.setattr(Session, "receive", watched)
        for _ in range(each):
            for flood in floods:
                flood.ws._writer.transport.write(_masked('{"type":"ping","nonce":"flood"}'))
        for _ in range(mine):
            other.ws._writer.transport.write(_masked('{"type":"ping","nonce":"other"}'))
        await asyncio.wait_for(over.wait(), 20)
        last = len(taken)
    # Each connection begins with what it may take at once; after that a turn is the owner's.
    assert last <= (connections + 4) * _AT_ONCE + 2 * mine


@pytest.mark.clause("6.6.12")
async def test_all_connections_of_an_owner_are_read_at_its_pace_and_nobody_elses(
    tmp_path: Path,
) -> None:
    async with gateway(Handlers(), tmp_path) as at:
        at.gateway.pace = OwnerPace(per_minute=6_000, burst=20)
        ann = [await at.welcomed() for _ in range(2)]
        bob = await at.welcomed(token("bob"))
        begun = time.monotonic()
        for peer in ann:
            for _ in range(30):
                await peer.send(PING)
            await peer.send({"type": "ping", "nonce": "here"})
        await bob.pinged()
        for peer in ann:
            await peer.until(lambda message: message.get("nonce") == "here")
        # 62 came and 20 are free; the last of each connection is answered before it costs time.
        assert time.monotonic() - begun >= 0.01 * (62 - 20 - 2)


@pytest.mark.clause("6.6.12", "6.6.13")
@pytest.mark.parametrize("rate", [60, 6_000, 600_000])
@pytest.mark.parametrize("given", [None, 1])
async def test_one_connection_may_use_all_that_its_welcome_tells(
    tmp_path: Path, rate: int, given: int | None
) -> None:
    told = load_settings(messages_per_minute=rate, owner_messages_per_minute=given)
    settings = gateway_settings(told, tmp_path)
    bounds = limits(messages_per_minute=rate)
    async with gateway(Handlers(), tmp_path, settings=settings, bounds=bounds) as at:
        now = at.gateway.clock()
        for _ in range(1_000):
            assert at.gateway.pace.pause_ms("ann", now) == 0
            now += -(-60_000 // rate)


async def test_what_was_sent_ahead_of_the_pace_ends_with_the_client(tmp_path: Path) -> None:
    async with gateway(Handlers(), tmp_path) as at:
        at.gateway.pace = OwnerPace(per_minute=60, burst=5)
        peer = await at.welcomed()
        for number in range(500):  # eight minutes; what is asked of the store
            await peer.attach(request_id=f"unknown-{number}")
        assert (await peer.receive())["error"]["code"] == "NOT_FOUND"
        peer.ws._writer.transport.abort()
        await at.until_connections(0)


def _masked(text: str) -> bytes:
    data = text.encode()
    assert len(data) < 126
    return bytes((0x81, 0x80 | len(data), 0, 0, 0, 0)) + data
