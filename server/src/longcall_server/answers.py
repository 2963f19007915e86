# SPDX-License-Identifier: Apache-2.0
"""What is decided on a client's message. The gateways only translate these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import MISSING

from longcall_server.core.codes import ErrorCode
from longcall_server.core.errors import error_info, sendable_pointer, sendable_text
from longcall_server.core.messages import ErrorInfo
from longcall_server.stores.base import LogSlice, Record, SubmitOutcome, Submitted

_TRY_AGAIN_MS = 1_000


@dataclass(frozen=True, slots=True)
class Answered:
    """A quick request has its result, as JSON text; it is not stored."""

    result: str


@dataclass(frozen=True, slots=True)
class QuickFailed:
    """A quick request ran and failed; `error` is an ErrorInfo as JSON (PROTOCOL 10.9)."""

    error: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The request is stored, now or since long; the large parts of its record are left out."""

    record: Record
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The message is refused, and nothing was done."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class Attached:
    """The request as it stands and the first part of the log, read in one transaction."""

    slice: LogSlice


@dataclass(frozen=True, slots=True)
class CancelAccepted:
    """The request as it stands after the cancel was committed."""

    record: Record


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of request summaries, each as JSON text."""

    summaries: tuple[str, ...]
    next_cursor: str | None


Outcome: TypeAlias = Answered | QuickFailed | Acknowledged | Refused
"""How a `request` is answered: with exactly one of these (PROTOCOL 4.4.1)."""


def refused(code: ErrorCode, message: str, **fields: Any) -> Refused:
    """A refusal; `fields` are those of `error_info`."""
    return Refused(error_info(code, message, **fields))


def invalid(pointer: str, message: str) -> Refused:
    """A field is not as it should be."""
    details = {"pointer": sendable_pointer(pointer)}
    return refused(ErrorCode.VALIDATION_ERROR, sendable_text(message), details=details)


def not_found() -> Refused:
    """The same for an id that never was, is no longer, or is somebody else's (PROTOCOL 3.4.2)."""
    return refused(ErrorCode.NOT_FOUND, "There is no such request.")


def unavailable() -> Refused:
    """The store cannot say how things stand (PROTOCOL 10.28)."""
    message = "The server cannot answer truthfully right now."
    return refused(ErrorCode.UNAVAILABLE, message, retry_after_ms=_TRY_AGAIN_MS)


def too_many_submissions(wait_ms: int) -> Refused:
    """The owner has asked for more than its rate (PROTOCOL 6.6.8)."""
    message = "Too many requests of this owner."
    return refused(ErrorCode.RATE_LIMITED, message, retry_after_ms=wait_ms)


def conflict(message: str, details: Any = MISSING) -> Refused:
    """The id, or a position in its log, stands for something else."""
    return refused(ErrorCode.CONFLICT, message, details=details)


def other_request() -> Refused:
    """The id was used for another request (PROTOCOL 5.1.6)."""
    return conflict("The id stands for a request with another action or payload.")


def expired() -> Refused:
    """The id was used, and its log is removed (PROTOCOL 10.31)."""
    return conflict("The id was used before, and its log has expired.", {"reason": "expired"})


def acknowledged(record: Record, *, duplicate: bool) -> Acknowledged:
    """The request is stored. What waits for a slow reader must not hold payloads and results."""
    brief = record._replace(payload="", checkpoint=None, result=None, error=None)
    return Acknowledged(brief, duplicate)


def stored(submitted: Submitted) -> Acknowledged | Refused:
    """What the store found at a submission."""
    match submitted:
        case Submitted(outcome=SubmitOutcome.CREATED, record=Record() as record):
            return acknowledged(record, duplicate=False)
        case Submitted(outcome=SubmitOutcome.DUPLICATE, record=Record() as record):
            return acknowledged(record, duplicate=True)
        case Submitted(outcome=SubmitOutcome.CONFLICT):
            return other_request()
        case Submitted(outcome=SubmitOutcome.EXPIRED):
            return expired()
        case Submitted(outcome=SubmitOutcome.OVER_LIMIT):
            message = "Too many unfinished requests of this owner."
            return refused(ErrorCode.RESOURCE_EXHAUSTED, message, retry_after_ms=_TRY_AGAIN_MS)
        case Submitted(outcome=SubmitOutcome.TENANT_FULL):
            # PROTOCOL 6.6.10
            message = "Too many requests of this tenant wait."
            return refused(ErrorCode.RESOURCE_EXHAUSTED, message, retry_after_ms=_TRY_AGAIN_MS)
    raise AssertionError(f"a store answered {submitted.outcome} without a record")
