# SPDX-License-Identifier: Apache-2.0
"""What an application sees of a request: its events, and how it stands. PROTOCOL 4, 9.2.

All are frozen dataclasses, made to be matched::

    async for event in handle:
        match event:
            case Progress(percentage=percentage, message=message): ...
            case Chunk(data=rows): ...
            case Status(status="processing", chunks_kept_to=kept): ...
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeAlias

from pydantic import JsonValue

# A dependency of pydantic, as in the generated models: type variables with defaults.
from typing_extensions import TypeVar

from .codes import RequestStatus
from .errors import LongcallError

DataT = TypeVar("DataT", default=JsonValue)
PayloadT = TypeVar("PayloadT", default=object)
ResultT = TypeVar("ResultT", default=JsonValue)


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """Why an attempt or a request failed, as the server tells it."""

    code: str
    """The code on the wire; open: compare with `longcall.ErrorCode`. PROTOCOL 7.1."""
    message: str
    """A sentence for people."""
    retryable: bool
    """Whether the same may succeed another time. PROTOCOL 10.50."""
    retry_after: float | None = None
    """In seconds."""
    details: JsonValue = None
    """What a program may need, fixed per code; None if absent. PROTOCOL 7.2."""


@dataclass(frozen=True, slots=True)
class Status:
    """The request was queued, an attempt began (`processing`), or one failed (`retrying`)."""

    seq: int
    """Its number in the log of the request, from 1."""
    status: str
    """`queued`, `processing` or `retrying`; open: a later version may send others."""
    attempt: int = 0
    """The attempt that begins, or that failed; 0 with `queued`."""
    chunks_kept_to: int = 0
    """At `processing`, drop the chunks that you collected with a greater `seq`. PROTOCOL 10.19."""
    retry_at: datetime | None = None
    """With `retrying`: when the next attempt is due, by the server's clock."""
    error: ErrorInfo | None = None
    """With `retrying`: why the attempt failed."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The newest progress of an attempt. Older ones may have been left out."""

    attempt: int
    """The attempt that reports it, from 1."""
    version: int
    """Grows within an attempt."""
    updated_at: datetime
    """When it was reported, by the server's clock, in UTC."""
    percentage: float | None = None
    """0 to 100."""
    message: str | None = None
    """A sentence of the handler, for people."""
    details: JsonValue = None
    """Whatever the handler adds, any JSON value; None if absent."""


@dataclass(frozen=True, slots=True)
class Chunk(Generic[DataT]):
    """An ordered piece of the result."""

    seq: int
    """Its number in the log of the request. PROTOCOL 6.1."""
    attempt: int
    """The attempt that emitted it, from 1."""
    data: DataT
    """Any JSON value, or what the `Action` says."""


Event: TypeAlias = Status | Progress | Chunk[DataT]
"""What the iterator of a handle yields; `Event[Row]` has chunks of `Row`."""


@dataclass(frozen=True, slots=True)
class RequestSummary:
    """How a request stands."""

    id: str
    """The id, which `attach` takes."""
    action: str
    """What was called."""
    status: str
    """One of `longcall.RequestStatus`; open: a later version may send others."""
    attempt: int
    """The newest attempt; 0 before the first."""
    created_at: datetime
    """When the server accepted it, by its clock, in UTC."""
    updated_at: datetime
    """When anything of it changed last, by the server's clock, in UTC."""
    last_seq: int
    """The number of its newest event."""
    cancel_requested: bool = False
    """True once somebody asked to cancel it. PROTOCOL 10.14."""
    requeued_from: str | None = None
    """The failed request that an operator made this one of. PROTOCOL 10.20."""
    progress: Progress | None = None
    """The newest progress; None before the first."""
    expires_at: datetime | None = None
    """Until when a finished request and its log are kept."""

    @property
    def is_finished(self) -> bool:
        """True when nothing more will happen to it. An unknown status is none. PROTOCOL 2.5.9."""
        known = RequestStatus.of(self.status)
        return known is not None and known.is_terminal


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A request as the server read it after it was asked."""

    request: RequestSummary
    """How it stands."""
    result: JsonValue = None
    """Of a completed request, where it fits a message. PROTOCOL 10.44."""
    error: ErrorInfo | None = None
    """Of a failed or cancelled request."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """An operator's word to this connection, this user, this tenant, or all."""

    message: str
    """What an operator says, for people."""
    created_at: datetime
    """When it was said, by the server's clock, in UTC."""
    details: JsonValue = None
    """Whatever was added, any JSON value; None if absent."""


@dataclass(frozen=True, slots=True)
class ClientState:
    """The state of the client's connection, and why. PROTOCOL 9.7."""

    name: str
    """One of `longcall.ConnectionState`: connecting, ready, reconnecting, draining, closed."""
    resumed: bool = False
    """With `ready`: False for the first time of this client, True at each later one."""
    retry_in: float | None = None
    """With `reconnecting`: the wait before the next try, in seconds."""
    code: int | None = None
    """With `reconnecting` and `closed`: the close code, if there was one."""
    reason: str = ""
    """Why, in words, for people; empty where nothing is to be said."""


@dataclass(frozen=True, slots=True)
class Download:
    """A file that was downloaded and checked."""

    path: str
    """Where the file is now."""
    size: int
    """In bytes."""
    sha256: str
    """In lower-case hexadecimal."""


@dataclass(frozen=True, slots=True)
class MapItem(Generic[PayloadT, ResultT]):
    """What became of one payload of `map`."""

    index: int
    """The place of the payload among all of them, from 0."""
    payload: PayloadT
    """The payload itself."""
    request_id: str | None
    """The request; None when there was none, because the payload does not fit."""
    error: LongcallError | None
    """Why there is no result; None: there is one."""
    _result: ResultT | None

    @property
    def result(self) -> ResultT:
        """The result; raises `error` where there is none."""
        if self.error is not None:
            raise self.error
        return self._result  # type: ignore[return-value]  # None only where it is the result
