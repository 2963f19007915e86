# SPDX-License-Identifier: Apache-2.0
"""The seam to the bus: a doorbell between those who write and those who read.

It carries wake-ups and live progress. It may lose or repeat: whoever is woken reads the store, and
a slow poll repairs what was lost (PROTOCOL 10.34). Callbacks are called on the event loop, must be
quick and must not raise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from longcall_server.stores.base import RequestKey, StoredProgress


class RequestListener(Protocol):
    """Somebody who follows one request."""

    def request_changed(self) -> None:
        """Its log or its state has something new."""

    def progress_reported(self, progress: StoredProgress) -> None:
        """The running attempt reported progress."""


class Bus(Protocol):
    """Wake-ups and live progress between the parts of one server, and between servers."""

    def request_changed(self, key: RequestKey) -> None:
        """Rings for those who follow this request."""

    def progress_reported(self, key: RequestKey, progress: StoredProgress) -> bool:
        """Hands live progress to those who follow this request.

        False if it is too long for this bus: then who reports it has the store keep it, and rings
        that the request has changed.
        """

    def cancel_requested(self, key: RequestKey) -> None:
        """Rings for the worker that runs this request."""

    def work_available(self) -> None:
        """Rings for workers: something may be due."""

    def watch_request(self, key: RequestKey, listener: RequestListener) -> Callable[[], None]:
        """Follows one request; returns the function that ends it."""

    def watch_cancels(self, callback: Callable[[RequestKey], None]) -> Callable[[], None]:
        """Hears of cancels; returns the function that ends it."""

    def watch_work(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Hears of work; returns the function that ends it."""
