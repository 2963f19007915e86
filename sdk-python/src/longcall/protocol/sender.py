# SPDX-License-Identifier: Apache-2.0
"""What is sent next. This is no queue of frames: each is made from what is known when it goes.

On a new connection the order is: requests sent again, cancels, attaches, lists, new requests.
PROTOCOL 9.5, 9.6, 10.13.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from ..codec import ClientMessageModel, encode, with_resend
from ..errors import PayloadTooLargeError, RequestError, request_error
from ..messages import AttachMessage, DetachMessage
from .context import Context
from .link import Cursor, Link, LinkPhase, ListQuestion
from .request import Phase, TrackedRequest, byte_length
from .signals import Signal

POLL_INTERVAL: Final = 5.0
"""Seconds between questions whether requests that nobody reads have ended; only while new requests
wait for room in the window."""

Refuse = Callable[[TrackedRequest, RequestError], None]


class Sender:
    """Sends what is due on the ready link, as far as the server's limits let it.

    Attributes:
        room: Fires when fewer requests wait for their first sending.
        in_flight: The ids that may count as stored and unfinished on the server. PROTOCOL 9.6.2.
    """

    def __init__(self, context: Context, end: Refuse) -> None:
        self.room = Signal()
        self.in_flight: set[str] = set()
        self._context = context
        self._end = end  # ends a request with an error that was found here
        self._resends: dict[str, TrackedRequest] = {}
        self._cancels: dict[str, TrackedRequest] = {}
        self._attention: dict[str, TrackedRequest] = {}  # to attach or detach, perhaps
        self._lists: dict[str, ListQuestion] = {}
        self._waiting: dict[str, TrackedRequest] = {}  # never sent
        self._waiting_bytes = 0

    # What is to be sent.

    @property
    def waiting(self) -> int:
        """How many requests wait for their first sending."""
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        return self._waiting_bytes

    @property
    def is_moving(self) -> bool:
        """True while attaches are still to be sent."""
        return bool(self._attention)

    def enqueue(self, state: TrackedRequest) -> None:
        """Sends a new request when its turn comes."""
        self._waiting[state.id] = state
        self._waiting_bytes += state.size

    def mark(self, state: TrackedRequest) -> None:
        """Looks whether this request is read where it should be."""
        self._attention[state.id] = state

    def cancel(self, state: TrackedRequest) -> None:
        """Sends the cancels of this request."""
        self._cancels[state.id] = state

    def ask(self, question: ListQuestion) -> None:
        self._lists[question.id] = question

    def resend(self, states: list[TrackedRequest]) -> None:
        """Sends requests again, all in the order of their first sending. PROTOCOL 9.5.1."""
        merged = {**self._resends, **{state.id: state for state in states}}
        self._resends = dict(sorted(merged.items(), key=lambda item: item[1].number))

    def forget(self, state: TrackedRequest) -> None:
        """Sends nothing more for this request."""
        if self._waiting.pop(state.id, None) is not None:
            self._waiting_bytes -= state.size
            self.room.fire()
        for pending in (self._resends, self._cancels):
            pending.pop(state.id, None)
        self.in_flight.discard(state.id)

    def forget_list(self, question: ListQuestion) -> None:
        self._lists.pop(question.id, None)

    def forget_all(self) -> list[ListQuestion]:
        """Sends nothing more at all; returns the lists that were still to be asked."""
        lists = list(self._lists.values())
        for pending in (self._resends, self._cancels, self._attention, self._lists, self._waiting):
            pending.clear()
        self._waiting_bytes = 0
        self.in_flight.clear()
        return lists

    # Sending.

    def send_now(self, link: Link, message: ClientMessageModel, now: float) -> None:
        """Sends a message that waits for no limit: `ping`, `refresh`."""
        if link.bucket is not None:
            link.bucket.force(now)
        self._context.send(link, encode(message))

    def pump(self, now: float) -> None:
        """Sends all that may be sent now."""
        link = self._context.ready
        if link is None or link.bucket is None:
            return
        while self._resends or self._cancels or self._attention or self._lists or self._waiting:
            if not link.bucket.take(now):
                self._context.timers.set("bucket", link.bucket.ready_at(now))
                return
            if not self._send_next(link, now):
                link.bucket.give_back()
                return

    def _send_next(self, link: Link, now: float) -> bool:
        return (
            self._send_resend(link, now)
            or self._send_cancel(link)
            or self._send_attach(link)
            or self._send_list(link)
            or self._send_new(link, now)
        )

    def _send_resend(self, link: Link, now: float) -> bool:
        assert link.limits is not None
        while self._resends:
            state = self._resends.pop(next(iter(self._resends)))
            age_ms = (now - state.first_sent_at) * 1000
            if age_ms > link.limits.id_retention_ms:  # PROTOCOL 10.31
                self._end(state, _expired(state))
            elif self._fits(link, state):
                # PROTOCOL 10.6: "MUST set resend: true on every sending of an id after the first"
                self._send_request(link, state, with_resend(state.text))
                return True
        return False

    def _send_new(self, link: Link, now: float) -> bool:
        assert link.limits is not None
        while self._waiting:
            if len(self.in_flight) >= link.limits.max_in_flight:
                if "poll" not in self._context.timers:
                    self._context.timers.set("poll", now + POLL_INTERVAL)
                return False
            state = next(iter(self._waiting.values()))
            if not self._fits(link, state):
                continue
            del self._waiting[state.id]
            self._waiting_bytes -= state.size
            self.room.fire()
            state.phase = Phase.SENT
            state.first_sent_at = now
            self._send_request(link, state, state.text)
            return True
        return False

    def _send_request(self, link: Link, state: TrackedRequest, text: str) -> None:
        state.sends += 1
        self.in_flight.add(state.id)
        link.unanswered[state.id] = state
        link.last_sent = state
        self._context.send(link, text)

    def _fits(self, link: Link, state: TrackedRequest) -> bool:
        """Ends a request that is over the limit of this connection. PROTOCOL 10.43."""
        assert link.limits is not None
        size = state.size if not state.sends else byte_length(with_resend(state.text))
        if size <= link.limits.max_message_bytes:
            return True
        self._end(state, too_large(state, size, link.limits.max_message_bytes))
        return False

    def _send_cancel(self, ready: Link) -> bool:
        for state in list(self._cancels.values()):
            link = self._cancel_link(ready, state)
            if link is None:
                if state.is_settled or not state.cancels:
                    del self._cancels[state.id]
                continue
            question = state.cancels.pop(0)
            if not state.cancels:
                del self._cancels[state.id]
            link.cancels.setdefault(state.id, deque()).append(question)
            link.last_sent = question
            self._context.send(link, question.text)
            return True
        return False

    def _cancel_link(self, ready: Link, state: TrackedRequest) -> Link | None:
        """Returns where a cancel may go now: behind its own `request`. PROTOCOL 10.13, 6.8.10."""
        if not state.cancels:
            return None
        if state.phase is Phase.STORED:
            return ready
        for link in self._context.links:
            if state.id in link.unanswered and link.phase is not LinkPhase.CLOSING:
                return link
        return None

    def _send_attach(self, link: Link) -> bool:
        while self._attention:
            state = self._attention.pop(next(iter(self._attention)))
            message = self._reconcile(link, state)
            if message is not None:
                link.last_sent = None
                self._context.send(link, encode(message))
                return True
        return False

    def _reconcile(self, link: Link, state: TrackedRequest) -> ClientMessageModel | None:
        """Returns what makes this link read the log where it is wanted; None if it does."""
        timers = self._context.timers
        if (
            not state.is_stored  # PROTOCOL 4.5.9: not before its request is answered
            or ("attach", state.id) in timers  # refused; its turn comes
        ):
            return None
        wanted, cursor = state.wanted(), link.cursors.get(state.id)
        asked = bool(state.snapshots or state.poll)
        if wanted is None and not asked:
            if cursor is None:
                return None
            del link.cursors[state.id]
            return DetachMessage(request_id=state.id)
        if (
            wanted is not None
            and not asked
            and cursor is not None
            and not cursor.is_broken
            and cursor.position <= wanted
        ):
            return None
        return self._attach(link, state, wanted, cursor)

    def _attach(
        self, link: Link, state: TrackedRequest, wanted: int | None, cursor: Cursor | None
    ) -> AttachMessage:
        link.attaches.setdefault(state.id, deque()).append(state.snapshots)
        state.snapshots = []
        state.poll = False
        if wanted is None:  # a question only: nothing of the log is taken
            link.cursors.pop(state.id, None)
            return AttachMessage(request_id=state.id, after_seq=state.last, follow=False)
        gaps = cursor.gaps if cursor is not None and cursor.is_broken else 0
        link.cursors[state.id] = Cursor(wanted, gaps)
        return AttachMessage(request_id=state.id, after_seq=wanted)

    def _send_list(self, link: Link) -> bool:
        assert link.limits is not None
        while self._lists:
            question = self._lists.pop(next(iter(self._lists)))
            size, limit = byte_length(question.text), link.limits.max_message_bytes
            if size > limit:
                question.fail(too_large(None, size, limit))
                continue
            link.lists[question.id] = question
            link.last_sent = question
            self._context.send(link, question.text)
            return True
        return False


def too_large(state: TrackedRequest | None, size: int, limit: int) -> PayloadTooLargeError:
    """Returns the error for a message over the limit. PROTOCOL 10.43."""
    return PayloadTooLargeError(
        f"the message has {size} bytes, and the server takes {limit}",
        code="PAYLOAD_TOO_LARGE",
        details={"limit": limit, "size": size},
        request_id=state.id if state is not None else None,
        outcome_unknown=state is not None and state.sends > 0,
        origin="client",
    )


def _expired(state: TrackedRequest) -> RequestError:
    return request_error(
        "CONFLICT",
        "the request was sent too long ago to be sent again: the server may have forgotten its id",
        details={"reason": "expired"},
        request_id=state.id,
        outcome_unknown=True,
        origin="client",
    )
