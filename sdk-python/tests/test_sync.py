# SPDX-License-Identifier: Apache-2.0
"""What is the sync front end alone, many threads; what both do is in test_asyncio_client.py."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fronts import in_thread
from peer import Peer
from sync_clients import attached, echo, our_threads

from longcall import (
    ConnectionClosed,
    Detached,
    Status,
)
from longcall.sync import Client
from longcall.testing.messages import acknowledgment, chunk, complete, snapshot


@pytest.mark.complaint(15, 22)
async def test_32_threads_at_once_get_their_own_answers(peer: Peer, sync_client: Client) -> None:
    def work(name: int) -> list[Any]:
        return [sync_client.call("echo", [name, number]) for number in range(20)]

    async with asyncio.TaskGroup() as group:
        threads = [group.create_task(in_thread(lambda n=name: work(n))) for name in range(32)]  # type: ignore[misc]
        talk = await peer.welcome()
        await echo(talk, 32 * 20)
    for name, thread in enumerate(threads):
        assert thread.result() == [[name, number] for number in range(20)]
    assert peer.most_live == 1


@pytest.mark.complaint(15, 22)
async def test_32_threads_read_the_events_of_one_handle(peer: Peer, sync_client: Client) -> None:
    log = [acknowledgment("job"), *(chunk("job", seq) for seq in range(2, 501))]
    handle, talk = await attached(peer, sync_client, *log, complete("job", 501, "end"))

    async def serve() -> None:
        while True:
            message = await talk.take()
            if message["type"] == "attach":
                rest = [*log, complete("job", 501, "end")][message["after_seq"] :]
                await talk.send(snapshot("job", status="completed", last_seq=501), *rest)

    serving = asyncio.create_task(serve())
    reads = [in_thread(lambda: list(handle)) for _ in range(32)]
    for events in await asyncio.gather(*reads):
        assert [getattr(event, "seq", 0) for event in events] == list(range(1, 501))
    assert await in_thread(handle.result) == "end"
    serving.cancel()
    await asyncio.wait([serving])


async def test_slow_call_of_one_thread_holds_up_no_other(peer: Peer, sync_client: Client) -> None:
    slow = asyncio.create_task(in_thread(lambda: sync_client.call("report")))
    talk = await peer.welcome()
    rid = (await talk.expect("request"))["id"]
    fast = asyncio.create_task(in_thread(lambda: sync_client.call("echo", 1)))
    await echo(talk, 1)
    assert await fast == 1
    assert not slow.done()
    await talk.send({"type": "response", "request_id": rid, "result": "slow"})
    assert await slow == "slow"


async def test_detach_of_one_thread_ends_the_iteration_of_another(
    peer: Peer, sync_client: Client
) -> None:
    handle, _ = await attached(peer, sync_client, acknowledgment("job"), chunk("job", 2))
    events = iter(handle)
    assert await in_thread(lambda: next(events)) == Status(seq=1, status="queued")
    await in_thread(handle.detach)
    with pytest.raises(Detached):  # although the chunk is here already
        await in_thread(lambda: next(events))


async def test_close_of_one_thread_ends_what_others_wait_for(
    peer: Peer, sync_client: Client
) -> None:
    waits = [asyncio.create_task(in_thread(lambda: sync_client.call("report"))) for _ in range(3)]
    talk = await peer.welcome()
    for _ in waits:
        await talk.expect("request")
    await in_thread(sync_client.close)
    for wait in waits:
        with pytest.raises(ConnectionClosed):
            await wait
    assert our_threads() == []
