# SPDX-License-Identifier: Apache-2.0
"""The bus within one process: plain callbacks on the event loop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, ParamSpec

from longcall_server.bus.base import Announcement, RequestListener
from longcall_server.stores.base import RequestKey, StoredProgress

_log = logging.getLogger(__name__)

_P = ParamSpec("_P")


class LocalBus:
    """Calls its listeners before the ringing call returns; use it from the event loop only.

    A listener that raises is logged and harms neither the ringer nor the other listeners. Listeners
    may come and go while a bell rings: who left is not called any more, who came hears the next.
    """

    def __init__(self) -> None:
        self._followers: dict[RequestKey, dict[object, RequestListener]] = {}
        self._cancels: _Bell[[RequestKey]] = _Bell()
        self._work: _Bell[[]] = _Bell()
        self._announcements: _Bell[[Announcement]] = _Bell()

    def request_changed(self, key: RequestKey) -> None:
        """Rings for those who follow this request."""
        followers = self._followers.get(key, {})
        for token, follower in tuple(followers.items()):
            if token in followers:
                _call(follower.request_changed)

    def progress_reported(self, key: RequestKey, progress: StoredProgress) -> bool:
        """Hands live progress of any length to those who follow this request; always True."""
        followers = self._followers.get(key, {})
        for token, follower in tuple(followers.items()):
            if token in followers:
                _call(follower.progress_reported, progress)
        return True

    def cancel_requested(self, key: RequestKey) -> None:
        """Rings for the worker that runs this request."""
        self._cancels.ring(key)

    def work_available(self) -> None:
        """Rings for workers: something may be due."""
        self._work.ring()

    def announce(self, announcement: Announcement) -> int:
        """Hands an announcement to the gateways of this process; there is no other."""
        self._announcements.ring(announcement)
        return 0

    def watch_request(self, key: RequestKey, listener: RequestListener) -> Callable[[], None]:
        """Follows one request; returns the function that ends it."""
        token = object()
        self._followers.setdefault(key, {})[token] = listener

        def unwatch() -> None:
            followers = self._followers.get(key, {})
            if followers.pop(token, None) is not None and not followers:
                del self._followers[key]

        return unwatch

    def watch_cancels(self, callback: Callable[[RequestKey], None]) -> Callable[[], None]:
        """Hears of cancels; returns the function that ends it."""
        return self._cancels.watch(callback)

    def watch_work(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Hears of work; returns the function that ends it."""
        return self._work.watch(callback)

    def watch_announcements(self, callback: Callable[[Announcement], None]) -> Callable[[], None]:
        """Hears of announcements; returns the function that ends it."""
        return self._announcements.watch(callback)


class _Bell(Generic[_P]):
    """One kind of call and those who hear it."""

    def __init__(self) -> None:
        self._callbacks: dict[object, Callable[_P, None]] = {}

    def watch(self, callback: Callable[_P, None]) -> Callable[[], None]:
        token = object()
        self._callbacks[token] = callback

        def unwatch() -> None:
            self._callbacks.pop(token, None)

        return unwatch

    def ring(self, *args: _P.args, **kwargs: _P.kwargs) -> None:
        for token, callback in tuple(self._callbacks.items()):
            if token in self._callbacks:
                _call(callback, *args, **kwargs)


def _call(callback: Callable[_P, None], *args: _P.args, **kwargs: _P.kwargs) -> None:
    try:
        callback(*args, **kwargs)
    except Exception:
        _log.exception("a listener of the bus raised")
