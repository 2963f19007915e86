# SPDX-License-Identifier: Apache-2.0
"""How the requests stand by what clients were told: what is asked of others, what runs just now."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Literal


@dataclass(frozen=True, slots=True)
class Favour:
    """What one client asks of another."""

    what: Literal["cancel", "watch"]
    request_id: str


@dataclass
class Board:
    """Shared by the clients of one owner, in one event loop."""

    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing new is asked any more."""
    all_ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing new is asked, and what was asked has ended."""
    favours: asyncio.Queue[Favour] = field(default_factory=asyncio.Queue)
    queued: set[str] = field(default_factory=set)
    """Acknowledged, no attempt has begun."""
    running: set[str] = field(default_factory=set)
    submitted: int = 0
    ended: int = 0

    def saw(self, request_id: str, status: str) -> None:
        """A client was told how a request stands."""
        self.queued.discard(request_id)
        self.running.discard(request_id)
        if status == "queued":
            self.queued.add(request_id)
        elif status == "processing":
            self.running.add(request_id)

    def saw_end(self, request_id: str) -> None:
        """A request has ended for who asked for it."""
        self.saw(request_id, "ended")
        self.ended += 1
        self._look()

    def stop(self) -> None:
        """Has nothing new asked."""
        self.stopping.set()
        self._look()

    def _look(self) -> None:
        if self.stopping.is_set() and self.ended == self.submitted:
            self.all_ended.set()


@dataclass(frozen=True, slots=True)
class Identity:
    """One client."""

    name: str
    url: str
    token: str
    rng: Random
