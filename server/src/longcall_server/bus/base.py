# SPDX-License-Identifier: Apache-2.0
"""The seam to the bus: a doorbell between those who write and those who read.

It carries wake-ups, live progress and announcements. It may lose or repeat: whoever is woken reads
the store, and a slow poll repairs what was lost (PROTOCOL 10.34). Announcements alone stand nowhere
else (PROTOCOL 4.7.4): one that is lost is lost. Callbacks are called on the event loop, must be
quick and must not raise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from longcall_server.stores.base import Owner, RequestKey, StoredProgress

MAX_ANNOUNCEMENT_BYTES: Final = 16_384
"""The longest announcement, as it is sent; every bus carries it."""
MAX_NAME_CHARS: Final = 256
"""The longest name in an audience."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom an announcement is for: the connections that everything named here fits; all of them
    where nothing is named."""

    tenant_id: str | None = None
    sub: str | None = None
    """Of this tenant."""
    connection_id: str | None = None

    def __contains__(self, connection: tuple[str, Owner]) -> bool:
        """Whether a connection, by its id and its owner, is one of them."""
        connection_id, owner = connection
        return (
            self.connection_id in (None, connection_id)
            and self.tenant_id in (None, owner.tenant_id)
            and self.sub in (None, owner.sub)
        )


@dataclass(frozen=True, slots=True)
class Announcement:
    """An operator's word (PROTOCOL 4.7)."""

    frame: str
    """The message as it is sent."""
    audience: Audience


class RequestListener(Protocol):
    """Somebody who follows one request."""

    def request_changed(self) -> None:
        """Its log or its state has something new."""

    def progress_reported(self, progress: StoredProgress) -> None:
        """The running attempt reported progress."""


class Bus(Protocol):
    """Wake-ups, live progress and announcements between the parts of one server, and between
    servers."""

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

    def announce(self, announcement: Announcement) -> int:
        """Hands an announcement to every gateway; to how many other processes it is on its way."""

    def watch_request(self, key: RequestKey, listener: RequestListener) -> Callable[[], None]:
        """Follows one request; returns the function that ends it."""

    def watch_cancels(self, callback: Callable[[RequestKey], None]) -> Callable[[], None]:
        """Hears of cancels; returns the function that ends it."""

    def watch_work(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Hears of work; returns the function that ends it."""

    def watch_announcements(self, callback: Callable[[Announcement], None]) -> Callable[[], None]:
        """Hears of announcements; returns the function that ends it."""
