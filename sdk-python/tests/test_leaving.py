# SPDX-License-Identifier: Apache-2.0
"""Who leaves early only detaches, unless `cancel_on_exit` was asked for. PROTOCOL 9.3.2."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextlib import suppress
from typing import Any

import pytest
from peer import Peer, Talk

from longcall import Client, Options, RequestHandle, WaitTimeout, connect
from longcall.testing import TestClock
from longcall.testing.messages import acknowledgment, chunk, complete, snapshot

FAST = Options(backoff_initial=0.01, backoff_maximum=0.05, close_timeout=0.5)


def client_of(peer: Peer) -> Client:
    return connect(peer.url, "secret", options=FAST)


async def submitted(client: Client, peer: Peer, **arguments: Any) -> tuple[RequestHandle, Talk]:
    """Submits the request `job`, and has its first chunk sent."""
    submit = asyncio.create_task(client.submit("report", id="job", **arguments))
    talk = await peer.welcome()
    await talk.expect("request", id="job")
    await talk.send(acknowledgment("job"), chunk("job", 2))
    return await submit, talk


async def leave_by_break(handle: RequestHandle) -> None:
    async for _ in handle:
        break


async def leave_by_exception(handle: RequestHandle) -> None:
    with suppress(KeyError):
        async for _ in handle:
            raise KeyError


async def leave_by_cancelled_task(handle: RequestHandle) -> None:
    is_waiting = asyncio.Event()

    async def follow() -> None:
        async for event in handle:
            if getattr(event, "seq", 0) == 2:
                asyncio.get_running_loop().call_soon(is_waiting.set)

    task = asyncio.create_task(follow())
    await is_waiting.wait()
    task.cancel()
    await asyncio.wait([task])


async def leave_by_aclose(handle: RequestHandle) -> None:
    events = aiter(handle)
    await anext(events)
    await events.aclose()
    await events.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(events)


async def leave_by_cancelled_result(handle: RequestHandle) -> None:
    task = asyncio.ensure_future(handle.result())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


WAYS = [
    leave_by_break,
    leave_by_exception,
    leave_by_cancelled_task,
    leave_by_aclose,
    leave_by_cancelled_result,
]


@pytest.mark.parametrize("leave", WAYS)
async def test_leaving_detaches_at_that_moment(peer: Peer, leave: Any) -> None:
    async with client_of(peer) as client:
        handle, talk = await submitted(client, peer)
        await leave(handle)
        await talk.expect("detach", request_id="job")
        # The client is closed now, and nothing more was said.
    assert await talk.closed() == 1000


@pytest.mark.parametrize("leave", WAYS)
async def test_leaving_with_cancel_on_exit_cancels_even_if_the_client_is_closed_then(
    peer: Peer, leave: Any
) -> None:
    async with client_of(peer) as client:
        handle, talk = await submitted(client, peer, cancel_on_exit=True)
        await leave(handle)
    await talk.expect("cancel", request_id="job", reason="abandoned by the caller")


async def test_cancel_of_an_abandoned_request_survives_a_lost_connection(peer: Peer) -> None:
    async with client_of(peer) as client:
        handle, talk = await submitted(client, peer, cancel_on_exit=True)
        await leave_by_break(handle)
        await talk.expect("cancel", request_id="job")
        talk.cut()
        talk = await peer.welcome()
        await talk.expect("cancel", request_id="job")
        await talk.send(snapshot("job", "cancel", status="cancelled"))
        await talk.send({"type": "ping", "nonce": "after"})
        while (await talk.take())["type"] != "pong":
            pass
        assert not client._connection.protocol._requests._active


async def test_call_that_is_cancelled_before_it_was_sent_is_withdrawn(peer: Peer) -> None:
    async with client_of(peer) as client:
        talk = await peer.accept()
        call = asyncio.create_task(client.call("report", cancel_on_exit=True))
        await talk.expect("hello")
        call.cancel()
        await asyncio.wait([call])
        await client.close()
        assert await talk.closed() == 1000


async def test_end_of_patience_never_cancels(peer: Peer, clock: TestClock) -> None:
    async with client_of(peer) as client:
        handle, talk = await submitted(client, peer, cancel_on_exit=True)
        result = asyncio.create_task(handle.result(timeout=5))
        await clock.advance(5)
        with pytest.raises(WaitTimeout):
            await result
        await talk.expect("detach", request_id="job")
        call = asyncio.create_task(
            client.call("report", timeout=5, on_chunk=print, cancel_on_exit=True)
        )
        rid = (await talk.expect("request"))["id"]
        await talk.send(acknowledgment(rid), {"type": "ping", "nonce": "read"})
        await talk.expect("pong")
        await clock.advance(5)
        with pytest.raises(WaitTimeout):
            await call
        await talk.expect("detach", request_id=rid)


async def test_call_that_is_cancelled_cancels_when_asked_to(peer: Peer) -> None:
    async with client_of(peer) as client:
        call = asyncio.create_task(client.call("report", on_chunk=print, cancel_on_exit=True))
        talk = await peer.welcome()
        rid = (await talk.expect("request"))["id"]
        call.cancel()
        await asyncio.wait([call])
        await talk.expect("cancel", request_id=rid)


async def test_first_of_two_who_leaves_ends_nothing(peer: Peer) -> None:
    async with client_of(peer) as client, asyncio.TaskGroup() as group:
        handle, talk = await submitted(client, peer, cancel_on_exit=True)
        result = group.create_task(handle.result())
        await asyncio.sleep(0)
        await leave_by_break(handle)
        await talk.send(complete("job", 3, "end"))
        assert await result == "end"


async def test_cancelled_anext_loses_nothing(peer: Peer) -> None:
    async with client_of(peer) as client:
        handle, talk = await submitted(client, peer)
        events = aiter(handle)
        assert [getattr(await anext(events), "seq", 0) for _ in range(2)] == [1, 2]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(events), 0.01)
        await talk.send(chunk("job", 3), complete("job", 4, "end"))
        assert [getattr(event, "seq", 0) async for event in events] == [3]


async def test_iterator_may_be_collected_in_another_thread(peer: Peer) -> None:
    async with client_of(peer) as client:
        handle, talk = await submitted(client, peer)
        events = [aiter(handle)]
        await anext(events[0])
        thread = threading.Thread(target=events.clear)
        thread.start()
        await asyncio.to_thread(thread.join)
        await talk.expect("detach", request_id="job")
        gc.collect()


async def test_handle_can_be_awaited(peer: Peer) -> None:
    async with client_of(peer) as client:
        handle, talk = await submitted(client, peer)
        await talk.send(complete("job", 3, [1]))
        assert await handle == [1]
        assert await asyncio.wait_for(handle, 5) == [1]
