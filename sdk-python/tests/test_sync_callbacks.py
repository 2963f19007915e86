# SPDX-License-Identifier: Apache-2.0
"""In which thread functions of the application run, and what they may do there."""

from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue
from typing import Any

import pytest
from fronts import in_thread
from peer import PATIENCE, Peer
from sync_clients import client_of, echo, our_threads

import longcall
from longcall import (
    Chunk,
    ConfigurationError,
    ConnectionClosed,
    Options,
    Progress,
)
from longcall.sync import Client
from longcall.testing.messages import acknowledgment, chunk, complete, processing, progress


@pytest.mark.complaint(21)
async def test_callbacks_of_call_run_in_the_thread_that_called_in_order(
    peer: Peer, sync_client: Client
) -> None:
    seen: list[Any] = []
    threads = set()

    def note(event: Any) -> None:
        threads.add(threading.current_thread())
        seen.append(getattr(event, "data", None) or type(event).__name__)

    def work() -> tuple[Any, threading.Thread]:
        result = sync_client.call("report", on_progress=note, on_chunk=note, on_status=note)
        return result, threading.current_thread()

    call = asyncio.create_task(in_thread(work))
    talk = await peer.welcome()
    rid = (await talk.expect("request"))["id"]
    await talk.send(acknowledgment(rid), processing(rid, 2), progress(rid, 1, 1, percentage=5))
    for seq in range(3, 303):
        await talk.send(chunk(rid, seq))
    await talk.send(complete(rid, 303, "end"))
    result, caller = await call
    assert result == "end"
    assert seen == ["Status", "Status", "Progress", *range(3, 303)]
    assert threads == {caller}


@pytest.mark.complaint(21)
async def test_slow_callback_is_told_the_newest_progress_and_holds_up_nobody(
    peer: Peer, sync_client: Client
) -> None:
    told: SimpleQueue[float | None] = SimpleQueue()
    go_on: SimpleQueue[None] = SimpleQueue()

    def slow(event: Progress) -> None:
        told.put(event.percentage)
        go_on.get(timeout=PATIENCE)

    call = asyncio.create_task(in_thread(lambda: sync_client.call("report", on_progress=slow)))
    talk = await peer.welcome()
    rid = (await talk.expect("request"))["id"]
    await talk.send(acknowledgment(rid), processing(rid, 2), progress(rid, 1, 1, percentage=1))
    assert await in_thread(lambda: told.get(timeout=PATIENCE)) == 1
    for version in range(2, 100):
        await talk.send(progress(rid, 1, version, percentage=version))
    other = asyncio.create_task(in_thread(lambda: sync_client.call("echo", 1)))
    await echo(talk, 1)
    assert await other == 1  # behind all that progress, and beside the callback
    go_on.put(None)
    assert await in_thread(lambda: told.get(timeout=PATIENCE)) == 99
    go_on.put(None)
    await talk.send(complete(rid, 3, "end"))
    assert await call == "end"


async def test_what_callbacks_raise_is_logged_and_breaks_nothing(
    peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(value: object) -> None:
        raise RuntimeError(f"a bug of {type(value).__name__}")

    client = client_of(peer, on_state=broken, on_announcement=broken)
    call = asyncio.create_task(
        in_thread(lambda: client.call("report", on_chunk=broken, on_status=broken))
    )
    talk = await peer.welcome()
    announced = {"message": "soon", "created_at": "2026-11-23T18:40:00.000Z"}
    await talk.send({"type": "announcement", **announced})
    rid = (await talk.expect("request"))["id"]
    await talk.send(acknowledgment(rid), chunk(rid, 2), complete(rid, 3, "end"))
    assert await call == "end"
    await in_thread(client.close)
    for kind in ("ClientState", "Announcement", "Status", "Chunk"):
        assert f"a bug of {kind}" in caplog.text


async def test_on_state_may_wait_and_use_the_client(peer: Peer) -> None:
    answers: SimpleQueue[Any] = SimpleQueue()

    def on_state(state: longcall.ClientState) -> None:
        if state.name == "ready":
            answers.put((threading.current_thread().name, client.call("echo", "from a callback")))

    client = client_of(peer, on_state=on_state)
    with client:
        talk = await peer.welcome()
        await echo(talk, 1)
        name, answer = await in_thread(lambda: answers.get(timeout=PATIENCE))
        await in_thread(client.close)
    assert (name, answer) == ("longcall callbacks", "from a callback")


async def test_callback_may_close_the_client(peer: Peer) -> None:
    closed = threading.Event()

    def on_state(state: longcall.ClientState) -> None:
        if state.name == "ready":
            client.close()
        if state.name == "closed":
            closed.set()

    client = client_of(peer, on_state=on_state)
    waiting = asyncio.create_task(in_thread(lambda: client.call("report")))
    await peer.welcome()
    with pytest.raises(ConnectionClosed):
        await waiting
    assert await in_thread(lambda: closed.wait(PATIENCE))
    await in_thread(client.close)


async def test_callback_that_hangs_holds_up_no_close(peer: Peer) -> None:
    hangs = threading.Event()
    client = client_of(
        peer, on_state=lambda state: hangs.wait(), options=Options(close_timeout=0.1)
    )
    client.__enter__()
    await peer.welcome()
    await in_thread(client.close)
    (left,) = our_threads()
    hangs.set()
    await in_thread(left.join)


@pytest.mark.complaint(13)
async def test_plain_token_function_may_wait_and_holds_up_nothing(peer: Peer) -> None:
    tokens: SimpleQueue[str] = SimpleQueue()
    asked: SimpleQueue[tuple[str, str]] = SimpleQueue()

    def token(reason: str) -> str:
        asked.put((reason, threading.current_thread().name))
        return tokens.get(timeout=PATIENCE)

    client = client_of(peer, token=token)
    tokens.put("first")
    with client:
        talk = await peer.welcome(
            server_time="2026-11-23T18:40:00.000Z", expires_at="2026-11-23T18:40:00.100Z"
        )
        assert asked.get(timeout=PATIENCE) == ("connect", "longcall token")
        reason, _ = await in_thread(lambda: asked.get(timeout=PATIENCE))
        assert reason == "refresh"
        call = asyncio.create_task(in_thread(lambda: client.call("echo", 1)))
        await echo(talk, 1)  # while the function still waits for its token
        assert await call == 1
        tokens.put("second")
        await talk.expect("refresh", token="second")
        await in_thread(client.close)


async def test_token_function_that_exits_is_one_that_failed(
    peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    exits = [True]

    def token(reason: str) -> str:
        if exits and exits.pop():
            raise SystemExit(3)
        return "good"

    client = client_of(peer, token=token)
    with client:
        await peer.welcome()
        await in_thread(client.close)
    assert peer.tokens == ["good"]


async def test_async_functions_are_refused_where_nobody_could_await_them(
    sync_client: Client,
) -> None:
    async def on_chunk(event: Chunk) -> None: ...

    with pytest.raises(ConfigurationError, match="plain function"):
        await in_thread(lambda: sync_client.call("report", on_chunk=on_chunk))


async def test_async_token_function_cannot_use_the_client_that_awaits_it(
    peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[object] = []

    async def token(reason: str) -> str:
        if not tries:
            tries.append(reason)
            client.call("token")
        return "good"

    client = client_of(peer, token=token)
    with client:
        await peer.welcome()
        await in_thread(client.close)
    assert "cannot use the client that awaits it" in caplog.text
