# SPDX-License-Identifier: Apache-2.0
"""Has the service decide on what one client asks for, and sends the answers.

Messages that name the same request are taken in order, and the answer to each is on its way before
the next is looked at; others do not wait (PROTOCOL 10.1).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import assert_never

from longcall_server import answers, summaries
from longcall_server.answers import Acknowledged, Answered, Outcome, QuickFailed, Refused
from longcall_server.auth import Principal
from longcall_server.core import frames
from longcall_server.core.codes import ErrorCode
from longcall_server.core.messages import (
    AttachMessage,
    CancelMessage,
    DetachMessage,
    ListMessage,
    RequestMessage,
)
from longcall_server.core.session import Decision, answered_by
from longcall_server.gateway.feed import Feed, Follower, acknowledgment
from longcall_server.gateway.lanes import Lanes
from longcall_server.gateway.outbox import Gone, Outbox
from longcall_server.limits import Share
from longcall_server.quick import QuickRun
from longcall_server.requests import RequestService
from longcall_server.stores.base import OutcomeUnknown, RequestKey

_log = logging.getLogger(__name__)

_MAX_READING = 8
"""Answers of one connection that are read from the store at once: each may be a large message."""


class Decider:
    """What one connection asks for."""

    __slots__ = (
        "_closed",
        "_delivering",
        "_detached",
        "_feed",
        "_lanes",
        "_max_message_bytes",
        "_on_unknown",
        "_origin",
        "_outbox",
        "_quick",
        "_reading",
        "_service",
        "_share",
    )

    def __init__(
        self,
        service: RequestService,
        feed: Feed,
        outbox: Outbox,
        lanes: Lanes,
        share: Share,
        *,
        origin: object,
        max_message_bytes: int,
        on_unknown: Callable[[], None],
    ) -> None:
        self._service = service
        self._feed = feed
        self._outbox = outbox
        self._lanes = lanes
        self._origin = origin
        self._max_message_bytes = max_message_bytes
        self._share = share
        self._on_unknown = on_unknown
        self._reading = asyncio.Semaphore(_MAX_READING)
        self._quick: dict[str, QuickRun] = {}
        """What runs without being stored, as far as it was asked for here."""
        self._delivering: dict[str, asyncio.Task[None]] = {}
        """The acknowledgments of quick requests that were promoted, on their way."""
        self._detached: dict[str, None] = {}
        """Quick requests that run and were detached before they were acknowledged."""
        self._closed = False

    def close(self) -> None:
        """The connection ends: what is answered later concerns it no more."""
        self._closed = True

    def decide(self, principal: Principal, message: Decision, now: int, size: int) -> None:
        """Takes a message on, received `now`; what becomes of it, the client hears.

        `size` is what it has of the connection's share: it is given back here.
        """
        work: Callable[[], Awaitable[None]]
        match message:
            case RequestMessage(id=lane):
                work = partial(self._request, principal, message, now, size)
            case AttachMessage(request_id=lane):
                work = partial(self._attach, principal, message)
            case CancelMessage(request_id=lane):
                work = partial(self._cancel, principal, message)
            case DetachMessage(request_id=lane):
                work = partial(self._detach, message)
            case ListMessage():
                work = partial(self._list, principal, message)
                self._lanes.spawn(partial(self._guarded, message, work, size))
                return
            case _:
                assert_never(message)
        self._lanes.run(lane, partial(self._guarded, message, work, size))

    async def _guarded(
        self, message: Decision, work: Callable[[], Awaitable[None]], size: int
    ) -> None:
        """Whatever goes wrong with one message is told, and harms no other."""
        try:
            await work()
        except Gone:
            pass
        except OutcomeUnknown:
            # PROTOCOL 10.3: no answer would be true.
            self._on_unknown()
        except Exception:
            incident = uuid.uuid4().hex
            _log.exception("a %s could not be decided, incident %s", message.type, incident)
            refusal = answers.refused(
                ErrorCode.INTERNAL_ERROR,
                "The server failed unexpectedly.",
                details={"incident_id": incident},
            )
            with contextlib.suppress(Gone):
                await self._refuse(message, refusal)
        finally:
            self._share.give_back(size)

    async def _request(
        self, principal: Principal, message: RequestMessage, now: int, size: int
    ) -> None:
        key = RequestKey(principal.owner, message.id)
        # PROTOCOL 6.2.1: what can be followed is watched before it is stored.
        follower = None if self._service.runs_at_once(message) else self._feed.watch(key)
        self._detached.pop(message.id, None)
        try:
            found = await self._service.submit(
                principal, message, received_at=now, origin=self._origin
            )
            if isinstance(found, QuickRun):
                # PROTOCOL 10.1: registered as running is as good as answered.
                self._quick[message.id] = found
                self._lanes.occupy()
                self._share.keep(size)
                found.when_answered(partial(self._quick_answered, message, key, found, size))
                return
            await self._quick_delivered(message.id)
            await self._answer(message, key, found, follower)
        finally:
            if follower is not None:
                self._feed.release(follower)

    def _quick_answered(
        self, message: RequestMessage, key: RequestKey, run: QuickRun, size: int
    ) -> None:
        """Called when a quick request is settled, the connection may be gone by then."""
        self._lanes.vacate()
        self._share.give_back(size)
        if self._quick.get(message.id) is run:
            del self._quick[message.id]
        is_detached = message.id in self._detached
        self._detached.pop(message.id, None)
        if self._closed:
            return
        try:
            outcome = run.result()
        except OutcomeUnknown:
            self._on_unknown()
            return
        with contextlib.suppress(Gone):
            if not isinstance(outcome, Acknowledged):
                self._outbox.post(_frame(message, outcome))
            elif is_detached:
                # PROTOCOL 4.5.6: the answer, and nothing behind it.
                self._outbox.post(acknowledgment(outcome.record, duplicate=outcome.duplicate))
            else:
                delivery = partial(self._deliver, message, key, outcome)
                task = self._lanes.spawn(partial(self._guarded, message, delivery, 0))
                self._delivering[message.id] = task

    async def _deliver(self, message: RequestMessage, key: RequestKey, outcome: Outcome) -> None:
        task = asyncio.current_task()
        try:
            await self._answer(message, key, outcome, None)
        finally:
            if self._delivering.get(message.id) is task:
                del self._delivering[message.id]

    async def _quick_delivered(self, request_id: str) -> None:
        """Waits until the acknowledgment of a promoted request is on its way: first it, then what
        was asked later."""
        task = self._delivering.get(request_id)
        if task is not None:
            await asyncio.wait([task])

    async def _answer(
        self, message: RequestMessage, key: RequestKey, outcome: Outcome, follower: Follower | None
    ) -> None:
        if not isinstance(outcome, Acknowledged):
            await self._outbox.send(_frame(message, outcome))
            return
        is_watched = follower is not None
        follower = self._feed.watch(key)
        if not is_watched:
            # What came until now is found by reading.
            follower.is_behind = True
        try:
            await self._feed.acknowledge(follower, outcome.record, duplicate=outcome.duplicate)
        finally:
            self._feed.release(follower)

    async def _attach(self, principal: Principal, message: AttachMessage) -> None:
        follower = self._feed.watch(RequestKey(principal.owner, message.request_id))
        try:
            await self._quick_delivered(message.request_id)
            async with self._few_at_once():
                found = await self._service.attach(principal, message)
                if isinstance(found, Refused):
                    await self._refuse(message, found)
                else:
                    await self._feed.attach(follower, message, found.slice)
        finally:
            self._feed.release(follower)

    async def _detach(self, message: DetachMessage) -> None:
        if message.request_id in self._quick:
            self._detached[message.request_id] = None
        await self._quick_delivered(message.request_id)
        self._feed.detach(message.request_id)

    async def _cancel(self, principal: Principal, message: CancelMessage) -> None:
        async with self._few_at_once():
            found = await self._service.cancel(principal, message, origin=self._origin)
            await self._quick_delivered(message.request_id)
            if isinstance(found, Refused):
                await self._refuse(message, found)
            else:
                frame = summaries.snapshot(found.record, "cancel", self._max_message_bytes)
                await self._outbox.send(frame)

    async def _list(self, principal: Principal, message: ListMessage) -> None:
        async with self._few_at_once():
            found = await self._service.list(principal, message)
            if isinstance(found, Refused):
                await self._refuse(message, found)
            else:
                listing = summaries.listing(message.id, found.summaries, found.next_cursor)
                await self._outbox.send(listing)

    @contextlib.asynccontextmanager
    async def _few_at_once(self) -> AsyncIterator[None]:
        """For what has large answers: they are read when there is room for them, not before."""
        async with self._reading:
            if self._outbox.is_blocked:
                await self._outbox.room()
            yield

    async def _refuse(self, message: Decision, refusal: Refused) -> None:
        await self._outbox.send(frames.refusal(refusal.error, answered_by(message)))


def _frame(message: RequestMessage, outcome: Answered | QuickFailed | Refused) -> str:
    match outcome:
        case Answered(result):
            return frames.response(message.id, result)
        case QuickFailed(error):
            return frames.executed_error(message.id, error)
        case Refused(refusal):
            return frames.refusal(refusal, answered_by(message))
