# SPDX-License-Identifier: Apache-2.0
"""What is asyncio alone: tasks of the client and of the application that are cancelled."""

from __future__ import annotations

import asyncio
import logging

import pytest
from peer import Peer

from longcall import ConfigurationError, Options, connect
from longcall.testing.messages import acknowledgment

FAST = Options(backoff_initial=0.01, backoff_maximum=0.05, close_timeout=0.5)


async def test_client_closes_although_its_tasks_were_cancelled_before_they_began(
    peer: Peer,
) -> None:
    async with connect(peer.url, "secret", options=FAST) as client:
        for task in client._connection._tasks.values():
            task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert client.state.name == "closed"


async def test_link_whose_task_was_cancelled_before_it_began_is_opened_anew(peer: Peer) -> None:
    async with connect(peer.url, "secret", options=FAST) as client:
        for task in client._connection._tasks.values():
            task.cancel()
        await peer.welcome()
        await client.ready(timeout=5)


async def test_connection_that_cannot_be_opened_for_a_reason_of_its_own_is_tried_again(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    create, tries = loop.create_connection, 0

    async def create_connection(*args: object, **kwargs: object) -> object:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise RuntimeError("cannot schedule new futures after shutdown")
        return await create(*args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(loop, "create_connection", create_connection)
    caplog.set_level(logging.ERROR)
    async with connect(peer.url, "secret", options=FAST) as client:
        await peer.welcome()
        await client.ready(timeout=5)
    assert "cannot schedule" in caplog.text


@pytest.mark.clause("9.3.2")
async def test_cancelling_the_task_is_not_cancelling_the_request(peer: Peer) -> None:
    async with connect(peer.url, "secret", options=FAST) as client:
        call = asyncio.create_task(client.call("report"))
        talk = await peer.welcome()
        rid = str((await talk.expect("request"))["id"])
        await talk.send(acknowledgment(rid))
        await talk.send({"type": "ping", "nonce": "after"})
        await talk.expect("pong", nonce="after")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await talk.expect("detach", request_id=rid)


async def test_client_is_started_once(peer: Peer) -> None:
    client = connect(peer.url, "secret", options=FAST)
    with pytest.raises(ConfigurationError):
        await client.call("x")
    async with client:
        with pytest.raises(ConfigurationError):
            await client.__aenter__()
