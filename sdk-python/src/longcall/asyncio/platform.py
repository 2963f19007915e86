# SPDX-License-Identifier: Apache-2.0
"""What a client stands on: sockets, a clock and timers. `longcall.testing` has others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from ..options import Options


class Socket(Protocol):
    """An open WebSocket; see `Transport`."""

    @property
    def fileno(self) -> int: ...

    def send(self, text: str) -> None: ...

    def set_read_limit(self, max_bytes: int) -> None: ...

    def close(self, code: int, reason: str) -> None: ...

    def abort(self) -> None: ...

    async def run(self, take: Callable[[str | bytes], None]) -> tuple[int | None, str]: ...


class Timer(Protocol):
    """What `call_later` returns."""

    def cancel(self) -> None: ...


class Platform(Protocol):
    """The ground of one client."""

    def now(self) -> float:
        """Seconds that never go back."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Calls back after `delay` seconds, in the running loop."""

    async def open(self, url: str, options: Options) -> Socket:
        """Opens a socket; raises `OpenFailed`."""


class System:
    """The real one."""

    def __init__(self, options: Options) -> None:
        self.now = options.clock

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(delay, callback)

    async def open(self, url: str, options: Options) -> Socket:
        # The library takes as long to import as all else does, and not every program connects.
        from .transport import Transport  # noqa: PLC0415

        return await Transport.open(url, options)


_by_host: dict[str, Platform] = {}


def register(host: str, platform: Platform | None) -> None:
    """Lets clients of this host stand on another platform; None: no longer."""
    if platform is None:
        _by_host.pop(host, None)
    else:
        _by_host[host] = platform


def platform_of(url: str, options: Options) -> Platform:
    """Returns what a client of `url` stands on."""
    return _by_host.get(urlsplit(url).hostname or "") or System(options)
