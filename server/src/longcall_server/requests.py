# SPDX-License-Identifier: Apache-2.0
"""The one place where submit, attach, cancel and list are decided, whichever way they come.

The gateways translate: a message in, one of `answers` out. Every refusal of a `request` comes after
a look into the store (PROTOCOL 10.5).
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from dataclasses import dataclass

from pydantic import MISSING

from longcall_server import answers, summaries
from longcall_server.admission import Admitted, admit, is_quick, payload_of
from longcall_server.answers import (
    Attached,
    CancelAccepted,
    Listed,
    Outcome,
    Refused,
)
from longcall_server.auth import Principal
from longcall_server.bus.base import Bus
from longcall_server.core.canonical import request_digest
from longcall_server.core.codes import ErrorCode
from longcall_server.core.messages import (
    AttachMessage,
    CancelMessage,
    Limits,
    ListMessage,
    RequestMessage,
)
from longcall_server.executor import Executor
from longcall_server.handlers.attempt import Call
from longcall_server.handlers.registry import Handlers
from longcall_server.limits import OwnerRate, QuickRoom
from longcall_server.quick import QuickHost, QuickRun
from longcall_server.stores.base import (
    BadCursor,
    ListFilter,
    LogSlice,
    NewRequest,
    OutcomeUnknown,
    Owner,
    Record,
    RequestKey,
    Store,
    StoreUnavailable,
    SubmitOutcome,
)
from longcall_server.stores.outcomes import submit_until_known, until_known

DEFAULT_PRIORITY = 5
DEFAULT_PAGE = 50
SLICE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What holds for actions that do not say otherwise, and how patient the service is."""

    sync_window_ms: int = 2_000
    """How long a quick action may run before it is stored."""
    retention_ms: int = 86_400_000
    """How long a finished request is kept."""
    patience_ms: int = 30_000
    """How long a write with an unknown outcome is repeated."""
    submissions_per_minute: int = 66_000
    """New requests of one owner a minute, over all its connections."""
    submission_burst: int = 10_000
    """How many of them may come at once."""
    quick_bytes: int = 16_777_216
    """Payloads of the quick requests of one owner that run; what is beyond is stored first."""
    total_quick_bytes: int = 268_435_456
    """The same over all owners of this process."""


class RequestService:
    """Decides what clients ask for."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        *,
        handlers: Handlers,
        executor: Executor,
        host: QuickHost,
        limits: Limits,
        settings: ServiceSettings = ServiceSettings(),
    ) -> None:
        self._store = store
        self._bus = bus
        self._handlers = handlers
        self._executor = executor
        self._host = host
        self._limits = limits
        self._settings = settings
        self._rate = OwnerRate(settings.submissions_per_minute, settings.submission_burst)
        self._quick_room = QuickRoom(
            limits.max_in_flight, settings.quick_bytes, settings.total_quick_bytes
        )
        self._runs: dict[tuple[object, RequestKey], QuickRun] = {}
        self._submissions = itertools.count(1)
        self._instance = secrets.token_hex(8)

    async def close(self) -> None:
        """Ends the quick executions that are not stored; those being stored are waited for."""
        for run in tuple(self._runs.values()):
            await run.close()

    async def submit(
        self,
        principal: Principal,
        message: RequestMessage,
        *,
        received_at: int | None = None,
        origin: object = None,
    ) -> Outcome | QuickRun:
        """Decides on a `request`, received at a time of the store's clock.

        A `QuickRun` has been started and registered under its `origin`, the connection: its
        `outcome()` is the answer. Raises `OutcomeUnknown` when nobody can tell whether the request
        was stored: then the connection must end without an answer (PROTOCOL 10.3).
        """
        key = RequestKey(principal.owner, message.id)
        running = self._runs.get((origin, key))
        if running is not None:
            # Sent again on the connection on which it runs: stored, it is one request and not two.
            await running.promote()
        now = self._store.now() if received_at is None else received_at
        admitted = admit(self._handlers, principal, message, now, self._limits)
        if not isinstance(admitted, Refused):
            # PROTOCOL 4.4.2: the quota comes behind all other checks, and the store's behind it.
            wait_ms = self._rate.take(key.owner, self._store.now())
            if wait_ms:
                admitted = answers.too_many_submissions(wait_ms)
        if isinstance(admitted, Refused):
            return await self._known(key, message) or admitted
        if not is_quick(admitted.registration, message):
            return await self._store_first(admitted)
        known = await self._known(key, message)
        if known is not None:
            return known
        if not self._quick_room.take(key.owner, admitted.payload_bytes):
            # PROTOCOL 5.3.11
            return await self._store_first(admitted)
        return self._start(admitted, origin)

    def runs_at_once(self, message: RequestMessage) -> bool:
        """Whether the request may be quick: then nothing of it can be followed before it is
        answered."""
        registration = self._handlers.get(message.action)
        return registration is not None and is_quick(registration, message)

    async def attach(self, principal: Principal, message: AttachMessage) -> Attached | Refused:
        """Reads a request and the beginning of its log after `after_seq`."""
        key = RequestKey(principal.owner, message.request_id)
        try:
            slice_ = await self.read(key, message.after_seq)
        except (StoreUnavailable, OutcomeUnknown):
            return answers.unavailable()
        if slice_ is None:
            return answers.not_found()
        last_seq = slice_.record.last_seq
        if message.after_seq > last_seq:
            # PROTOCOL 10.29
            return answers.conflict(
                f"The log ends at {last_seq}, before after_seq.", {"last_seq": last_seq}
            )
        return Attached(slice_)

    async def read(
        self, key: RequestKey, after_seq: int, *, max_bytes: int = 65_536
    ) -> LogSlice | None:
        """A part of a log, for who follows it; None if there is no such log."""
        return await self._store.read(key, after_seq, max_bytes=max_bytes)

    async def cancel(
        self, principal: Principal, message: CancelMessage, *, origin: object = None
    ) -> CancelAccepted | Refused:
        """Cancels a request. Raises `OutcomeUnknown` when nobody can tell whether it was."""
        key = RequestKey(principal.owner, message.request_id)
        reason = None if message.reason is MISSING else message.reason
        running = self._runs.get((origin, key))
        if running is not None:
            await running.promote(cancel=True, reason=reason)
        try:
            record = await until_known(
                "a cancel",
                lambda: self._store.request_cancel(key, reason),
                patience_ms=self._settings.patience_ms,
                wait_for_store=lambda: False,
            )
        except StoreUnavailable:
            return answers.unavailable()
        if record is None:
            return answers.not_found()
        self._bus.cancel_requested(key)
        self._bus.request_changed(key)
        return CancelAccepted(record)

    async def list(self, principal: Principal, message: ListMessage) -> Listed | Refused:
        """A page of the caller's requests, or of another subject's for a tenant reader."""
        owner = principal.owner
        if message.sub is not MISSING:
            if not principal.may_list(message.sub):
                problem = "Listing another subject needs the permission requests:read:tenant."
                return answers.refused(ErrorCode.FORBIDDEN, problem)
            owner = Owner(owner.tenant_id, message.sub)
        where = ListFilter(
            owner,
            statuses=() if message.status is MISSING else tuple(message.status),
            action=None if message.action is MISSING else message.action,
        )
        cursor = None if message.cursor is MISSING else message.cursor
        limit = DEFAULT_PAGE if message.limit is MISSING else message.limit
        try:
            while True:
                page = await self._store.list(where, limit=limit, cursor=cursor)
                texts = summaries.fitting_summaries(page.records, self._limits.max_message_bytes)
                if len(texts) == len(page.records):
                    return Listed(texts, page.next_cursor)
                # PROTOCOL 10.44: a shorter page, whose cursor the store must make anew.
                limit = len(texts)
        except BadCursor:
            return answers.invalid("/cursor", "The cursor is not of this owner and these filters.")
        except (StoreUnavailable, OutcomeUnknown):
            return answers.unavailable()

    async def find(self, key: RequestKey) -> Record | None:
        """A stored request; raises `StoreUnavailable` or `OutcomeUnknown`."""
        found = await self._store.get(key)
        return found if isinstance(found, Record) else None

    async def _known(self, key: RequestKey, message: RequestMessage) -> Outcome | None:
        """How a stored id is answered; None if it is not stored (PROTOCOL 10.5)."""
        try:
            found = await self._store.get(key)
        except (StoreUnavailable, OutcomeUnknown):
            return answers.unavailable()
        if found is None:
            return None
        if not isinstance(found, Record):
            return answers.expired()
        if found.digest != request_digest(message.action, payload_of(message)):
            return answers.other_request()
        return answers.acknowledged(found, duplicate=True)

    async def _store_first(self, admitted: Admitted) -> Outcome:
        new = self._new_request(admitted)
        limit = self._limits.max_in_flight
        try:
            submitted = await submit_until_known(
                "a submit",
                lambda: self._store.submit(new, max_in_flight=limit),
                patience_ms=self._settings.patience_ms,
                wait_for_store=lambda: False,
            )
        except StoreUnavailable:
            return answers.unavailable()
        except asyncio.CancelledError:
            # It may be stored all the same: nobody else would tell the workers.
            self._bus.work_available()
            raise
        if submitted.outcome is SubmitOutcome.CREATED:
            self._bus.work_available()
        return answers.stored(submitted)

    def _start(self, admitted: Admitted, origin: object) -> QuickRun:
        registration, message = admitted.registration, admitted.message
        place = (origin, admitted.key)
        run = QuickRun(
            self._store,
            self._host,
            lambda: self._new_request(admitted, received_at=admitted.received_at),
            patience_ms=self._settings.patience_ms,
            on_over=lambda: self._over(place),
        )
        deadline_ms = admitted.deadline_ms
        call = Call(
            request_id=admitted.key.id,
            action=registration.action,
            payload=admitted.payload,
            attempt=1,
            owner=admitted.key.owner,
            metadata={} if message.metadata is MISSING else message.metadata,
            created_at=admitted.received_at,
            deadline_at=None if deadline_ms is None else admitted.received_at + deadline_ms,
            traceparent=None if message.traceparent is MISSING else message.traceparent,
        )
        execution = self._executor.start(registration, call, run.writer, params=admitted.params)
        owner, size = admitted.key.owner, admitted.payload_bytes
        execution.add_done_callback(lambda _: self._quick_room.give_back(owner, size))
        window_ms = registration.sync_window_ms
        self._runs[place] = run
        run.begin(
            execution,
            self._settings.sync_window_ms if window_ms is None else window_ms,
            deadline_ms,
        )
        return run

    def _over(self, place: tuple[object, RequestKey]) -> None:
        self._runs.pop(place, None)

    def _new_request(self, admitted: Admitted, *, received_at: int | None = None) -> NewRequest:
        message, registration = admitted.message, admitted.registration
        retention_ms = registration.retention_ms
        return NewRequest(
            key=admitted.key,
            action=message.action,
            payload=admitted.payload,
            digest=request_digest(message.action, payload_of(message)),
            submission=f"{self._instance}-{next(self._submissions)}",
            policy=registration.policy,
            metadata={} if message.metadata is MISSING else message.metadata,
            priority=DEFAULT_PRIORITY if message.priority is MISSING else message.priority,
            delay_ms=0 if message.delay_ms is MISSING else message.delay_ms,
            deadline_ms=admitted.deadline_ms,
            retention_ms=self._settings.retention_ms if retention_ms is None else retention_ms,
            cancel_grace_ms=registration.cancel_grace_ms,
            traceparent=None if message.traceparent is MISSING else message.traceparent,
            received_at=received_at,
        )
