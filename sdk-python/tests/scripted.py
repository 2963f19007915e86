# SPDX-License-Identifier: Apache-2.0
"""A scripted peer for the pure protocol: lists instead of sockets, and time moved by hand."""

from __future__ import annotations

import json
from typing import Any

from longcall import Announcement, Options, RequestSummary
from longcall.protocol import (
    Announced,
    ClientProtocol,
    Close,
    EventReader,
    FetchToken,
    Open,
    Send,
    SetReadLimit,
    StateChanged,
    TrackedRequest,
    Warned,
)
from longcall.testing.messages import acknowledgment, welcome


class Script:
    """A `ClientProtocol`, and a peer whose every word we choose.

    Attributes:
        now: The time in seconds.
        opens: The reasons with which sockets were asked for, and not yet opened: link -> reason.
        closes: What was closed from the client's side: link -> (code, reason).
        states: All states so far.
    """

    def __init__(self, *, closes_at_once: bool = True, **options: Any) -> None:
        options.setdefault("random", lambda: 0.5)
        self.now = 1000.0
        self.protocol = ClientProtocol(Options(clock=lambda: self.now, **options), "0")
        self.opens: dict[int, str] = {}
        self.closes: dict[int, tuple[int, str]] = {}
        self.states: list[str] = []
        self.announcements: list[Announcement] = []
        self.tokens_asked: list[int] = []
        self.read_limits: dict[int, int] = {}
        self.warnings: list[str] = []
        self.link = 0
        self._closes_at_once = closes_at_once
        self._sent: dict[int, list[dict[str, Any]]] = {}
        self.protocol.start(self.now)
        self.settle()

    def settle(self) -> None:
        """Takes the effects until there are no more."""
        while effects := self.protocol.take_effects():
            for effect in effects:
                match effect:
                    case Open(link, reason):
                        self.opens[link] = reason
                    case Send(link, text):
                        self._sent.setdefault(link, []).append(json.loads(text))
                    case Close(link, code, reason):
                        self.closes[link] = (code, reason)
                        if self._closes_at_once:
                            self.protocol.handle_closed(link, code, "", self.now)
                    case SetReadLimit(link, max_bytes):
                        self.read_limits[link] = max_bytes
                    case FetchToken(link):
                        self.tokens_asked.append(link)
                    case StateChanged(state):
                        self.states.append(state.name)
                    case Announced(announcement):
                        self.announcements.append(announcement)
                    case Warned(text):
                        self.warnings.append(text)

    # The peer.

    def open(self, token: str = "secret") -> int:
        """Opens the socket that was asked for last; `hello` is checked and taken."""
        self.link = self.opens.popitem()[0]
        self.protocol.handle_opened(self.link, token, self.now)
        self.settle()
        (hello,) = self.sent()
        assert hello["type"] == "hello"
        assert hello["token"] == token
        return self.link

    def connect(self, **changes: Any) -> int:
        """Opens the socket that was asked for, and welcomes."""
        link = self.open()
        self.send(welcome(**changes))
        return link

    def send(self, *messages: dict[str, Any] | str, link: int | None = None) -> None:
        for message in messages:
            text = message if isinstance(message, str) else json.dumps(message)
            self.protocol.handle_text(self.link if link is None else link, text, self.now)
            self.settle()

    def sent(self, link: int | None = None) -> list[dict[str, Any]]:
        """Returns what the client sent on a link since we looked last."""
        self.settle()
        return self._sent.pop(self.link if link is None else link, [])

    def drop(self, code: int | None = None, link: int | None = None) -> None:
        """The connection is closed by the server with this code, or lost."""
        self.protocol.handle_closed(self.link if link is None else link, code, "", self.now)
        self.settle()

    def reconnect(self, code: int | None = None, **changes: Any) -> int:
        """Drops the connection, lets the wait pass, and welcomes anew."""
        self.drop(code)
        self.advance(30)
        return self.connect(**changes)

    def advance(self, seconds: float) -> None:
        """Moves time, with each timer at its moment."""
        end = self.now + seconds
        while (due := self.protocol.next_timeout()) is not None and due <= end:
            self.now = max(self.now, due)
            self.protocol.handle_timeout(self.now)
            self.settle()
        self.now = end

    # The application.

    def submit(self, request_id: str = "r", **fields: Any) -> TrackedRequest:
        is_own_id = fields.pop("is_own_id", False)
        state = self.protocol.submit(
            request_id,
            fields.pop("action", "work"),
            fields.pop("payload", None),
            self.now,
            is_own_id=is_own_id,
            **fields,
        )
        self.settle()
        return state

    def submitted(self, request_id: str = "r", **changes: Any) -> TrackedRequest:
        """Submits a request, takes it from the wire and acknowledges it."""
        state = self.submit(request_id)
        assert [message["type"] for message in self.sent()] == ["request"]
        self.send(acknowledgment(request_id, **changes))
        return state

    def reading(self, request_id: str = "r") -> tuple[TrackedRequest, EventReader]:
        """As `submitted`, with an iterator from the beginning."""
        state = self.submit(request_id)
        reader = self.read(state)
        self.sent()
        self.send(acknowledgment(request_id))
        return state, reader

    def attach(self, request_id: str = "r") -> TrackedRequest:
        state = self.protocol.attach(request_id, self.now)
        self.settle()
        return state

    def read(self, state: TrackedRequest) -> EventReader:
        reader = self.protocol.open_reader(state, self.now)
        self.settle()
        return reader

    def take(self, state: TrackedRequest, reader: EventReader) -> list[Any]:
        """Returns all events that wait."""
        events = []
        while batch := self.protocol.next_events(state, reader, 3, self.now):
            events.extend(batch)
        self.settle()
        return events

    def seqs(self, state: TrackedRequest, reader: EventReader) -> list[int]:
        return [event.seq for event in self.take(state, reader)]

    def listed(self, **fields: Any) -> tuple[RequestSummary, ...] | None:
        question = self.protocol.list(self.now, **fields)
        self.settle()
        return question.answer.requests if question.answer is not None else None
