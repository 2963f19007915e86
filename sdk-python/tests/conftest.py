# SPDX-License-Identifier: Apache-2.0
"""A task or a thread that a test leaves behind fails it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from fronts import FRONTS, Connect, in_thread, threads_ended
from peer import PATIENCE, Peer
from sync_clients import client_of

import longcall
from longcall.asyncio.platform import System, Timer, register
from longcall.testing import TestClock


@pytest_asyncio.fixture
async def no_leaks() -> AsyncIterator[None]:
    """Fails the test if tasks or threads are left when its servers and clients are closed."""
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    yield
    await threads_ended(PATIENCE)
    left = asyncio.all_tasks() - tasks - {asyncio.current_task()}
    assert not left, f"left behind: {left}"
    started = {thread for thread in threading.enumerate() if thread.name.startswith("longcall")}
    assert not started - threads, f"left behind: {started - threads}"


@pytest_asyncio.fixture
async def peer(no_leaks: None) -> AsyncIterator[Peer]:
    """A scripted server."""
    async with Peer() as server:
        yield server


class ByHand(System):
    """Real sockets, and the time of a `TestClock`."""

    def __init__(self, clock: TestClock) -> None:
        super().__init__(longcall.Options(clock=clock.now))
        self._clock = clock

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        return self._clock._call_later(delay, callback)


@pytest.fixture
def clock(peer: Peer) -> Iterator[TestClock]:
    """The time of the clients of `peer`, which the test advances."""
    clock = TestClock()
    register("127.0.0.1", ByHand(clock))
    yield clock
    register("127.0.0.1", None)


@pytest_asyncio.fixture
async def sync_client(peer: Peer) -> AsyncIterator[longcall.sync.Client]:
    """A client of `longcall.sync`, to be used in threads."""
    client = client_of(peer)
    yield client
    await in_thread(client.close)


@pytest.fixture
def fast() -> dict[str, float]:
    """Options for short waits before a reconnect."""
    return {"backoff_initial": 0.01, "backoff_maximum": 0.05}


@pytest.fixture(params=FRONTS)
def front(request: pytest.FixtureRequest) -> Connect:
    """`connect` of either front end, with the names of the one for asyncio."""
    return FRONTS[request.param]


@pytest.fixture
def command_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the command: a token, and nothing else of whoever runs the tests."""
    for name in ("URL", "TOKEN", "PROFILE", "CONFIG"):
        monkeypatch.delenv(f"LONGCALL_{name}", raising=False)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-home"))
    monkeypatch.setenv("LONGCALL_TOKEN", "secret")
