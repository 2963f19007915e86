# SPDX-License-Identifier: Apache-2.0
"""The bus between the processes of one machine that share a data folder: Unix datagrams.

A ring is heard in its own process before the ringing call returns, and in the others a turn of the
event loop later. It may be lost: on a peer that has just come or that takes nothing for long, and
in a crash. So whoever listens also polls (PROTOCOL 10.34); of an announcement nothing else tells.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from pathlib import Path

from longcall_server.bus.base import Announcement, Bus, RequestListener
from longcall_server.bus.doorbell import rings
from longcall_server.bus.doorbell.folder import BellFolder, is_peer_follower
from longcall_server.bus.doorbell.peer import Peer
from longcall_server.bus.doorbell.rings import Ring
from longcall_server.stores.base import RequestKey, StoredProgress

_log = logging.getLogger(__name__)

SCAN_EVERY = 5.0
"""Seconds after which the folder is looked at without a reason: who came unheard is found."""
REPORT_EVERY = 0.02
"""Seconds between two sendings of progress: far more often than any client is told of it."""
_TURN = 64
"""Datagrams that are read before the event loop gets its turn."""


class DoorbellBus:
    """Rings here and in every other process that has the same folder open.

    Args:
        local: the bus within this process, on which everything is heard.
        folder: where the sockets are; it is made, and nobody but its owner may enter it.
        follows: whether this process has followers of requests; workers have none.
        listens: whether it wants to be rung at all; a short-lived process only rings.

    From `open` to `close` it is used on one event loop. Before and after, only this process hears.
    """

    def __init__(
        self, local: Bus, folder: Path, *, follows: bool = True, listens: bool = True
    ) -> None:
        self._local = local
        self._folder = BellFolder(folder)
        self._follows = follows
        self._listens = listens
        self._name: str | None = None
        self._ear: socket.socket | None = None
        self._peers: dict[str, Peer] = {}
        self._loop: asyncio.AbstractEventLoop
        self._flushing: asyncio.Handle | None = None
        self._flushes_at = 0.0
        self._reported_at = 0.0
        self._scanning: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Takes its place in the folder and tells the others.

        Raises `PermissionError` if others than this user may enter the folder, and `OSError` if it
        cannot be made. Where the system or the file system has no such sockets it warns, and only
        this process hears.
        """
        self._loop = asyncio.get_running_loop()
        self._folder.open()
        try:
            if self._listens:
                self._name, self._ear = self._folder.listen(follows=self._follows)
                self._loop.add_reader(self._ear, self._hear)
        except OSError as error:
            where = self._folder.path
            _log.warning("processes cannot ring each other in %s, they will poll: %s", where, error)
            await self.close()
            return
        self._scan()
        if self._listens:
            self._ring(rings.HELLO)

    async def close(self) -> None:
        """Sends what can be sent at once, and leaves the folder."""
        for handle in (self._flushing, self._scanning):
            if handle is not None:
                handle.cancel()
        self._flushing = self._scanning = None
        for name in tuple(self._peers):
            self._flush_peer(name)
        for name in tuple(self._peers):
            self._part(name)
        if self._ear is not None:
            self._loop.remove_reader(self._ear)
            self._ear.close()
            self._ear = None
        if self._name is not None:
            self._folder.remove(self._name)
            self._name = None
        self._folder.close()

    # --- The bus ----------------------------------------------------------------------------------

    def request_changed(self, key: RequestKey) -> None:
        """Rings for those who follow this request."""
        self._local.request_changed(key)
        if self._peers:
            self._ring(rings.changed(key), to_followers=True)

    def progress_reported(self, key: RequestKey, progress: StoredProgress) -> bool:
        """Hands live progress to those who follow this request; False if it is too long for that
        and somebody may follow it elsewhere."""
        heard = self._local.progress_reported(key, progress)
        if not any(peer.is_follower for peer in self._peers.values()):
            return heard
        if len(progress.body) > rings.MAX_BODY:
            return False
        wait = max(0.0, self._reported_at + REPORT_EVERY - self._loop.time())
        self._ring(rings.progress(key, progress), to_followers=True, wait=wait)
        return heard

    def cancel_requested(self, key: RequestKey) -> None:
        """Rings for the worker that runs this request."""
        self._local.cancel_requested(key)
        self._ring(rings.cancel(key))

    def work_available(self) -> None:
        """Rings for workers: something may be due."""
        self._local.work_available()
        self._ring(rings.WORK)

    def announce(self, announcement: Announcement) -> int:
        """Hands an announcement to the gateways here, and to the other processes that have one."""
        self._local.announce(announcement)
        self._ring(rings.announce(announcement), to_followers=True)
        return sum(peer.is_follower for peer in self._peers.values())

    def watch_request(self, key: RequestKey, listener: RequestListener) -> Callable[[], None]:
        """Follows one request; returns the function that ends it."""
        return self._local.watch_request(key, listener)

    def watch_cancels(self, callback: Callable[[RequestKey], None]) -> Callable[[], None]:
        """Hears of cancels; returns the function that ends it."""
        return self._local.watch_cancels(callback)

    def watch_work(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Hears of work; returns the function that ends it."""
        return self._local.watch_work(callback)

    def watch_announcements(self, callback: Callable[[Announcement], None]) -> Callable[[], None]:
        """Hears of announcements; returns the function that ends it."""
        return self._local.watch_announcements(callback)

    # --- To the others ----------------------------------------------------------------------------

    def _ring(self, ring: Ring, *, to_followers: bool = False, wait: float = 0.0) -> None:
        to = [peer for peer in self._peers.values() if peer.is_follower or not to_followers]
        for peer in to:
            peer.add(ring)
        if not to:
            return
        # All that is rung in one turn of the loop goes out together.
        at = self._loop.time() + wait
        if self._flushing is not None:
            if self._flushes_at <= at:
                return
            self._flushing.cancel()
        self._flushes_at = at
        later = self._loop.call_later
        self._flushing = later(wait, self._flush) if wait else self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = None
        self._reported_at = self._loop.time()
        for name, peer in tuple(self._peers.items()):
            if not peer.is_full:
                self._flush_peer(name)

    def _flush_peer(self, name: str) -> None:
        peer = self._peers[name]
        was_full = peer.is_full
        try:
            peer.flush()
        except OSError as error:
            _log.debug("a process of this folder has gone: %s", error)
            self._part(name)
            return
        if peer.is_full and not was_full:
            self._loop.add_writer(peer.connection, self._flush_peer, name)
        elif was_full and not peer.is_full:
            self._loop.remove_writer(peer.connection)

    # --- From the others --------------------------------------------------------------------------

    def _hear(self) -> None:
        for _ in range(_TURN):
            if self._ear is None:
                return
            try:
                received = self._ear.recv(rings.MAX_DATAGRAM + 1)
            except BlockingIOError:
                return
            try:
                rings.ring_all(received, self._local, self._scan)
            except ValueError as error:
                _log.warning("somebody rings who is none of ours: %s", error)

    # --- Who is there -----------------------------------------------------------------------------

    def _scan(self) -> None:
        if self._scanning is not None:
            self._scanning.cancel()
        self._scanning = self._loop.call_later(SCAN_EVERY, self._scan)
        try:
            names = self._folder.names()
        except OSError as error:
            _log.warning("the folder %s cannot be read: %s", self._folder.path, error)
            return
        for name in self._peers.keys() - names:
            self._part(name)
        for name in names - self._peers.keys() - {self._name}:
            connection = self._folder.connect(name)
            if connection is not None:
                self._peers[name] = Peer(connection, is_follower=is_peer_follower(name))

    def _part(self, name: str) -> None:
        peer = self._peers.pop(name)
        if peer.is_full:
            self._loop.remove_writer(peer.connection)
        peer.connection.close()
