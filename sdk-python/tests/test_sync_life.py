# SPDX-License-Identifier: Apache-2.0
"""How clients of `longcall.sync` begin and end, and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from queue import SimpleQueue
from typing import Any

import pytest
from fronts import in_thread
from peer import PATIENCE, Peer
from sync_clients import attached, client_of, echo, our_threads

from longcall import (
    ConfigurationError,
    ConnectionClosed,
    HandlerError,
    Options,
    Status,
    WaitTimeout,
)
from longcall.sync import Client
from longcall.testing.messages import acknowledgment, chunk, complete, failure, snapshot


async def test_client_starts_with_its_first_use(peer: Peer) -> None:
    client = client_of(peer)
    assert our_threads() == []
    call = asyncio.create_task(in_thread(lambda: client.call("echo", 1)))
    await echo(await peer.welcome(), 1)
    assert await call == 1
    with client:
        assert client.state.name == "ready"
        await in_thread(client.close)
    with pytest.raises(ConfigurationError):
        client.__enter__()


async def test_client_that_was_closed_before_its_first_use_stays_closed(peer: Peer) -> None:
    client = client_of(peer)
    client.close()
    with pytest.raises(ConnectionClosed):
        client.call("echo")
    with pytest.raises(ConfigurationError):
        client.__enter__()
    assert our_threads() == []


async def test_after_close_what_is_known_is_still_told(peer: Peer, sync_client: Client) -> None:
    handle, talk = await attached(
        peer, sync_client, acknowledgment("job"), chunk("job", 2), complete("job", 3, "end")
    )
    assert await in_thread(handle.result) == "end"
    other = await in_thread(lambda: sync_client.attach("other"))
    await talk.expect("attach", request_id="other")
    await talk.send(snapshot("other"), acknowledgment("other"), chunk("other", 2))
    events = iter(other)
    await in_thread(lambda: next(events))
    await in_thread(sync_client.close)
    assert handle.result() == "end"
    assert [handle.is_finished, sync_client.state.name] == [True, "closed"]
    for late in (other.result, other.snapshot, other.cancel, lambda: sync_client.attach("x")):
        with pytest.raises(ConnectionClosed):
            late()
    with pytest.raises(ConnectionClosed):
        for _ in events:
            pass
    with pytest.raises(ConnectionClosed):
        list(sync_client.requests())
    assert [state.name for state in sync_client.states()] == ["closed"]
    handle.detach()
    sync_client.close()
    assert our_threads() == []


async def test_client_that_nobody_has_any_more_leaves_nothing(peer: Peer) -> None:
    client = client_of(peer, on_state=print)
    handle, talk = await attached(peer, client, acknowledgment("job"))
    threads = our_threads()
    assert len(threads) == 2
    known = weakref.ref(client)
    del client
    events = iter(handle)
    assert await in_thread(events.__next__) is not None  # a handle has its client
    del events, handle
    gc.collect()
    assert known() is None
    assert await talk.closed() == 1000
    for thread in threads:
        await in_thread(thread.join)


async def test_iteration_that_is_left_detaches_and_the_handle_comes_back(
    peer: Peer, sync_client: Client
) -> None:
    handle, talk = await attached(peer, sync_client, acknowledgment("job"), chunk("job", 2))

    def first() -> int:
        for event in handle:
            assert isinstance(event, Status)
            return event.seq
        raise AssertionError

    assert await in_thread(first) == 1
    await talk.expect("detach", request_id="job")
    result = asyncio.create_task(in_thread(handle.result))
    await talk.expect("attach", request_id="job")
    await talk.send(snapshot("job"), complete("job", 3, 7))
    assert await result == 7


async def test_iterator_may_be_collected_in_any_thread(peer: Peer, sync_client: Client) -> None:
    handle, talk = await attached(peer, sync_client, acknowledgment("job"), chunk("job", 2))
    iterators: list[Iterator[Any]] = [iter(handle)]
    await in_thread(lambda: next(iterators[0]))
    iterators.clear()  # in this thread, with a loop that runs
    await talk.expect("detach", request_id="job")


async def test_loop_that_runs_in_the_callers_thread_does_not_matter(peer: Peer) -> None:
    states: SimpleQueue[str] = SimpleQueue()
    client = client_of(peer, on_state=lambda state: states.put(state.name))
    with client:
        await peer.welcome()
        assert states.get(timeout=PATIENCE) == "ready"
        assert client.state.name == "ready"  # blocks this loop, and needs another one
        with pytest.raises(WaitTimeout):
            client.call("report", timeout=0.01)


async def test_errors_are_new_ones_for_each_who_waits(peer: Peer, sync_client: Client) -> None:
    handle, talk = await attached(peer, sync_client, acknowledgment("job"))
    waits = [asyncio.create_task(in_thread(handle.result)) for _ in range(3)]
    await talk.send(failure("HANDLER_ERROR", request_id="job", seq=2, details={"code": "X"}))
    errors = await asyncio.gather(*waits, return_exceptions=True)
    assert all(isinstance(error, HandlerError) for error in errors)
    assert len({id(error) for error in errors}) == 3


async def test_context_of_the_caller_goes_with_the_call(
    peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    here: ContextVar[str] = ContextVar("here", default="nowhere")
    seen: list[str] = []

    def clock() -> float:
        seen.append(here.get())
        return Options().clock()

    client = client_of(peer, options=Options(clock=clock))

    def work() -> None:
        here.set("a span")
        client.attach("job")

    await in_thread(work)
    assert "a span" in seen
    caplog.set_level(logging.INFO)
    await in_thread(client.close)
