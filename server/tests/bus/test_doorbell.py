# SPDX-License-Identifier: Apache-2.0
"""The doorbell: the suite of all buses, and what can go wrong between processes."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from longcall_server.bus.base import MAX_ANNOUNCEMENT_BYTES, Announcement, Audience, Bus
from longcall_server.bus.doorbell import DoorbellBus, engine, peer, rings
from longcall_server.bus.local import LocalBus
from longcall_server.bus.suite import KEY, LAST, PATIENCE, WORD, BusSuite, Follower, Heard
from longcall_server.stores.base import Owner, RequestKey, StoredProgress

needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")


@asynccontextmanager
async def opened(folder: Path, **options: bool) -> AsyncIterator[DoorbellBus]:
    bus = DoorbellBus(LocalBus(), folder, **options)
    await bus.open()
    try:
        yield bus
    finally:
        await bus.close()


class TestDoorbell(BusSuite):
    folder: Path
    numbers = itertools.count()

    @pytest.fixture(autouse=True)
    def _in_a_folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    @asynccontextmanager
    async def buses(self) -> AsyncIterator[tuple[Bus, Bus]]:
        folder = self.folder / str(next(self.numbers))
        async with opened(folder) as here, opened(folder) as there:
            await acquainted(here, there)
            yield here, there


async def acquainted(*buses: DoorbellBus) -> None:
    """Waits until each knows all others; they were opened in this order.

    A newcomer knows who is there and says hello: whoever has heard what it says next knows it.
    """
    for number, newcomer in enumerate(buses):
        key = RequestKey(Owner("test", "test"), str(number))
        for elder in buses[:number]:
            cancels = Heard[RequestKey]()
            unwatch = elder.watch_cancels(cancels.add)
            newcomer.cancel_requested(key)
            await cancels.until(key)
            unwatch()


async def until(condition: Callable[[], object]) -> None:
    """Lets the loop turn until something holds that nobody tells of."""
    ends_at = asyncio.get_running_loop().time() + PATIENCE
    while not condition():
        assert asyncio.get_running_loop().time() < ends_at
        await asyncio.sleep(0)


def sockets(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@needs_proc
async def test_a_folder_whose_path_is_longer_than_any_address_will_do(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["a-long-name-for-a-folder"] * 12) / "bell"
    assert len(str(folder)) > 250
    async with opened(folder) as here, opened(folder) as there:
        await acquainted(here, there)
        follower = Follower()
        there.watch_request(KEY, follower)
        here.request_changed(KEY)
        await follower.heard.until("changed")


@needs_proc
async def test_nothing_is_left_of_a_bus_that_was_closed(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    async with opened(tmp_path / "bell") as here, opened(tmp_path / "bell") as there:
        await acquainted(here, there)
        assert len(sockets(tmp_path / "bell")) == 2
    assert sockets(tmp_path / "bell") == []
    assert len(os.listdir("/proc/self/fd")) == before
    here.request_changed(KEY)  # nobody hears, nobody is harmed
    await here.close()


async def test_only_its_owner_can_enter_the_folder(tmp_path: Path) -> None:
    async with opened(tmp_path / "bell"):
        assert (tmp_path / "bell").stat().st_mode & 0o777 == 0o700
    (tmp_path / "bell").chmod(0o750)
    with pytest.raises(PermissionError, match="open to other users"):
        await DoorbellBus(LocalBus(), tmp_path / "bell").open()


async def test_the_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(PermissionError, match="belongs to another user"):
        await DoorbellBus(LocalBus(), tmp_path / "bell").open()


async def test_a_link_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "bell").symlink_to("elsewhere")
    with pytest.raises(OSError, match="bell"):
        await DoorbellBus(LocalBus(), tmp_path / "bell").open()


async def test_where_there_are_no_sockets_one_is_warned_and_hears_oneself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(socket.socket, "bind", unsupported)
    async with opened(tmp_path / "bell") as bus:
        follower = Follower()
        bus.watch_request(KEY, follower)
        bus.request_changed(KEY)
        bus.work_available()
        assert follower.heard.all == ["changed"]
    assert "they will poll: [Errno 95] Operation not supported" in caplog.text


async def test_one_who_does_not_follow_hears_of_cancels_and_work_alone(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as here, opened(tmp_path, follows=False) as there:
        await acquainted(here, there)
        follower, cancels = Follower(), Heard[RequestKey]()
        there.watch_request(KEY, follower)
        there.watch_announcements(follower.heard.add)
        there.watch_cancels(cancels.add)
        assert here.announce(WORD) == 0
        assert here.progress_reported(KEY, StoredProgress(1, 1, "x" * 1_000_000))
        here.request_changed(KEY)
        here.cancel_requested(LAST)
        await cancels.until(LAST)
        assert follower.heard.all == []


async def test_one_who_only_rings_is_not_rung(tmp_path: Path) -> None:
    async with opened(tmp_path) as there:
        work = Heard[str]()
        there.watch_work(lambda: work.add("work"))
        async with opened(tmp_path, listens=False) as here:
            assert len(sockets(tmp_path)) == 1
            here.work_available()
        # Closed at once: what it said is on its way.
        await work.until("work")
        assert there._peers == {}


RING = """
import asyncio, sys
from pathlib import Path
from longcall_server.bus.doorbell import DoorbellBus
from longcall_server.bus.local import LocalBus

async def main():
    bus = DoorbellBus(LocalBus(), Path(sys.argv[1]))
    await bus.open()
    bus.work_available()
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.slow
async def test_what_a_killed_process_left_is_removed_and_no_ring_fails(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as bus:
        work = Heard[str]()
        bus.watch_work(lambda: work.add("work"))
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", RING, str(tmp_path))
        try:
            await work.until("work")
            assert len(bus._peers) == 1
        finally:
            child.kill()
            await child.wait()
        assert len(sockets(tmp_path)) == 2
        bus.work_available()
        await until(lambda: not bus._peers)
        left = next(name for name in sockets(tmp_path) if name != bus._name)
        # It could be one that is just being made: it is let live for a while.
        bus._scan()
        assert left in sockets(tmp_path)
        os.utime(tmp_path / left, (0, 0))
        bus._scan()
        assert sockets(tmp_path) == [bus._name]


async def test_who_came_unheard_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SCAN_EVERY", 0.01)
    monkeypatch.setattr(DoorbellBus, "_hear", lambda self: self._ear.recv(rings.MAX_DATAGRAM))
    async with opened(tmp_path) as here, opened(tmp_path):
        await until(lambda: here._peers)


async def test_nonsense_is_passed_over_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nonsense = [
        b"",
        b"\xff\xff",
        b"{}",
        b'"changed"',
        b"[" * 30_000,
        b'["changed"]',
        b'[["changed"]]',
        b'[["changed",1,2,3]]',
        b'[["progress","acme","alice","a","1",1,"{}"]]',
        b'[["announce","1",null,null,null,{}]]',
        b'[["announce","1",1,null,null,"{}"]]',
        b'[["of another version","acme"],null,{},1]',
        json.dumps([["work"], "x" * rings.MAX_DATAGRAM]).encode(),
    ]
    async with opened(tmp_path) as bus, AsyncExitStack() as stack:
        follower, work = Follower(), Heard[str]()
        bus.watch_request(KEY, follower)
        bus.watch_work(lambda: work.add("work"))
        stranger = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200_000)
        stranger.setblocking(False)
        stranger.connect(str(tmp_path / str(bus._name)))
        loop = asyncio.get_running_loop()
        with caplog.at_level(logging.WARNING):
            for datagram in nonsense:
                await loop.sock_sendall(stranger, datagram)
            await loop.sock_sendall(stranger, b'[["work"]]')
            assert await work.until("work") == ["work"]
        assert follower.heard.all == []
        assert caplog.text.count("none of ours") == 6


async def test_a_peer_that_takes_nothing_blocks_nobody_and_hears_the_rest_later(
    tmp_path: Path,
) -> None:
    async with (
        opened(tmp_path) as here,
        opened(tmp_path) as stuck,
        opened(tmp_path) as well,
    ):
        await acquainted(here, stuck, well)
        loop = asyncio.get_running_loop()
        assert stuck._ear is not None
        loop.remove_reader(stuck._ear)
        follower = Follower()
        well.watch_request(LAST, follower)
        stuck.watch_request(LAST, stuck_follower := Follower())
        for number in range(10_000):
            here.request_changed(RequestKey(Owner("acme", "alice"), f"r-{number}"))
            if number % 100 == 0:
                await asyncio.sleep(0)
        waits = here._peers[str(stuck._name)]
        assert waits.is_full
        assert len(waits._waiting) <= peer.MAX_WAITING
        for _ in range(1_000):
            here.announce(Announcement("x" * MAX_ANNOUNCEMENT_BYTES, Audience()))
            await asyncio.sleep(0)
        here.request_changed(LAST)
        await follower.heard.until("changed")
        parts = [part for ring in waits._waiting.values() for part in ring]
        text = sum(len(part) for part in parts if isinstance(part, str))
        assert text == waits._waiting_chars <= peer.MAX_WAITING_CHARS
        loop.add_reader(stuck._ear, stuck._hear)
        await stuck_follower.heard.until("changed")
        await until(lambda: not waits.is_full)


async def test_a_peer_that_ends_while_it_takes_nothing_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as here, opened(tmp_path) as stuck:
        await acquainted(here, stuck)
        loop = asyncio.get_running_loop()
        assert stuck._ear is not None
        loop.remove_reader(stuck._ear)
        leads_there = here._peers[str(stuck._name)]
        number = leads_there.connection.fileno()
        for each in itertools.count():
            here.request_changed(RequestKey(Owner("acme", "alice"), f"r-{each}"))
            await asyncio.sleep(0)
            if leads_there.is_full:
                break
        stuck._ear.close()
        stuck._ear = None
        await until(lambda: not here._peers)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as next_one:
            next_one.setblocking(False)
            os.dup2(next_one.fileno(), number, inheritable=False)
            try:
                # The loop would take the number for a descriptor that it watches already.
                loop.add_reader(number, int)
                assert loop.remove_reader(number)
            finally:
                os.close(number)


async def test_a_ring_that_is_longer_than_any_datagram_is_left_to_the_poll(tmp_path: Path) -> None:
    async with opened(tmp_path) as here, opened(tmp_path) as there:
        await acquainted(here, there)
        follower = Follower()
        there.watch_request(KEY, follower)
        here.request_changed(RequestKey(Owner("x" * 100_000, "x"), "a"))
        here.request_changed(KEY)
        assert await follower.heard.until("changed") == ["changed"]


async def test_of_much_progress_the_newest_is_sent(tmp_path: Path) -> None:
    async with opened(tmp_path) as here, opened(tmp_path) as there:
        await acquainted(here, there)
        follower = Follower()
        there.watch_request(KEY, follower)
        last = 0
        for last in range(1, 1_001):
            here.progress_reported(KEY, StoredProgress(1, last, "{}"))
            await asyncio.sleep(0)
        heard = await follower.heard.until(StoredProgress(1, last, "{}"))
        assert len(heard) < 1_000
