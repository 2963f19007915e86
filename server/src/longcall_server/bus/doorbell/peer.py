# SPDX-License-Identifier: Apache-2.0
"""Another process, as this one sees it: a socket and what still has to be said to it."""

from __future__ import annotations

import logging
import socket

from longcall_server.bus.doorbell.rings import MAX_DATAGRAM, Ring, datagram, encode, subject

_log = logging.getLogger(__name__)

MAX_WAITING = 4_096
"""The most rings that wait for a peer who takes none; the oldest are lost."""
MAX_WAITING_CHARS = 4_194_304
"""The most text of all these rings."""


class Peer:
    """One peer. What it cannot take yet waits here, the newest ring of each subject only."""

    def __init__(self, connection: socket.socket, *, is_follower: bool) -> None:
        self.connection = connection
        self.is_follower = is_follower
        """Whether somebody may follow requests there."""
        self.is_full = False
        """Its buffer took nothing at the last try."""
        self._waiting: dict[Ring, Ring] = {}
        self._waiting_chars = 0
        self._packet: bytes | None = None
        """The datagram that is sent next, once one was refused."""

    def add(self, ring: Ring) -> None:
        """Has a ring sent at the next `flush`."""
        about = subject(ring)
        self._waiting_chars += _chars(ring) - _chars(self._waiting.get(about, ()))
        self._waiting[about] = ring
        while len(self._waiting) > MAX_WAITING or self._waiting_chars > MAX_WAITING_CHARS:
            self._take(next(iter(self._waiting)))

    def flush(self) -> None:
        """Sends what waits until nothing is left or the peer `is_full`.

        Never blocks; raises `OSError` when the peer is gone.
        """
        while self._packet is not None or self._waiting:
            packet = self._packet if self._packet is not None else self._pack()
            try:
                self.connection.send(packet)
            except BlockingIOError:
                self._packet, self.is_full = packet, True
                return
            self._packet = None
        self.is_full = False

    def _pack(self) -> bytes:
        parts: list[bytes] = []
        size = 2
        while self._waiting:
            about = next(iter(self._waiting))
            part = encode(self._waiting[about])
            size += len(part) + 1
            if size > MAX_DATAGRAM:
                if parts:
                    break
                # Somebody's name is as long as a book; the slow poll is there for him.
                _log.debug("a ring of %d bytes is too long to be sent", len(part))
                size = 2
            else:
                parts.append(part)
            self._take(about)
        return datagram(parts)

    def _take(self, about: Ring) -> None:
        self._waiting_chars -= _chars(self._waiting.pop(about))


def _chars(ring: Ring) -> int:
    return sum(len(part) for part in ring if isinstance(part, str))
