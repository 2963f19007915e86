# SPDX-License-Identifier: Apache-2.0
"""Writes down what a driver tells, as its clients would (see `referee.observations`).

In the files a request bears the name that the run gave it: a driver does not say the id of a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..referee.observations import ObservationFile
from .workload import Moment

JsonObject = dict[str, Any]

_SHOWN = {
    "handle.status": ("seq", "status", "attempt", "chunks_kept_to"),
    "handle.chunk": ("seq", "attempt", "data"),
    "handle.progress": ("attempt", "version", "percentage"),
}


@dataclass
class Followed:
    """One handle of a driver, or one call."""

    name: str
    request: str
    """The name of its request; a watching handle has another one of its own."""
    file: ObservationFile
    is_call: bool
    reads: bool = False
    """A reading has begun."""
    is_read: bool = False
    """It has ended."""
    has_outcome: bool = False
    request_id: str | None = None
    """Its id, once the driver has told it."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing more is to come."""

    def note(self, what: str, **members: Any) -> None:
        """Writes a line of this request."""
        self.file.note(what, self.request, **members)

    def read(self) -> None:
        """A reading begins; a call is shown chunks and progress alone."""
        self.reads = True
        self.note("read", reading=self.name, sparse=True if self.is_call else None)

    def look(self) -> None:
        """Sets `ended` when it has."""
        if self.has_outcome and (self.is_read or not self.reads):
            self.ended.set()


class Observer:
    """Everything that one driver tells, in its order."""

    def __init__(self, on_moment: Callable[[Followed, Moment], None]) -> None:
        self._on_moment = on_moment
        self._followed: dict[str, Followed] = {}
        self.ids: dict[str, list[str]] = {}
        """The handles that were acknowledged under an id: one, or something is wrong."""
        self.attempts: dict[str, int] = {}
        """The newest attempt of each request, as far as anything was told of it."""
        self.lost_connections = 0
        self.warnings: list[str] = []
        self.told = 0
        """How many events there were: who looks twice sees whether anything goes on."""
        self.is_over = False
        """All have ended, or were given up: what handles tell now is written down no more."""
        self.asks: Callable[[JsonObject], None] = lambda _: None

    def follow(self, followed: Followed) -> Followed:
        """Expects events of a handle."""
        self._followed[followed.name] = followed
        return followed

    def followed(self, name: str) -> Followed:
        """The handle of that name."""
        return self._followed[name]

    def take(self, event: JsonObject) -> None:
        """Writes down the next event."""
        self.told += 1
        kind = event["ev"]
        if kind == "token.needed":
            self.asks(event)
        elif kind == "connection.state":
            self.lost_connections += event["state"] == "reconnecting"
        elif kind == "warning":
            self.warnings.append(event["message"])
        elif kind.startswith("handle.") and not self.is_over:
            self._take(self._followed[event["handle"]], kind, event)

    def _take(self, one: Followed, kind: str, event: JsonObject) -> None:
        match kind:
            case "handle.acknowledged":
                one.request_id = event["request_id"]
                self.ids.setdefault(event["request_id"], []).append(one.name)
                one.note("acknowledged")
                one.read()
                self._on_moment(one, "acknowledged")
            case "handle.result":
                self._outcome(one, "result", result=event["result"])
            case "handle.error":
                self._error(one, event["err"])
            case "handle.end":
                if "err" in event:
                    self._trouble(one, event["err"])
                one.note("end", reading=one.name)
                one.is_read = True
            case _:
                self._event(one, kind, event)
        one.look()

    def _event(self, one: Followed, kind: str, event: JsonObject) -> None:
        newest = max(self.attempts.get(one.request, 0), event["attempt"])
        self.attempts[one.request] = newest
        members = {name: event[name] for name in _SHOWN[kind] if name in event}
        one.note(kind.removeprefix("handle."), reading=one.name, **members)
        if kind == "handle.progress":
            self._on_moment(one, "progress")

    def _error(self, one: Followed, error: JsonObject) -> None:
        if error["kind"] != "request":
            self._trouble(one, error)
            one.has_outcome, one.is_read = True, one.is_read or one.is_call
            return
        self._outcome(one, "error", code=error["code"], details=error.get("details"))

    def _outcome(self, one: Followed, what: str, **members: Any) -> None:
        one.note(what, handle=one.name, **members)
        one.has_outcome = True
        if one.is_call and not one.is_read:
            one.note("end", reading=one.name)
            one.is_read = True

    @staticmethod
    def _trouble(one: Followed, error: JsonObject) -> None:
        one.note("trouble", text=f"{one.name}: {error['kind']}: {error['message']}")
