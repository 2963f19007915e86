# SPDX-License-Identifier: Apache-2.0
"""What stands behind an `InMemoryServer`: its sessions, and the ground of its clients."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from pydantic import MISSING, JsonValue

from ..asyncio.failures import OpenFailed
from ..asyncio.platform import Socket, Timer
from ..messages import RequestMessage
from ..options import Options
from . import messages
from .clock import TestClock
from .messages import LIMITS, Message, timestamp
from .request import InMemoryRequest, Script
from .session import Session
from .socket import MemorySocket

SYNC_WINDOW: Final = 2.0
"""Seconds that a quick script may take before its request is stored after all. PROTOCOL 5.3."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Turns the requests of an action down, before they are stored."""

    code: str
    """One of the protocol's."""
    message: str = "scripted refusal"
    """For people."""
    retryable: bool | None = None
    """None: what the code says."""
    retry_after: float | None = None
    """In seconds."""
    details: JsonValue = None
    """What the code demands; None: none."""


@dataclass(frozen=True, slots=True)
class Known:
    """An action, and what becomes of its requests."""

    script: Script | Refusal | None
    is_durable: bool


@dataclass(slots=True)
class Closed:
    """Why nobody gets in."""

    code: int | None
    status: int | None
    retry_after: float | None


class Host:
    """The server, for its sessions and its requests; a `Platform` for its clients."""

    def __init__(
        self,
        clock: TestClock,
        authenticate: Callable[[str | None], str | int],
        *,
        token_life: float,
        limits: Mapping[str, int],
        heartbeat: float,
        pings: str,
    ) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.requests: list[InMemoryRequest] = []
        self.received: list[Message] = []
        self.actions: dict[str, Known] = {}
        self.sessions: list[Session] = []
        self.untaken: list[InMemoryRequest] = []
        self.takers: list[tuple[str | None, Future[InMemoryRequest]]] = []
        self.opened = 0
        self.closed: Closed | None = None
        self.is_stalled = False
        self._authenticate = authenticate
        self._token_life = token_life
        self._limits = {**LIMITS, **limits}
        self._heartbeat = heartbeat
        self._pings = pings
        self._welcomes = 0

    @property
    def welcomed(self) -> list[Session]:
        """The sessions that have said hello."""
        return [session for session in self.sessions if session.principal is not None]

    # The ground of its clients: a `Platform`.

    def now(self) -> float:
        """The time of the clock."""
        return self.clock.now()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Calls back on the clock."""
        return self.clock._call_later(delay, callback)

    async def open(self, url: str, options: Options) -> Socket:
        """Opens a connection in memory."""
        self.clock._joined(asyncio.get_running_loop())
        with self.lock:
            self.opened += 1
            closed = self.closed
            if closed is not None and closed.code is None:
                status = closed.status
                why = f"HTTP {status}" if status is not None else "nobody listens"
                raise OpenFailed(why, status=status, retry_after=closed.retry_after)
            socket = MemorySocket()
            self.sessions.append(Session(self, self.lock, socket))
            return socket

    # What sessions and requests need.

    def identify(self, token: str | None) -> tuple[str, float] | int:
        """Returns whose a token is and for how long, or the close code that refuses it."""
        if self.closed is not None and self.closed.code is not None:
            return self.closed.code
        identity = self._authenticate(token)
        return identity if isinstance(identity, int) else (identity, self._token_life)

    def welcome(self, principal: str, life: float) -> Message:
        """Returns the next `welcome`."""
        self._welcomes += 1
        now = self.clock.now()
        return messages.welcome(
            connection_id=f"c-{self._welcomes}",
            principal=principal,
            server_time=timestamp(now),
            expires_at=timestamp(now + life),
            heartbeat={"interval_ms": round(self._heartbeat * 1000), "from": self._pings},
            limits=self._limits,
        )

    def heartbeat_interval(self) -> float | None:
        """Returns the seconds between two pings of the server; None: the client pings."""
        return self._heartbeat if self._pings == "server" else None

    def submit(self, message: RequestMessage) -> Message | None:
        """Takes a new request, or returns its refusal."""
        known = self.actions.get(message.action)
        if known is None:
            return messages.failure("UNKNOWN_ACTION", f"there is no action {message.action}")
        script = known.script
        if isinstance(script, Refusal):
            after = script.retry_after
            return messages.failure(
                script.code,
                script.message,
                retryable=script.retryable,
                retry_after_ms=None if after is None else round(after * 1000),
                details=script.details,
            )
        request = InMemoryRequest(message, self.clock, self.lock, self)
        self.requests.append(request)
        # PROTOCOL 10.6, 10.10
        optional = (message.resend, message.delay_ms, message.callback_url)
        is_quick = not known.is_durable and all(one is MISSING for one in optional)
        request._start(script, SYNC_WINDOW if is_quick else None)
        if script is None:
            self._offer(request)
        return None

    def forget(self, session: Session) -> None:
        """A session is over."""
        if session in self.sessions:
            self.sessions.remove(session)

    def on_event(self, request: InMemoryRequest) -> None:
        """A log has a new event."""
        for session in tuple(self.sessions):
            session.on_event(request)

    def on_progress(self, request: InMemoryRequest, message: Message) -> None:
        """A request has newer progress."""
        for session in tuple(self.sessions):
            session.on_progress(request, message)

    def on_answer(self, request: InMemoryRequest, message: Message) -> None:
        """A quick request is answered."""
        self.requests.remove(request)  # PROTOCOL 10.11
        for session in tuple(self.sessions):
            session.on_answer(request, message)

    def _offer(self, request: InMemoryRequest) -> None:
        for taker in self.takers:
            action, future = taker
            if action in (None, request.action) and future.set_running_or_notify_cancel():
                self.takers.remove(taker)
                future.set_result(request)
                return
        self.untaken.append(request)
