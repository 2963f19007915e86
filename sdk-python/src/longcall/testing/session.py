# SPDX-License-Identifier: Apache-2.0
"""One connection of a client, on the server's side."""

from __future__ import annotations

import json
import math
from typing import Any, Final, Protocol

import pydantic
from pydantic import MISSING, TypeAdapter

from ..codec import canonical_json
from ..messages import (
    AttachMessage,
    CancelMessage,
    ClientMessage,
    DetachMessage,
    HelloMessage,
    ListMessage,
    PingMessage,
    PongMessage,
    RefreshMessage,
    RequestMessage,
)
from . import messages
from .clock import TestClock
from .messages import Message, timestamp
from .request import InMemoryRequest
from .socket import MemorySocket

_CLIENT_MESSAGE: Final[TypeAdapter[Any]] = TypeAdapter(ClientMessage)


MOST_UNTAKEN: Final = 256
"""Messages that wait in a connection before reading logs for it pauses."""


class Host(Protocol):
    """What a session needs of its server."""

    clock: TestClock
    requests: list[InMemoryRequest]
    received: list[Message]
    is_stalled: bool

    def identify(self, token: str | None) -> tuple[str, float] | int:
        """Returns whose a token is and for how long, or the close code that refuses it."""

    def welcome(self, principal: str, life: float) -> Message:
        """Returns the next `welcome`."""

    def heartbeat_interval(self) -> float | None:
        """Returns the seconds between two pings of the server; None: the client pings."""

    def submit(self, message: RequestMessage) -> Message | None:
        """Takes a new request, or returns its refusal."""

    def forget(self, session: Session) -> None:
        """A session is over."""


class _Cursor:
    """A place in a log, and where reading ends."""

    def __init__(self, position: int, until: float = math.inf) -> None:
        self.position = position
        self.until = until


class Session:
    """Answers one client. All of it happens under the lock of the server."""

    def __init__(self, server: Host, lock: Any, socket: MemorySocket) -> None:
        self.principal: str | None = None
        self._server = server
        self._lock = lock
        self._socket = socket
        self._is_open = True
        self._cursors: dict[str, _Cursor] = {}
        self._behind: set[str] = set()  # whose logs are read on when the client has taken more
        self._held_in: list[str] = []  # while the server is stalled
        self._held_out: list[str] = []
        self._unanswered_pings = 0
        self._ping_timer: Any = None
        self._expiry_timer: Any = None
        socket.peer = self

    @property
    def followed(self) -> list[str]:
        """The ids whose logs it follows."""
        return list(self._cursors)

    # What the client does.

    def on_text(self, text: str) -> None:
        with self._lock:
            if not self._is_open:
                return
            if self._server.is_stalled:
                self._held_in.append(text)
                return
            self._unanswered_pings = 0
            try:
                message = _CLIENT_MESSAGE.validate_json(text, by_alias=True, by_name=False)
            except pydantic.ValidationError as error:
                # The SDK's own defect, whatever the application did.
                self.close(4400, str(error)[:100])
                return
            self._server.received.append(json.loads(text))
            if self.principal is None:
                self._greet(message)
            else:
                self._take(message)

    def on_drained(self) -> None:
        with self._lock:
            behind, self._behind = self._behind, set()
            for request_id in behind:
                if (request := self._find(request_id)) is not None:
                    self._deliver(request)

    def on_closed(self, code: int | None) -> None:
        with self._lock:
            self._over()

    # What the server does.

    def close(self, code: int | None, reason: str) -> None:
        """Closes; without a code the connection is lost without a word."""
        if self._is_open:
            self._over()
            self._socket.end(code, reason)

    def send(self, message: Message) -> None:
        self._send_text(messages.checked(message))

    def _send_text(self, text: str) -> None:
        if not self._is_open:
            return
        if self._server.is_stalled:
            self._held_out.append(text)
        else:
            self._socket.deliver(text)

    def on_event(self, request: InMemoryRequest) -> None:
        """A log has a new event."""
        self._deliver(request)

    def on_progress(self, request: InMemoryRequest, message: Message) -> None:
        cursor = self._cursors.get(request.id)
        if cursor is not None and cursor.until == math.inf:
            self.send(message)

    def on_answer(self, request: InMemoryRequest, message: Message) -> None:
        if self._cursors.pop(request.id, None) is not None:
            self.send(message)

    def resume(self) -> None:
        """Lets through, both ways, what was held while the server was stalled."""
        held_out, self._held_out = self._held_out, []
        for text in held_out:
            self._socket.deliver(text)
        held_in, self._held_in = self._held_in, []
        for text in held_in:
            self.on_text(text)

    # Inside.

    def _greet(self, message: Any) -> None:
        if not isinstance(message, HelloMessage):
            self.close(4400, "not a hello")
            return
        token = None if message.token is MISSING else message.token
        identity = self._server.identify(token)
        if isinstance(identity, int):
            self.close(identity, "refused")
            return
        self.principal, life = identity
        self.send(self._server.welcome(self.principal, life))
        self._ping_later()
        self._expire_later(life)

    def _take(self, message: Any) -> None:
        match message:
            case RequestMessage():
                self._request(message)
            case AttachMessage():
                self._attach(message)
            case DetachMessage():
                self._cursors.pop(message.request_id, None)
            case CancelMessage():
                self._cancel(message)
            case ListMessage():
                self._list(message)
            case RefreshMessage():
                self._refresh(message)
            case PingMessage():
                nonce = {} if message.nonce is MISSING else {"nonce": message.nonce}
                self.send({"type": "pong", **nonce})
            case PongMessage():
                pass
            case _:
                self._refuse("hello", "VALIDATION_ERROR", details={"pointer": "/type"})

    def _request(self, message: RequestMessage) -> None:
        known = self._find(message.id)
        if known is None:
            # The connection follows what it submits. PROTOCOL 10.24.
            self._cursors[message.id] = _Cursor(0)
            refusal = self._server.submit(message)
            if refusal is not None:
                del self._cursors[message.id]
                self.send({**refusal, "request_id": message.id, "reply_to": "request"})
            return
        if not _is_same(known._message, message):
            self._refuse("request", "CONFLICT", request_id=message.id)
            return
        known.arrivals += 1
        known._store()  # PROTOCOL 10.6
        self._cursors[message.id] = _Cursor(1)
        self.send({**known.log[0], "duplicate": True})
        self._deliver(known)

    def _attach(self, message: AttachMessage) -> None:
        request = self._find(message.request_id)
        if request is None or not request.is_stored:
            self._refuse("attach", "NOT_FOUND", request_id=message.request_id)
            return
        last = len(request.log)
        if message.after_seq > last:  # PROTOCOL 10.29
            refused = {"request_id": request.id, "details": {"last_seq": last}}
            self._refuse("attach", "CONFLICT", **refused)
            return
        self._snapshot(request, "attach")
        until = last if message.follow is False else math.inf
        self._cursors[request.id] = _Cursor(message.after_seq, until)
        self._deliver(request)

    def _cancel(self, message: CancelMessage) -> None:
        request = self._find(message.request_id)
        if request is None:
            self._refuse("cancel", "NOT_FOUND", request_id=message.request_id)
            return
        request._cancel(None if message.reason is MISSING else message.reason)
        self._snapshot(request, "cancel")

    def _snapshot(self, request: InMemoryRequest, reply_to: str) -> None:
        ending: Message = {}
        if request.is_finished and request.log:
            last = request.log[-1]
            ending = {key: last[key] for key in ("result", "error") if key in last}
        answer = {"type": "snapshot", "request_id": request.id, "reply_to": reply_to}
        self.send({**answer, "request": request._summary(), **ending})

    def _list(self, message: ListMessage) -> None:
        if message.sub is not MISSING:
            self._refuse("list", "FORBIDDEN", id=message.id)
            return
        statuses = None if message.status is MISSING else message.status
        found = [
            request
            for request in reversed(self._server.requests)
            if request.is_stored
            and (statuses is None or request.status in statuses)
            and message.action in (MISSING, request.action)
        ]
        start = 0 if message.cursor is MISSING else int(message.cursor)
        end = start + (50 if message.limit is MISSING else message.limit)
        page: Message = {"type": "listing", "id": message.id}
        page["requests"] = [request._summary() for request in found[start:end]]
        if end < len(found):
            page["next_cursor"] = str(end)
        self.send(page)

    def _refresh(self, message: RefreshMessage) -> None:
        identity = self._server.identify(message.token)
        if isinstance(identity, int) or identity[0] != self.principal:
            self._refuse("refresh", "UNAUTHORIZED")  # PROTOCOL 3.6.3
            return
        now, life = self._server.clock.now(), identity[1]
        self.send(
            {
                "type": "refreshed",
                "expires_at": timestamp(now + life),
                "server_time": timestamp(now),
            }
        )
        self._expire_later(life)

    def _refuse(self, reply_to: str, code: str, **fields: Any) -> None:
        self.send(messages.failure(code, f"scripted {code}", reply_to=reply_to, **fields))

    def _deliver(self, request: InMemoryRequest) -> None:
        cursor = self._cursors.get(request.id)
        if cursor is None:
            return
        end = min(len(request.log), cursor.until)
        while cursor.position < end:
            if self._socket.backlog >= MOST_UNTAKEN:  # PROTOCOL 6.4.1
                self._behind.add(request.id)
                return
            text = request._texts[cursor.position]
            cursor.position += 1
            if self._is_last(request, cursor) and request._newest is not None:
                # PROTOCOL 10.35; who had it already drops it.
                self.send({"type": "progress", "request_id": request.id, **request._newest})
            self._send_text(text)
        if request.is_finished or cursor.until < math.inf:
            self._cursors.pop(request.id, None)  # PROTOCOL 4.5.5

    @staticmethod
    def _is_last(request: InMemoryRequest, cursor: _Cursor) -> bool:
        return request.is_finished and cursor.position == len(request.log)

    def _find(self, request_id: str) -> InMemoryRequest | None:
        return next((one for one in self._server.requests if one.id == request_id), None)

    def _ping_later(self) -> None:
        interval = self._server.heartbeat_interval()
        if interval is not None:
            self._ping_timer = self._later(interval, self._ping)

    def _ping(self) -> None:
        """PROTOCOL 6.7.3, 6.7.5."""
        if self._unanswered_pings >= 2:
            if self._server.is_stalled:
                self._over()  # the client cannot hear of it
            else:
                self.close(4408, "two pings were not answered")
            return
        self._unanswered_pings += 1
        self.send({"type": "ping"})
        self._ping_later()

    def _expire_later(self, life: float) -> None:
        if self._expiry_timer is not None:
            self._expiry_timer.cancel()
        # PROTOCOL 3.6.5
        self._expiry_timer = self._later(life, lambda: self.close(4401, "the token has expired"))

    def _later(self, delay: float, act: Any) -> Any:
        def locked() -> None:
            with self._lock:
                if self._is_open:
                    act()

        return self._server.clock._call_later(delay, locked)

    def _over(self) -> None:
        self._is_open = False
        self._cursors.clear()
        for timer in (self._ping_timer, self._expiry_timer):
            if timer is not None:
                timer.cancel()
        self._server.forget(self)


def _is_same(one: RequestMessage, other: RequestMessage) -> bool:
    """PROTOCOL 10.23."""
    return one.action == other.action and _payload_text(one) == _payload_text(other)


def _payload_text(message: RequestMessage) -> str:
    return canonical_json(None if message.payload is MISSING else message.payload)
