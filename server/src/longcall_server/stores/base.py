# SPDX-License-Identifier: Apache-2.0
"""The seam to the stores: what an engine must do, and the values that pass through it.

A store holds requests and their logs; it is the truth. Every verb is one transaction: it happens
whole or not at all, and a verb that returned is durable. Every verb may be repeated after an
unknown outcome without a second effect (PROTOCOL 10.3, 10.18). Times are the store's own clock in
milliseconds since the epoch; JSON values pass as text, exactly as they will be sent.

    StoreError
    ├── Fenced              the write's attempt is not the current one (PROTOCOL 10.16)
    ├── LogFull             the log would exceed `max_log_bytes` (PROTOCOL 10.44)
    ├── BadCursor           a cursor of another owner or filter, or no cursor at all
    ├── IdTaken             the new id of a requeue stands for another request
    ├── OutcomeUnknown      the engine cannot tell whether the transaction was committed
    └── StoreUnavailable    nothing was written and nothing can be read truthfully right now
        └── IncompatibleStore   the stored data is of another program or of a newer version
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from longcall_server.core.codes import RequestStatus
from longcall_server.core.events import EventDraft
from longcall_server.core.lifecycle import RetryPolicy
from longcall_server.core.scheduling import UNLIMITED, ConcurrencyLimits

Clock = Callable[[], int]
"""Tells the milliseconds since the epoch."""
Random = Callable[[], float]
"""Draws a number in [0, 1)."""


def system_clock() -> int:
    """The clock of the machine."""
    return time.time_ns() // 1_000_000


class StoreError(Exception):
    """Any refusal or failure of a store."""


class Fenced(StoreError):
    """The request is gone, has ended, or belongs to another attempt: the write was refused."""


class LogFull(StoreError):
    """The log has no room for the event; room for the terminal event is kept."""


class BadCursor(StoreError):
    """The cursor does not belong to this owner and filter."""


class IdTaken(StoreError):
    """The id stands, or stood, for another request."""


class OutcomeUnknown(StoreError):
    """Whether the transaction was committed is not known: repeat the same call."""


class StoreUnavailable(StoreError):
    """The store cannot be read or written right now; nothing was written."""


class IncompatibleStore(StoreUnavailable):
    """What is stored is not ours, or is of a newer version: this program must not touch it."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a request is."""

    tenant_id: str
    sub: str


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Names a request: its owner and its id."""

    owner: Owner
    id: str


@dataclass(frozen=True, slots=True)
class StoredProgress:
    """The newest progress of an attempt; `body` is the JSON object of a ProgressState."""

    attempt: int
    version: int
    body: str


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that a handler attached; `location` is relative to the files folder."""

    name: str
    media_type: str
    size: int
    sha256: str
    location: str


@dataclass(frozen=True, slots=True)
class NewRequest:
    """What is stored when a request is accepted."""

    key: RequestKey
    action: str
    payload: str
    """The payload as JSON text, `null` when it was absent."""
    digest: str
    """SHA-256 of the RFC 8785 canonical `[action, payload]`: the same request (PROTOCOL 10.23)."""
    submission: str
    """Unique for each received message (or quick execution): tells a repeat from a duplicate."""
    policy: RetryPolicy
    metadata: dict[str, str] = field(default_factory=dict)
    priority: int = 5
    delay_ms: int = 0
    deadline_ms: int | None = None
    retention_ms: int = 86_400_000
    cancel_grace_ms: int = 10_000
    callback_url: str | None = None
    traceparent: str | None = None
    requeued_from: str | None = None
    received_at: int | None = None
    """When the frame arrived: the creation time of a promoted request (PROTOCOL 10.22)."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one worker to run one attempt; `attempt` fences its writes."""

    record_id: int
    """The engine's internal number of this incarnation of the request."""
    key: RequestKey
    attempt: int
    worker: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Promotion:
    """Makes `submit` store an execution that already runs (PROTOCOL 10.7)."""

    worker: str
    lease_ms: int
    cancel_requested: bool = False
    cancel_reason: str | None = None
    progress: StoredProgress | None = None


class Record(NamedTuple):
    """A stored request, without its log.

    Large parts come where they are needed: `payload` and `checkpoint` are filled in by `claim` and
    `get` alone (elsewhere `""` and None), and `list` leaves `result` and `error` out. (A named
    tuple, because stores make several of each request: `_replace` makes a changed copy.)
    """

    record_id: int
    key: RequestKey
    action: str
    payload: str
    digest: str
    submission: str
    policy: RetryPolicy
    metadata: dict[str, str]
    priority: int
    rank: int
    """The place among what waits of its owner, fixed at acceptance: see `core.scheduling`."""
    status: RequestStatus
    attempt: int
    failures: int
    """Failed attempts that count against the policy (a hand-back at drain does not)."""
    created_at: int
    updated_at: int
    due_at: int
    deadline_at: int | None
    last_seq: int
    log_bytes: int
    chunks_kept_to: int
    checkpoint: str | None
    cancel_grace_ms: int
    retention_ms: int
    cancel_requested_at: int | None = None
    cancel_reason: str | None = None
    progress: StoredProgress | None = None
    result: str | None = None
    """JSON text, once completed."""
    error: str | None = None
    """JSON text of the ErrorInfo, once failed or cancelled."""
    files: tuple[StoredFile, ...] = ()
    requeued_from: str | None = None
    callback_url: str | None = None
    traceparent: str | None = None
    lease_worker: str | None = None
    lease_expires_at: int | None = None
    finished_at: int | None = None
    expires_at: int | None = None
    """Until when a finished request and its log are kept."""
    last_operation: int = 0
    """The newest append of the current attempt (PROTOCOL 10.18)."""
    ended_attempt: int = 0
    """The newest attempt that its own worker has ended: tells a repeated end from a fenced one."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a request after its retention: the id stays known (PROTOCOL 10.31)."""

    key: RequestKey
    digest: str
    created_at: int
    expires_at: int


class SubmitOutcome(StrEnum):
    """What `submit` found."""

    CREATED = "created"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    EXPIRED = "expired"
    OVER_LIMIT = "over_limit"
    """The owner has too many unfinished requests."""
    TENANT_FULL = "tenant_full"
    """Too many requests of the tenant wait, whoever owns them."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """The answer of `submit`; `record` is there for created, duplicate and conflict.

    `created` is answered again to the same submission: then the record is as it stands now.
    """

    outcome: SubmitOutcome
    record: Record | None = None
    lease: Lease | None = None
    """With `promotion` and outcome created: the lease of the running execution."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A request that a worker now runs; its `status processing` event is in the log."""

    record: Record
    lease: Lease


@dataclass(frozen=True, slots=True)
class Renewal:
    """One lease to renew, with the newest progress to keep."""

    lease: Lease
    progress: StoredProgress | None = None


@dataclass(frozen=True, slots=True)
class Renewed:
    """`lease` is None when the attempt is fenced: stop, nothing that it writes will count."""

    lease: Lease | None
    cancel_requested: bool = False
    cancel_reason: str | None = None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event of a log: `frame` is the text that is sent."""

    seq: int
    frame: str
    is_terminal: bool


@dataclass(frozen=True, slots=True)
class LogSlice:
    """Events in order, and the request's state read in the same transaction."""

    record: Record
    events: tuple[StoredEvent, ...]


@dataclass(frozen=True, slots=True)
class ListFilter:
    """Which requests a listing shows."""

    owner: Owner
    statuses: tuple[str, ...] = ()
    action: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Which dead letters an operator asks for; None stands for any."""

    tenant_id: str | None = None
    sub: str | None = None
    action: str | None = None
    id: str | None = None
    ended_before: int | None = None
    """Only those that failed before this time of the store's clock."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing; `next_cursor` continues it, None at the end."""

    records: tuple[Record, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep changed: followers of `changed` are rung, `files` can be deleted."""

    changed: tuple[RequestKey, ...] = ()
    removed: tuple[RequestKey, ...] = ()
    files: tuple[str, ...] = ()
    work_available: bool = False
    next_due_at: int | None = None
    """When a claim or a sweep will next have something to do, as far as is known."""


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Bounds that the engine keeps inside its transactions."""

    max_log_bytes: int = 67_108_864
    """The most bytes of one log, at least 16,384: some room is kept for its end."""
    id_retention_ms: int = 604_800_000
    """How long an id stays known after its log was removed."""
    max_waiting_per_tenant: int = 100_000
    """The most requests of one tenant that wait (PROTOCOL 6.6.10)."""

    def __post_init__(self) -> None:
        if self.max_log_bytes < 16_384:
            raise ValueError(f"max_log_bytes must be at least 16384, not {self.max_log_bytes}")
        if self.id_retention_ms < 0:
            raise ValueError("id_retention_ms must not be negative")
        if self.max_waiting_per_tenant < 1:
            limit = self.max_waiting_per_tenant
            raise ValueError(f"max_waiting_per_tenant must be at least 1, not {limit}")


class Store(Protocol):
    """Requests and their logs. All methods may raise `StoreUnavailable` and `OutcomeUnknown`."""

    name: str
    """The engine's name, e.g. `sqlite`."""

    async def open(self) -> None:
        """Opens the store and takes back the leases of dead processes of this machine."""

    async def close(self) -> None:
        """Commits what waits and releases everything."""

    def now(self) -> int:
        """The store's clock: milliseconds since the epoch."""

    async def submit(
        self, new: NewRequest, *, max_in_flight: int, promotion: Promotion | None = None
    ) -> Submitted:
        """Stores a request with event 1; with `promotion` also event 2 and a lease (PROTOCOL 10.7).

        A stored id is never counted against `max_in_flight` nor what its tenant has waiting, and
        a promotion not against the latter (PROTOCOL 5.3.6, 10.45). The same `new.submission` again
        answers as the first time did.
        """

    async def claim(
        self,
        worker: str,
        actions: Sequence[str],
        *,
        limit: int,
        lease_ms: int,
        concurrency: ConcurrencyLimits = UNLIMITED,
    ) -> Sequence[Claimed]:
        """Leases due requests; appends `status processing` to each log.

        Which ones, and in which order, `core.scheduling.pick` decides (PROTOCOL 5.4.14-5.4.16);
        what runs under any worker's lease counts against the limits of `concurrency`.

        A claim whose outcome is unknown is not repeated but made anew: what the first one leased,
        if anything, comes back when its lease ends.
        """

    async def renew(self, renewals: Sequence[Renewal], *, lease_ms: int) -> Sequence[Renewed]:
        """Extends leases, overwrites progress, tells of cancels and fences, in the order given."""

    async def append(
        self,
        lease: Lease,
        draft: EventDraft | None,
        *,
        operation: int,
        checkpoint: str | None = None,
    ) -> int:
        """Appends one event and/or keeps a checkpoint; returns the log's `last_seq`.

        An attempt's appends follow each other, and `operation` counts them: 1, 2, 3, … The newest
        one may be repeated without a second effect (PROTOCOL 10.18); any other number raises
        `ValueError`. Raises `Fenced` or `LogFull`; a terminal `draft` is a `ValueError`.
        """

    async def complete(
        self,
        lease: Lease,
        result: str,
        *,
        progress: StoredProgress | None = None,
        files: Sequence[StoredFile] = (),
    ) -> Record:
        """Ends the request with its result; the same attempt may repeat it.

        Raises `Fenced`, or `LogFull` if the log has no room for the result: then `fail` it.
        """

    async def fail(
        self,
        lease: Lease,
        error: str,
        *,
        retryable: bool,
        counted: bool = True,
        retry_after_ms: int | None = None,
        progress: StoredProgress | None = None,
    ) -> Record:
        """Ends the attempt: retrying, failed or cancelled as the lifecycle decides.

        Raises `Fenced`; the same attempt may repeat it.
        `error` is the JSON text of an ErrorInfo. `counted=False` hands the request back (drain),
        due at once. A cancel that was requested ends it with CANCELLED (PROTOCOL 10.14), and an
        error for which the log has no room with RESOURCE_EXHAUSTED (PROTOCOL 10.44).
        """

    async def request_cancel(self, key: RequestKey, reason: str | None) -> Record | None:
        """Marks a cancel and ends what is not running; the state after it, None if unknown."""

    async def get(self, key: RequestKey) -> Record | Tombstone | None:
        """A request as it stands, or what is left of it."""

    async def list(self, where: ListFilter, *, limit: int, cursor: str | None = None) -> Page:
        """A page by (created_at, id) descending (PROTOCOL 10.47). Raises `BadCursor`."""

    async def read(
        self, key: RequestKey, after_seq: int, *, max_bytes: int = 262_144
    ) -> LogSlice | None:
        """The log after a number, at least one event if there is any, about `max_bytes` at most."""

    async def sweep(self, *, limit: int = 1_000) -> Swept:
        """Lost leases, deadlines, cancel graces, retention: whatever is due, `limit` at most.

        A store that took no writes for a while lets workers renew their leases first.
        """

    async def dead_letters(
        self, where: DeadLetterFilter, *, limit: int, after: Record | None = None
    ) -> Sequence[Record]:
        """Requests of all owners that failed, the newest end first (PROTOCOL 5.4.13).

        For operators: no client asks for it. `error` is filled in; `after` is the last record of
        the page before, which need not be there any more.
        """

    async def requeue(self, key: RequestKey, new_id: str) -> Record | None:
        """Repeats a failed or cancelled request under a new id (PROTOCOL 10.20).

        The same call again returns the same new request. None if there is nothing of that kind to
        repeat; raises `IdTaken` if `new_id` stands for something else.
        """

    async def delete(self, key: RequestKey) -> tuple[StoredFile, ...] | None:
        """Removes a finished request and its log; its id stays known.

        Returns its files, which the caller removes; None if there is no finished request.
        """
