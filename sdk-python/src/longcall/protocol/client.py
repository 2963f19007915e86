# SPDX-License-Identifier: Apache-2.0
"""The protocol of a client as one pure object: no socket, no task, no clock.

A front end calls three kinds of verbs, all with the present time in seconds:

* what happened: `handle_opened`, `handle_text`, `handle_closed`, `handle_timeout`, …
* what the application wants: `submit`, `attach`, `cancel`, `open_reader`, …
* then, **after each call**: `take_effects()` and do them in order, and `next_timeout()` to know
  when to call `handle_timeout` at the latest.

What the application waits for is told by `Signal`s: of a `TrackedRequest`, an `EventReader` or a
`Question`.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from pydantic import JsonValue

from ..codec import (
    MalformedMessage,
    canonical_json,
    check_request_id,
    decode,
    encode,
    make_cancel,
    make_list,
    make_request,
)
from ..errors import ConflictError, QueueFull
from ..events import ClientState, Event, Snapshot
from ..messages import WelcomeMessage
from ..options import Options, ReaderLimits
from . import convert
from .connection import Connection
from .context import Context
from .effects import Effect
from .link import Link, LinkPhase, ListQuestion
from .outcome import Ending
from .questions import Question
from .reader import EventReader
from .request import CancelQuestion, Phase, TrackedRequest
from .requests import Requests
from .signals import Signal

PASSIVE_LIMITS = ReaderLimits(max_events=64, max_bytes=64 * 1024)
"""What is kept for the first iterator of a handle before it starts."""

ABANDONED = "abandoned by the caller"
"""The reason of a cancel that `cancel_on_exit` asked for."""


class ClientProtocol:
    """A client: its connection, and its requests over all connections.

    `version` is that of the SDK, for `hello`.
    """

    def __init__(self, options: Options, version: str) -> None:
        self._options = options
        self._context = Context(options)
        self._requests = Requests(self._context)
        self._connection = Connection(self._context, self._requests, version)
        self._submissions = 0
        self._lists = 0

    # What the front end asks.

    @property
    def state(self) -> ClientState:
        """The state of the connection. PROTOCOL 9.7."""
        return self._connection.state

    @property
    def ignored(self) -> int:
        """How many messages of the server were ignored. PROTOCOL 2.5.3."""
        return self._context.ignored

    @property
    def room(self) -> Signal:
        """Fires when fewer requests wait to be sent, so that one more may be taken."""
        return self._requests.sender.room

    @property
    def waiting(self) -> int:
        """How many requests wait for their first sending."""
        return self._requests.sender.waiting

    def take_effects(self) -> list[Effect]:
        """Returns what is to be done, in order, and forgets it."""
        effects = self._context.effects
        self._context.effects = []
        return effects

    def next_timeout(self) -> float | None:
        """Returns when `handle_timeout` is to be called; None: there is nothing to wait for."""
        return self._context.timers.next()

    # What happened.

    def start(self, now: float) -> None:
        """Begins to connect."""
        self._connection.open(now)

    def handle_opened(self, link_id: int, token: str | None, now: float) -> None:
        """A socket is open, with this token for `hello`."""
        link = self._context.link(link_id)
        if link is not None and link.phase is LinkPhase.OPENING:
            self._connection.opened(link, token, now)

    def handle_open_failed(
        self,
        link_id: int,
        now: float,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        reason: str = "",
    ) -> None:
        """There is no socket; `status` is that of the HTTP answer, if there was one."""
        link = self._context.link(link_id)
        if link is not None:
            self._connection.open_failed(link, status, retry_after, reason, now)
            self._go_on(now)

    def handle_text(self, link_id: int, text: str, now: float) -> None:
        """A text frame arrived. Whatever it is, this does not raise. PROTOCOL 9.9.2."""
        link = self._context.link(link_id)
        if link is None or link.phase in (LinkPhase.OPENING, LinkPhase.CLOSING):
            return
        if link.heartbeat is not None:
            link.heartbeat.heard(now)
        try:
            self._take(link, text, now)
        except MalformedMessage as malformed:  # PROTOCOL 4.2.9, 4.3.14
            self._context.warn(f"the server sent a malformed message: {malformed}")
            self._context.close(link, 4400, "malformed message")
        self._go_on(now)

    def _take(self, link: Link, text: str, now: float) -> None:
        message = decode(text)
        if link.phase is LinkPhase.GREETING:
            if not isinstance(message, WelcomeMessage):
                raise MalformedMessage("not a welcome")
            self._connection.welcomed(link, message, now)
        elif not self._connection.message(link, message, now):
            self._requests.handle(link, message, len(text), now)

    def handle_binary(self, link_id: int) -> None:
        """A binary frame arrived. PROTOCOL 2.2."""
        link = self._context.link(link_id)
        if link is not None:
            self._context.close(link, 1003, "binary frame")

    def handle_closed(self, link_id: int, code: int | None, reason: str, now: float) -> None:
        """A socket is closed; `code` is what the server closed it with, None without any."""
        link = self._context.link(link_id)
        if link is not None:
            self._connection.lost(link, code, reason, now)
            self._go_on(now)

    def handle_token(self, link_id: int, token: str | None, now: float) -> None:
        """The fresh token that `FetchToken` asked for; None: there was none."""
        link = self._context.link(link_id)
        if link is not None:
            self._connection.refresh(link, token, now)

    def handle_timeout(self, now: float) -> None:
        """Does what is due. Calling it too early or too late does no harm."""
        for timer in self._context.timers.take_due(now):
            match timer:
                case "open":
                    self._connection.open(now)
                case "refresh":
                    self._connection.fetch_token()
                case "poll":
                    self._requests.poll()
                case ("heartbeat", int(link_id)):
                    self._connection.check_heartbeat(link_id, now)
                case ("welcome", int(link_id)):
                    self._connection.check_welcome(link_id)
                case (str(kind), str(request_id)):
                    self._requests.timer((kind, request_id))
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        self._requests.sender.pump(now)
        self._connection.retire()

    # What the application wants.

    def close(self, now: float) -> None:
        """Closes the client for good; requests go on, on the server."""
        if not self._connection.is_closed:
            self._connection.close()

    def submit(
        self,
        request_id: str,
        action: str,
        payload: JsonValue,
        now: float,
        *,
        is_own_id: bool,
        **fields: Any,
    ) -> TrackedRequest:
        """Sends a request as soon as it may be sent; the same id and content is the same request.

        Args:
            request_id: Its id.
            action: What to call.
            payload: Its arguments, checked by `codec.to_json_value`.
            now: The time.
            is_own_id: True when the caller chose the id, so that it may be in use already.
            fields: More fields of `request`, as on the wire; None: absent.

        Raises:
            ConnectionClosed: The client is closed.
            ValidationError: A field does not fit the schema.
            ConflictError: This client has the id in use for something else.
            QueueFull: Too much waits already.
        """
        self._check_open()
        message = make_request(id=request_id, action=action, payload=payload, **fields)
        digest = None
        if is_own_id:
            digest = sha256(canonical_json([action, payload]).encode()).digest()
            if (state := self._same_request(request_id, digest)) is not None:
                state.handles += 1
                self._activate(state, now)
                return state
        self._submissions += 1
        state = TrackedRequest(
            request_id,
            phase=Phase.WAITING,
            number=self._submissions,
            text=encode(message),
            digest=digest,
        )
        self._check_queue(state)
        state.handles = 1
        self._requests.add(state)
        self._requests.sender.enqueue(state)
        self._go_on(now)
        return state

    def _same_request(self, request_id: str, digest: bytes) -> TrackedRequest | None:
        """Returns what this client already has under an id. PROTOCOL 5.1, 10.23."""
        state = self._requests.find(request_id)
        if state is None or (state.phase is Phase.ENDED and not state.is_stored):
            return None
        if state.digest == digest:
            return state
        raise ConflictError(
            "this client uses the id for another request"
            if state.digest is not None
            else "this client is attached to the id; detach that handle first",
            code="CONFLICT",
            request_id=request_id,
            origin="client",
        )

    def _check_queue(self, state: TrackedRequest) -> None:
        sender, options = self._requests.sender, self._options
        # PROTOCOL 9.5.4
        if (
            sender.waiting >= options.max_queue
            or sender.waiting_bytes + state.size > options.max_queue_bytes
        ):
            raise QueueFull(state.id, sender.waiting, sender.waiting_bytes)

    def attach(self, request_id: str, now: float) -> TrackedRequest:
        """Reads the log of a request from its start, and follows it.

        Raises:
            ConnectionClosed: The client is closed.
            ValidationError: The id has not the form of an id.
        """
        self._check_open()
        check_request_id(request_id)
        state = self._requests.find(request_id)
        if state is None or (state.phase is Phase.ENDED and not state.is_stored):
            state = TrackedRequest(request_id, phase=Phase.STORED)
            self._requests.add(state)
        state.handles += 1
        self._activate(state, now)
        return state

    def retain(self, state: TrackedRequest, now: float) -> None:
        """A local handle cares for this request again."""
        state.handles += 1
        self._activate(state, now)

    def release(self, state: TrackedRequest, now: float, *, cancels: bool = False) -> None:
        """A local handle no longer cares; with the last one, `detach` is sent. PROTOCOL 10.25.

        With `cancels` it asks the server to end the request as well; nobody waits for the answer.
        """
        state.handles -= 1
        is_withdrawn = state.phase is Phase.WAITING and state.is_idle  # never sent: PROTOCOL 9.5.5
        if cancels and not is_withdrawn and not self._connection.is_closed:
            self.cancel(state, ABANDONED, now)
        self._requests.sender.mark(state)
        self._requests.settle_idle(state)
        self._go_on(now)

    def open_reader(
        self, state: TrackedRequest, now: float, *, passive: bool = False
    ) -> EventReader:
        """Begins to read the log from event 1."""
        limits = PASSIVE_LIMITS if passive else self._options.reader
        reader = EventReader(limits, passive=passive)
        outcome = state.outcome
        if outcome is not None and outcome.ending is not Ending.EVENT:
            reader.end(outcome)
        elif self._connection.is_closed:
            reader.fail(self._connection.closed_error(state))
        else:
            if state.progress is not None:
                reader.offer_progress(state.progress)
            state.readers.append(reader)
            if not passive:
                self._activate(state, now)
        return reader

    def activate_reader(self, state: TrackedRequest, reader: EventReader, now: float) -> bool:
        """Hands a passive reader to an iterator; False: it has missed something."""
        if not reader.passive or reader not in state.readers:
            return False
        reader.activate(self._options.reader)
        self._activate(state, now)
        return True

    def next_events(
        self, state: TrackedRequest, reader: EventReader, size: int, now: float
    ) -> list[Event]:
        """Returns the next events that have arrived, at most `size`; progress only as the first."""
        was_stalled = reader.is_stalled
        batch: list[Event] = []
        while len(batch) < size and not (batch and reader.is_progress_next):
            if (event := reader.pop()) is None:
                break
            batch.append(event)
        if was_stalled and reader.is_hungry:
            self._requests.activate(state)
            self._go_on(now)
        return batch

    def close_reader(self, state: TrackedRequest, reader: EventReader, now: float) -> None:
        """Ends an iterator."""
        reader.clear()
        if reader in state.readers:
            state.readers.remove(reader)
            self._requests.sender.mark(state)
        self._requests.settle_idle(state)
        self._go_on(now)

    def add_waiter(self, state: TrackedRequest, now: float) -> None:
        """Somebody waits for the outcome."""
        state.waiters += 1
        if state.outcome is None:
            self._activate(state, now)

    def remove_waiter(self, state: TrackedRequest, now: float) -> None:
        state.waiters -= 1
        if state.outcome is None:
            self._requests.sender.mark(state)
        self._requests.settle_idle(state)
        self._go_on(now)

    def cancel(self, state: TrackedRequest, reason: str | None, now: float) -> Question[None]:
        """Asks the server to end a request. PROTOCOL 5.6.

        Raises:
            ConnectionClosed: The client is closed.
            ValidationError: The reason is too long.
        """
        self._check_open()
        question = CancelQuestion(encode(make_cancel(state.id, reason)))
        if state.outcome is not None:
            question.end(state.outcome)
            return question
        state.cancels.append(question)
        state.questions.append(question)
        self._requests.activate(state)
        self._requests.sender.cancel(state)
        self._go_on(now)
        return question

    def snapshot(self, state: TrackedRequest, now: float) -> Question[Snapshot]:
        """Asks how a request stands. Raises `ConnectionClosed` when the client is closed."""
        self._check_open()
        question: Question[Snapshot] = Question()
        if state.phase is Phase.ENDED and not state.is_stored:
            question.fail(convert.not_stored(state.id))
            return question
        state.snapshots.append(question)
        state.questions.append(question)
        self._activate(state, now)
        return question

    def list(self, now: float, **fields: Any) -> ListQuestion:
        """Asks for a page of requests; `fields` are those of `list` on the wire.

        Raises:
            ConnectionClosed: The client is closed.
            ValidationError: A field does not fit the schema.
        """
        self._check_open()
        self._lists += 1
        message = make_list(id=f"list-{self._lists}", **fields)
        question = ListQuestion(message.id, encode(message))
        self._requests.sender.ask(question)
        self._go_on(now)
        return question

    def forget_list(self, question: ListQuestion) -> None:
        """Nobody waits for this page any more."""
        self._requests.sender.forget_list(question)

    def _activate(self, state: TrackedRequest, now: float) -> None:
        self._requests.activate(state)
        self._go_on(now)

    def _check_open(self) -> None:
        if self._connection.is_closed:
            raise self._connection.closed_error(None)
