# SPDX-License-Identifier: Apache-2.0
"""The folder in which the processes find each other's sockets.

Only its owner can enter it: that keeps strangers from ringing and from listening. Each process has
one socket in it, named by chance and by what it wants to hear: `f-…` follows requests, `w-…` works
alone. A socket of a process that died refuses to be connected to, and is removed by whoever tries.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
import stat
import time
from pathlib import Path

from longcall_server.bus.doorbell.rings import MAX_DATAGRAM

_NAME = re.compile(r"[fw]-[0-9a-f]{16}")
_NEWBORN = 10.0
"""Seconds in which a socket that refuses may be one that is just being made."""
_THROUGH_PROC = Path("/proc/self/fd")


class BellFolder:
    """The folder, held open. All methods are quick and none blocks on another process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def open(self) -> None:
        """Makes the folder if it is missing.

        Raises `PermissionError` if others than this user may enter it, and `OSError` if it cannot
        be made.
        """
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            self._check(os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def close(self) -> None:
        """Lets the folder go; the sockets in it stay."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def names(self) -> set[str]:
        """The sockets that are there, of the living and of the dead."""
        return {name for name in os.listdir(self._descriptor) if _NAME.fullmatch(name)}

    def listen(self, *, follows: bool) -> tuple[str, socket.socket]:
        """Makes a socket of our own; raises `OSError` where the file system holds none."""
        name = f"{'f' if follows else 'w'}-{secrets.token_hex(8)}"
        made = _socket()
        try:
            made.bind(self._address(name))
        except BaseException:
            made.close()
            raise
        return name, made

    def connect(self, name: str) -> socket.socket | None:
        """A socket that leads to a peer; None if nobody is there (any more)."""
        made = _socket()
        try:
            made.connect(self._address(name))
        except ConnectionRefusedError:
            made.close()
            self._remove_dead(name)
            return None
        except OSError:
            made.close()
            return None
        return made

    def remove(self, name: str) -> None:
        """Takes a socket's name away."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)

    def _check(self, status: os.stat_result) -> None:
        if status.st_uid != os.geteuid():
            raise PermissionError(
                f"{self.path} belongs to another user: all processes of a data folder run as one"
            )
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise PermissionError(f"{self.path} is open to other users: its mode must be 0700")

    def _remove_dead(self, name: str) -> None:
        with contextlib.suppress(OSError):
            made_at = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_mtime
            # Between its making and its first breath a socket refuses like a dead one.
            if time.time() - made_at > _NEWBORN:
                self.remove(name)

    def _address(self, name: str) -> str:
        # An address holds about a hundred bytes, a path may be longer: the kernel is shown a
        # shorter way to the same place.
        if _THROUGH_PROC.is_dir():
            return f"{_THROUGH_PROC}/{self._descriptor}/{name}"
        return str(self.path / name)


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MAX_DATAGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MAX_DATAGRAM)
    return made


def is_peer_follower(name: str) -> bool:
    """Whether the process behind a socket wants to hear of requests."""
    return name.startswith("f-")
