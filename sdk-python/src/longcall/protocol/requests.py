# SPDX-License-Identifier: Apache-2.0
"""The requests of a client: what the server says of them, and what becomes of them.

No message of the server breaks anything here: what fits nothing is ignored and counted.
PROTOCOL 9.9.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from ..codec import UnknownMessage
from ..errors import Detached, LongcallError, RequestError
from ..events import Chunk, Event, Status
from ..messages import (
    AcknowledgmentMessage,
    ChunkMessage,
    CompleteMessage,
    ErrorMessage,
    ListingMessage,
    ProgressMessage,
    ResponseMessage,
    SnapshotMessage,
    StatusMessage,
)
from . import convert
from .context import Context
from .link import Cursor, Link
from .outcome import Ending, Outcome
from .reader import EventReader
from .request import CancelQuestion, Phase, TrackedRequest
from .sender import Sender, too_large

Message = TypeVar("Message")


class Requests:
    """Knows every request that something local still cares for."""

    def __init__(self, context: Context) -> None:
        self.sender = Sender(context, self._end_with)
        self._context = context
        self._active: dict[str, TrackedRequest] = {}
        # So that two handles of one id share its state even when nothing is due for it.
        self._known: WeakValueDictionary[str, TrackedRequest] = WeakValueDictionary()
        self._handlers: dict[type[Any], Callable[[Link, Any, int, float], None]] = {
            ResponseMessage: self._response,
            AcknowledgmentMessage: self._acknowledgment,
            StatusMessage: self._status,
            ProgressMessage: self._progress,
            ChunkMessage: self._chunk,
            CompleteMessage: self._complete,
            ErrorMessage: self._error,
            SnapshotMessage: self._snapshot,
            ListingMessage: self._listing,
            UnknownMessage: self._unknown,
        }

    # What the application does.

    def find(self, request_id: str) -> TrackedRequest | None:
        return self._active.get(request_id) or self._known.get(request_id)

    def add(self, state: TrackedRequest) -> None:
        self._active[state.id] = state
        self._known[state.id] = state

    def activate(self, state: TrackedRequest) -> None:
        """Something local cares for this request again."""
        self._active[state.id] = state
        self.sender.mark(state)

    def settle_idle(self, state: TrackedRequest) -> None:
        """Lets go of a request for which nothing local is left. It goes on, on the server."""
        if state.phase is Phase.ENDED:
            is_over = not state.is_busy
        elif state.phase is Phase.WAITING and state.is_idle:  # PROTOCOL 9.5.5
            state.phase = Phase.ENDED
            state.outcome = Outcome(Ending.LOSS, error=Detached(state.id))
            self.sender.forget(state)
            self._known.pop(state.id, None)
            is_over = True
        else:
            is_over = (
                state.phase is Phase.STORED
                and state.is_idle
                and state.id not in self.sender.in_flight
            )
        if is_over and self._active.get(state.id) is state:
            del self._active[state.id]

    def end_all(self, error_of: Callable[[TrackedRequest | None], LongcallError]) -> None:
        """Ends everything: the client is closed for good. PROTOCOL 7.3.4, 10.40."""
        lists = self.sender.forget_all()
        for link in self._context.links:
            lists.extend(link.lists.values())
        for state in tuple(self._active.values()):
            error = error_of(state)
            for reader in state.readers:
                reader.fail(error)
            for question in state.questions:
                question.fail(error)
            self._end(state, Outcome(Ending.LOSS, error=error))
        for page in lists:
            page.fail(error_of(None))
        self._active.clear()

    # What happens to links.

    def link_ready(self) -> None:
        """A link is ready: every log that is wanted is to be read on it. PROTOCOL 9.5.2."""
        for state in self._active.values():
            if state.wanted() is not None or state.snapshots:
                self.sender.mark(state)

    def link_lost(self, link: Link, code: int | None) -> None:
        """What was unanswered on a link is asked again; `code` is the server's close code."""
        culprit = link.last_sent if code == 1009 else None
        size_error = self._size_error(link, culprit)
        resends = []
        for state in tuple(link.unanswered.values()):
            if state is culprit:  # PROTOCOL 10.43: "MUST NOT re-send"
                self._end_with(state, size_error)
            else:
                resends.append(state)
                if state.cancels:  # PROTOCOL 10.13: behind the request, on each new connection
                    self.sender.cancel(state)
        self.sender.resend(resends)
        for request_id, attaches in link.attaches.items():
            questions = [question for asked in attaches for question in asked]
            if (found := self._active.get(request_id)) is not None:
                found.snapshots[:0] = questions
                self.sender.mark(found)
        for request_id, cancels in link.cancels.items():
            self._ask_cancels_again(request_id, list(cancels), culprit, size_error)
        for page in link.lists.values():
            if page is culprit:
                page.fail(size_error)
            else:
                self.sender.ask(page)

    def _ask_cancels_again(
        self,
        request_id: str,
        cancels: list[CancelQuestion],
        culprit: object,
        size_error: RequestError,
    ) -> None:
        state = self._active.get(request_id)
        for cancel in cancels:
            if cancel is culprit:
                cancel.fail(size_error)
            elif state is None:
                cancel.resolve()
        if state is not None:
            state.cancels[:0] = [cancel for cancel in cancels if not cancel.is_answered]
            self.sender.cancel(state)

    def _size_error(self, link: Link, culprit: object) -> RequestError:
        limit = link.limits.max_message_bytes if link.limits is not None else 0
        if isinstance(culprit, TrackedRequest):
            error = too_large(culprit, culprit.size, limit)
            error.outcome_unknown = culprit.sends > 1
            return error
        return too_large(None, 0, limit)

    def timer(self, name: tuple[str, str]) -> None:
        """A wait after a refusal is over."""
        kind, request_id = name
        state = self._active.get(request_id)
        if state is None:
            return
        if kind == "attach":
            self.sender.mark(state)
        elif kind == "cancel":
            self.sender.cancel(state)
        elif state.phase is Phase.SENT:
            self.sender.resend([state])

    def poll(self) -> None:
        """Asks whether requests that nobody reads have ended: others wait for their room."""
        ready = self._context.ready
        if ready is None:
            return
        for request_id in self.sender.in_flight - ready.cursors.keys():
            state = self._active.get(request_id)
            if state is not None and state.phase is Phase.STORED:
                state.poll = True
                self.sender.mark(state)

    # What the server says.

    def handle(self, link: Link, message: object, size: int, now: float) -> None:
        """Takes a message about a request; anything else is ignored."""
        handler = self._handlers.get(type(message))
        if handler is None:
            self._context.ignore(f"{type(message).__name__} out of place")
        else:
            handler(link, message, size, now)

    def _response(self, link: Link, message: ResponseMessage, size: int, now: float) -> None:
        state = self._active.get(message.request_id)
        # PROTOCOL 10.39: "The first response or terminal event MUST end a handle."
        if state is not None and state.outcome is None:
            self._end(state, Outcome(Ending.ANSWER, message.result))

    def _acknowledgment(
        self, link: Link, message: AcknowledgmentMessage, size: int, now: float
    ) -> None:
        state = self._active.get(message.request_id)
        if state is None or not self._same_incarnation(state, message.created_at):
            return
        if link.unanswered.pop(state.id, None) is not None:
            # PROTOCOL 10.24: the connection follows as after attach{after_seq: 0}.
            link.cursors[state.id] = Cursor(0)
            if state.outcome is None:
                state.phase = Phase.STORED
                state.text = ""
                state.refusals = 0
                state.changed.fire()
                if state.cancels:
                    self.sender.cancel(state)
        event = Status(seq=1, status=message.status)
        self._event(link, state, 1, event, size)
        if link is not self._context.current or state.wanted() is None:
            self.sender.mark(state)  # moved away meanwhile, or nobody is left to read

    def _status(self, link: Link, message: StatusMessage, size: int, now: float) -> None:
        state = self._active.get(message.request_id)
        if state is not None:
            state.attempt = max(state.attempt, message.attempt)
            self._event(link, state, message.seq, convert.status(message), size)

    def _chunk(self, link: Link, message: ChunkMessage, size: int, now: float) -> None:
        state = self._active.get(message.request_id)
        if state is not None:
            state.attempt = max(state.attempt, message.attempt)
            chunk = Chunk(message.seq, message.attempt, message.data)
            self._event(link, state, message.seq, chunk, size)

    def _progress(self, link: Link, message: ProgressMessage, size: int, now: float) -> None:
        state = self._active.get(message.request_id)
        if state is not None and state.outcome is None:
            state.take_progress(convert.progress(message))

    def _complete(self, link: Link, message: CompleteMessage, size: int, now: float) -> None:
        state = self._active.get(message.request_id)
        if state is not None:
            self._terminal(link, state, message.seq, Outcome(Ending.EVENT, message.result))

    def _error(self, link: Link, message: ErrorMessage, size: int, now: float) -> None:
        state = None
        if isinstance(message.request_id, str):
            state = self._active.get(message.request_id)
        error = convert.error(message, state.attempt if state is not None else 0)
        if isinstance(message.seq, int):
            if state is not None:
                self._terminal(link, state, message.seq, Outcome(Ending.EVENT, error=error))
            return
        # PROTOCOL 10.2: "a client MUST apply it to that message alone"
        match message.reply_to:
            case "list" if isinstance(message.id, str) and message.id in link.lists:
                link.lists.pop(message.id).fail(error)
            case "request" if state is not None:
                self._request_refused(link, state, error, now)
            case "attach" if state is not None:
                self._attach_refused(link, state, error, now)
            case "cancel" if isinstance(message.request_id, str):
                self._cancel_refused(link, message.request_id, error, now)
            case _:
                self._context.ignore(f"error {error.code} that answers nothing known")

    def _request_refused(
        self, link: Link, state: TrackedRequest, error: RequestError, now: float
    ) -> None:
        if link.unanswered.pop(state.id, None) is None:
            return  # of a sending that was answered otherwise
        if error.executed:
            self._end(state, Outcome(Ending.ANSWER, error=error))  # PROTOCOL 10.9
        elif state.sends == 1:
            self._end(state, Outcome(Ending.LOSS, error=error))  # PROTOCOL 10.4
        elif error.retryable:
            wait = self._context.retry_wait(state.refusals, error.retry_after)
            state.refusals += 1
            self._context.timers.set(("resend", state.id), now + wait)
        else:
            error.outcome_unknown = True
            self._end(state, Outcome(Ending.LOSS, error=error))

    def _attach_refused(
        self, link: Link, state: TrackedRequest, error: RequestError, now: float
    ) -> None:
        questions = link.take_attach(state.id) or []
        link.cursors.pop(state.id, None)
        # PROTOCOL 4.3.12: also unasked, when retention removed the log (10.33).
        if error.retryable and error.code not in ("NOT_FOUND", "CONFLICT"):
            wait = self._context.retry_wait(state.refusals, error.retry_after)
            state.refusals += 1
            state.snapshots[:0] = questions
            self._context.timers.set(("attach", state.id), now + wait)
            return
        for question in questions:
            question.fail(error)
        self._lose(state, error)

    def _cancel_refused(self, link: Link, request_id: str, error: RequestError, now: float) -> None:
        question = link.take_cancel(request_id)
        state = self._active.get(request_id)
        if question is None:
            return
        if state is None:
            question.resolve()
        elif state.outcome is not None:
            question.end(state.outcome)  # as a quick request may under our hands
        elif error.retryable:
            state.cancels.insert(0, question)
            wait = self._context.retry_wait(state.refusals, error.retry_after)
            state.refusals += 1
            self._context.timers.set(("cancel", request_id), now + wait)
        elif error.code == "NOT_FOUND" and not state.is_settled:
            # PROTOCOL 10.13: not final; it is cancelled again at the acknowledgment.
            state.cancels.insert(0, question)
        else:
            question.fail(error)

    def _snapshot(self, link: Link, message: SnapshotMessage, size: int, now: float) -> None:
        snapshot = convert.snapshot(message)
        state = self._active.get(message.request_id)
        questions = []
        if message.reply_to == "cancel":
            if (cancel := link.take_cancel(message.request_id)) is not None:
                cancel.resolve()
        else:
            questions = link.take_attach(message.request_id) or []
        if state is None or not self._same_incarnation(state, message.request.created_at):
            for question in questions:
                question.fail(convert.other_incarnation(message.request_id))
            return
        state.refusals = 0
        summary = snapshot.request
        state.attempt = max(state.attempt, summary.attempt)
        state.known_last = max(state.known_last, summary.last_seq)
        if summary.is_finished:
            self.sender.in_flight.discard(state.id)
        elif state.phase is Phase.STORED:
            self.sender.in_flight.add(state.id)
        # PROTOCOL 10.27: the handle goes on; only the log ends it.
        if summary.progress is not None:
            state.take_progress(summary.progress)
        for question in questions:
            question.resolve(snapshot)
        self.settle_idle(state)

    def _listing(self, link: Link, message: ListingMessage, size: int, now: float) -> None:
        if (question := link.lists.pop(message.id, None)) is not None:
            question.resolve(convert.page(message))

    def _unknown(self, link: Link, message: UnknownMessage, size: int, now: float) -> None:
        self._context.ignore(f"message of unknown type {message.type[:64]!r}")
        state = self._active.get(message.request_id or "")
        cursor = link.cursors.get(message.request_id or "")
        if state is not None and cursor is not None and message.seq == cursor.position + 1:
            self._event(link, state, message.seq, None, 0)  # PROTOCOL 2.5.4

    # Events.

    def _event(
        self, link: Link, state: TrackedRequest, seq: int, event: Event | None, size: int
    ) -> None:
        if not self._advance(link, state, seq):
            return
        for reader in tuple(state.readers):
            was_hungry = reader.is_hungry
            reader.offer(seq, event, size)
            if was_hungry and not reader.is_hungry:
                self._stalled(state, reader)
        state.release_progress()

    def _stalled(self, state: TrackedRequest, reader: EventReader) -> None:
        if reader.passive:  # the first iterator will read from the server
            state.readers.remove(reader)
            reader.clear()
        self.sender.mark(state)

    def _terminal(self, link: Link, state: TrackedRequest, seq: int, outcome: Outcome) -> None:
        if not self._advance(link, state, seq):
            return
        del link.cursors[state.id]  # PROTOCOL 4.5.5
        for reader in state.readers:
            reader.finish(seq)
        self._end(state, outcome)

    def _advance(self, link: Link, state: TrackedRequest, seq: int) -> bool:
        """Moves the cursor of this link to `seq`; False: the event is not to be taken."""
        cursor = link.cursors.get(state.id)
        # PROTOCOL 10.26: late frames, before the answer to what was sent last.
        if cursor is None or cursor.is_broken or state.id in link.attaches:
            return False
        if seq <= cursor.position:
            return False  # PROTOCOL 10.30: "MUST drop"
        if seq > cursor.position + 1:
            self._gap(link, state, cursor)
            return False
        cursor.position = seq
        cursor.gaps = 0
        state.last = max(state.last, seq)
        state.known_last = max(state.known_last, seq)
        return True

    def _gap(self, link: Link, state: TrackedRequest, cursor: Cursor) -> None:
        """Reads the log again after the last event; twice, then not on this connection."""
        if link is not self._context.current:
            del link.cursors[state.id]  # the new connection reads it anyway
        elif cursor.gaps >= 2:  # PROTOCOL 10.30: "after two such attach in a row"
            self._context.close(link, 4400, "events are missing")
        else:
            cursor.gaps += 1
            cursor.is_broken = True
        self.sender.mark(state)

    # Ends.

    def _same_incarnation(self, state: TrackedRequest, created_at: str) -> bool:
        if state.created_at is None:
            state.created_at = created_at
        elif state.created_at != created_at:  # PROTOCOL 10.32
            self._lose(state, convert.other_incarnation(state.id))
            return False
        return True

    def _lose(self, state: TrackedRequest, error: RequestError) -> None:
        """The log is gone, or is another's: nothing of it can be read any more."""
        for reader in tuple(state.readers):
            reader.fail(error)
        for question in state.snapshots:
            question.fail(error)
        state.snapshots = []
        self._end(state, Outcome(Ending.LOSS, error=error))
        self.settle_idle(state)

    def _end_with(self, state: TrackedRequest, error: RequestError) -> None:
        self._end(state, Outcome(Ending.LOSS, error=error))

    def _end(self, state: TrackedRequest, outcome: Outcome) -> None:
        """Ends a request, once: the first outcome wins. PROTOCOL 10.39."""
        self.sender.forget(state)
        for link in self._context.links:
            link.unanswered.pop(state.id, None)
        for kind in ("resend", "cancel"):
            self._context.timers.cancel((kind, state.id))
        for cancel in state.cancels:
            cancel.end(state.outcome or outcome)
        state.cancels = []
        if state.outcome is None:
            state.outcome = outcome
            state.phase = Phase.ENDED
            state.text = ""
            if outcome.ending is not Ending.EVENT:
                self._end_readers(state, outcome)
            state.changed.fire()
        self.settle_idle(state)

    def _end_readers(self, state: TrackedRequest, outcome: Outcome) -> None:
        """Ends what no terminal event ends: quick answers, refusals, lost handles."""
        for reader in state.readers:
            reader.end(outcome)
        for question in state.snapshots:
            question.fail(convert.not_stored(state.id))
        state.snapshots = []
