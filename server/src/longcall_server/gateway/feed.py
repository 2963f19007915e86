# SPDX-License-Identifier: Apache-2.0
"""What one connection follows: logs are read at the pace at which the socket takes them.

One pump serves all followers of a connection in turn, a small part of a log at a time, so that a
long log does not hold up the others; between two parts it says what operators announce. A ring of
the bus only says that a read is worth while; what is delivered is the log, and a slow poll repairs
what the bus has lost (PROTOCOL 6.2, 10.34).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable

from longcall_server import answers
from longcall_server.bus.base import Bus
from longcall_server.core import events, frames
from longcall_server.core.cursors import Cursor
from longcall_server.core.errors import Answered
from longcall_server.core.messages import AttachMessage
from longcall_server.core.progress import ProgressGate
from longcall_server.gateway.outbox import Gone, Outbox
from longcall_server.requests import RequestService
from longcall_server.stores.base import (
    Clock,
    LogSlice,
    OutcomeUnknown,
    Record,
    RequestKey,
    StoredProgress,
    StoreUnavailable,
)
from longcall_server.summaries import snapshot

_log = logging.getLogger(__name__)
_MAX_ASIDE = 8
"""Parts of logs that are kept for one connection: each may be as large as a message."""
_ORDER = itertools.count()
"""Tells apart what is held back to the same moment: followers cannot be compared."""
_MAX_WORDS = 16
"""The most announcements that wait for one connection to take something; the oldest are lost."""


class Follower:
    """One request on one connection: at most one cursor (PROTOCOL 10.25), watched by the bus."""

    __slots__ = (
        "_feed",
        "cursor",
        "holds",
        "is_behind",
        "is_held_back",
        "is_live",
        "is_queued",
        "key",
        "read_already",
        "unwatch",
    )

    def __init__(self, feed: Feed, key: RequestKey) -> None:
        self._feed = feed
        self.key = key
        self.cursor: Cursor | None = None
        self.holds = 0
        """Answers that are being decided and may open a cursor here."""
        self.is_live = False
        """The answer that opened the cursor has been sent: its frames may follow."""
        self.is_behind = False
        """There is something to read, or there may be."""
        self.is_queued = False
        self.is_held_back = False
        """Its progress waits for its time."""
        self.read_already: LogSlice | None = None
        """What was read with the snapshot."""
        self.unwatch: Callable[[], None]

    def request_changed(self) -> None:
        """The bus: the log has something new."""
        self.is_behind = True
        self._feed.wake(self)

    def progress_reported(self, progress: StoredProgress) -> None:
        """The bus: live progress."""
        cursor = self.cursor
        if cursor is not None and cursor.offer(progress):
            self._feed.wake(self)


class Feed:
    """All followers of one connection."""

    __slots__ = (
        "_aside",
        "_bus",
        "_clock",
        "_followers",
        "_held_back",
        "_max_message_bytes",
        "_on_failure",
        "_on_timeout_changed",
        "_outbox",
        "_poll_at",
        "_poll_ms",
        "_progress_interval_ms",
        "_pump",
        "_round",
        "_service",
        "_words",
    )

    def __init__(
        self,
        service: RequestService,
        bus: Bus,
        outbox: Outbox,
        clock: Clock,
        *,
        poll_ms: int,
        progress_interval_ms: int,
        max_message_bytes: int,
        on_timeout_changed: Callable[[], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._service = service
        self._bus = bus
        self._outbox = outbox
        self._clock = clock
        self._poll_ms = poll_ms
        self._progress_interval_ms = progress_interval_ms
        self._max_message_bytes = max_message_bytes
        self._on_timeout_changed = on_timeout_changed
        self._on_failure = on_failure
        self._followers: dict[str, Follower] = {}
        self._round: list[Follower] = []
        """Who is served next, each once."""
        self._aside: set[Follower] = set()
        """Who has something that was read already."""
        self._pump: asyncio.Task[None] | None = None
        self._poll_at: int | None = None
        self._held_back: list[tuple[int, int, Follower]] = []
        """A heap of those whose progress waits, by its time."""
        self._words: list[str] = []
        """Announcements that wait for room."""

    # --- What the connection's messages do --------------------------------------------------------

    def watch(self, key: RequestKey) -> Follower:
        """Begins to watch a request, before anything of it is read (PROTOCOL 6.2.1).

        The watch lasts until it is released, even if an older cursor ends meanwhile.
        """
        follower = self._followers.get(key.id)
        if follower is None:
            follower = Follower(self, key)
            follower.unwatch = self._bus.watch_request(key, follower)
            self._followers[key.id] = follower
        follower.holds += 1
        return follower

    def release(self, follower: Follower) -> None:
        """What began with `watch` is decided; a cursor that was opened goes on."""
        follower.holds -= 1
        if follower.cursor is None:
            self._forget(follower)

    def detach(self, request_id: str) -> None:
        """Nothing more of this request (PROTOCOL 4.5.6)."""
        follower = self._followers.get(request_id)
        if follower is not None:
            self._forget(follower)

    async def acknowledge(self, follower: Follower, record: Record, *, duplicate: bool) -> None:
        """Sends event 1 and follows the rest (PROTOCOL 10.24)."""
        cursor = Cursor(record.key.id, record.record_id, 1, None, self._gate(None))
        follower.is_behind = follower.is_behind or record.last_seq > 1
        await self._open(follower, cursor, acknowledgment(record, duplicate=duplicate))

    async def attach(self, follower: Follower, message: AttachMessage, read: LogSlice) -> None:
        """Sends the snapshot and then the log after the position."""
        record = read.record
        follow = message.follow is not False
        cursor = Cursor(
            record.key.id,
            record.record_id,
            message.after_seq,
            None if follow else record.last_seq,
            self._gate(record.progress),
        )
        if record.finished_at is not None and cursor.position >= record.last_seq:
            cursor.ended = True
        frame = snapshot(record, "attach", self._max_message_bytes)
        await self._open(follower, cursor, frame, read)

    async def _open(
        self, follower: Follower, cursor: Cursor, answer: str, read: LogSlice | None = None
    ) -> None:
        # PROTOCOL 10.25: from here on no frame of the old cursor, and none of the new one before
        # its answer.
        follower.cursor = cursor
        follower.is_live = False
        self._set_aside(follower, read)
        await self._outbox.send(answer)
        if follower.cursor is not cursor:
            return
        if cursor.ended:
            self._forget(follower)
            return
        follower.is_live = True
        if self._poll_at is None:
            self._poll_at = self._clock() + self._poll_ms
            self._on_timeout_changed()
        self.wake(follower)

    # --- Time -------------------------------------------------------------------------------------

    def next_timeout(self) -> int | None:
        """When `handle_timeout` has something to do."""
        held_back = self._held_back[0][0] if self._held_back else None
        if held_back is None or self._poll_at is None:
            return self._poll_at if held_back is None else held_back
        return min(held_back, self._poll_at)

    def handle_timeout(self, now: int) -> None:
        """Sends progress whose time has come; reads every followed log when the poll is due."""
        while self._held_back and self._held_back[0][0] <= now:
            _, _, follower = heapq.heappop(self._held_back)
            follower.is_held_back = False
            self.wake(follower)
        if self._poll_at is not None and now >= self._poll_at:
            live = [follower for follower in self._followers.values() if follower.is_live]
            for follower in live:
                follower.is_behind = True
                self.wake(follower)
            self._poll_at = now + self._poll_ms if live else None

    def _hold_back(self, follower: Follower, until: int) -> None:
        if not follower.is_held_back:
            follower.is_held_back = True
            heapq.heappush(self._held_back, (until, next(_ORDER), follower))
            if self._held_back[0][2] is follower:
                self._on_timeout_changed()

    # --- What operators say -----------------------------------------------------------------------

    def say(self, frame: str) -> None:
        """Sends an announcement when there is room for it, behind those that wait already."""
        self._words.append(frame)
        del self._words[:-_MAX_WORDS]
        self._start_pump()

    async def _say_words(self) -> None:
        while self._words:
            if self._outbox.is_blocked:
                await self._outbox.room()
            self._outbox.post(self._words.pop(0))

    # --- The pump ---------------------------------------------------------------------------------

    def wake(self, follower: Follower) -> None:
        """Has the follower served if there is anything to do for it now."""
        if not follower.is_live or follower.is_queued or not self._is_due(follower):
            return
        follower.is_queued = True
        self._round.append(follower)
        self._start_pump()

    def _start_pump(self) -> None:
        if self._pump is None:
            self._pump = asyncio.create_task(self._serve_all(), name="longcall feed")

    async def close(self) -> None:
        """Ends everything."""
        for follower in tuple(self._followers.values()):
            follower.holds = 0
            self._forget(follower)
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)

    def _is_due(self, follower: Follower) -> bool:
        cursor = follower.cursor
        if cursor is None:
            return False
        if follower.is_behind or follower.read_already is not None:
            return True
        at = cursor.gate.next_timeout()
        if at is None:
            return False
        if at <= self._clock():
            return True
        self._hold_back(follower, at)
        return False

    async def _serve_all(self) -> None:
        try:
            while self._round or self._words:
                this_round, self._round = self._round, []
                await self._say_words()
                for follower in this_round:
                    follower.is_queued = False
                    if follower.cursor is not None and follower.is_live:
                        await self._serve(follower, follower.cursor)
                        self.wake(follower)
                        await self._say_words()
        except Gone:
            pass  # the connection ends by itself
        except Exception as error:
            self._on_failure(error)
        finally:
            self._pump = None

    async def _serve(self, follower: Follower, cursor: Cursor) -> None:
        """Sends a part of the log, then progress that is due."""
        if follower.is_behind or follower.read_already is not None:
            read = follower.read_already
            self._set_aside(follower, None)
            if read is None:
                follower.is_behind = False
                try:
                    read = await self._service.read(follower.key, cursor.position)
                except (StoreUnavailable, OutcomeUnknown) as error:
                    _log.warning("a log could not be read: %r", error)
                    return  # the poll comes back to it
                if follower.cursor is not cursor:
                    return
            if read is None or read.record.record_id != cursor.incarnation:
                await self._send_lost(follower)
                return
            for frame in cursor.frames(read.events, read.record.progress):
                await self._outbox.send(frame)
                if follower.cursor is not cursor:
                    return
            if cursor.ended:
                self._forget(follower)
                return
            if cursor.position < read.record.last_seq:
                follower.is_behind = True
        progress = cursor.take_progress(self._clock())
        if progress is not None:
            await self._outbox.send(progress)

    async def _send_lost(self, follower: Follower) -> None:
        # PROTOCOL 10.33: retention has removed the log under the reader.
        self._forget(follower)
        answered = Answered("attach", request_id=follower.key.id)
        await self._outbox.send(frames.refusal(answers.not_found().error, answered))

    def _forget(self, follower: Follower) -> None:
        follower.cursor = None
        follower.is_live = False
        self._set_aside(follower, None)
        if follower.holds > 0:
            return
        follower.unwatch()
        if self._followers.get(follower.key.id) is follower:
            del self._followers[follower.key.id]

    def _set_aside(self, follower: Follower, read: LogSlice | None) -> None:
        """Keeps what was read with the snapshot; of many at once, it is read again instead."""
        if read is None:
            self._aside.discard(follower)
        elif follower in self._aside or len(self._aside) < _MAX_ASIDE:
            self._aside.add(follower)
        else:
            follower.is_behind = True
            read = None
        follower.read_already = read

    def _gate(self, seen: StoredProgress | None) -> ProgressGate:
        sent = (0, 0) if seen is None else (seen.attempt, seen.version)
        return ProgressGate(self._progress_interval_ms, sent=sent)


def acknowledgment(record: Record, *, duplicate: bool) -> str:
    """Event 1 of a log, marked where the request was there before (PROTOCOL 10.24)."""
    frame = events.acknowledgment(record.key.id, record.created_at).frame(1)
    return events.with_duplicate(frame) if duplicate else frame
