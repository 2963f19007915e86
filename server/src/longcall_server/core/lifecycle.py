# SPDX-License-Identifier: Apache-2.0
"""The life of one request: every decision that a store takes, without a store, clock or dice.

A store engine reads a request's facts, asks here what follows, and writes that down in the same
transaction. So all engines take the same decisions, and each of them is tested without any.
Times are milliseconds since the epoch; `now` and the random number are arguments.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from longcall_server.core.codes import ErrorCode, RequestStatus
from longcall_server.core.states import REQUEST_TERMINAL, REQUEST_TRANSITIONS, RequestEvent

TERMINAL_ROOM = 4_096
"""Bytes of each log that only a terminal event may use (PROTOCOL 10.44)."""
STATUS_ROOM = 1_024
"""Bytes before those that chunks leave free, for the `status` events of further attempts."""

WAITING = (RequestStatus.QUEUED, RequestStatus.RETRYING)
FINISHED = tuple(REQUEST_TERMINAL)


class IllegalTransition(Exception):
    """The state table has no such step: a defect of the caller."""

    def __init__(self, status: RequestStatus, event: RequestEvent) -> None:
        self.status = status
        self.event = event
        super().__init__(f"a {status} request has no transition for {event}")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when a failed attempt is repeated (PROTOCOL 5)."""

    max_attempts: int = 3
    """Attempts that may fail, the first one included; 1 means never repeated."""
    backoff_initial_ms: int = 1_000
    """Upper bound of the wait after the first failure; it doubles with each further one."""
    backoff_max_ms: int = 60_000
    """Upper bound of every wait."""

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts must be at least 1, not {self.max_attempts}")
        if self.backoff_initial_ms < 0 or self.backoff_max_ms < 0:
            raise ValueError("backoff_initial_ms and backoff_max_ms must not be negative")

    def delay_ms(self, failures: int, random: float) -> int:
        """The wait after this many failures: full jitter, `random` lies in [0, 1)."""
        doublings = min(failures - 1, 62)
        bound = min(self.backoff_max_ms, self.backoff_initial_ms << doublings)
        return int(random * (bound + 1))


class Facts(Protocol):
    """What a decision looks at; `stores.base.Record` has it all."""

    @property
    def status(self) -> RequestStatus: ...
    @property
    def policy(self) -> RetryPolicy: ...
    @property
    def attempt(self) -> int: ...
    @property
    def failures(self) -> int: ...
    @property
    def due_at(self) -> int: ...
    @property
    def deadline_at(self) -> int | None: ...
    @property
    def cancel_requested_at(self) -> int | None: ...
    @property
    def cancel_grace_ms(self) -> int: ...
    @property
    def lease_expires_at(self) -> int | None: ...
    @property
    def expires_at(self) -> int | None: ...
    @property
    def last_operation(self) -> int: ...
    @property
    def ended_attempt(self) -> int: ...


def next_status(status: RequestStatus, event: RequestEvent) -> RequestStatus:
    """The status after an event, by the protocol's table; raises `IllegalTransition`."""
    try:
        return REQUEST_TRANSITIONS[status, event]
    except KeyError:
        raise IllegalTransition(status, event) from None


def is_finished(status: RequestStatus) -> bool:
    """Whether the log has its terminal event."""
    return status in FINISHED


def is_claimable(facts: Facts, now: int) -> bool:
    """Whether an attempt may start: due, not cancelled, not past its deadline (PROTOCOL 10.14)."""
    return (
        facts.status in WAITING
        and facts.due_at <= now
        and facts.cancel_requested_at is None
        and (facts.deadline_at is None or now < facts.deadline_at)
    )


# --- The end of an attempt -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Retry:
    """Another attempt follows, due at `at`; `failures` is the new count against the policy."""

    at: int
    failures: int


@dataclass(frozen=True, slots=True)
class Fail:
    """The request ends as failed; `failures` is the new count against the policy."""

    failures: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """The request ends as cancelled."""


def after_failure(
    facts: Facts,
    now: int,
    random: Callable[[], float],
    *,
    retryable: bool,
    counted: bool = True,
    retry_after_ms: int | None = None,
) -> Retry | Fail | Cancel:
    """What follows when the running attempt ends without a result.

    A requested cancel comes first (PROTOCOL 10.14). `counted=False` hands the request back: due at
    once, nothing counted. `retry_after_ms` takes the place of the policy's wait. A retry that is
    due after the deadline is still a retry: the deadline ends it (PROTOCOL 10.22).
    """
    if facts.cancel_requested_at is not None:
        return Cancel()
    if not counted:
        return Retry(at=now, failures=facts.failures)
    failures = facts.failures + 1
    if not retryable or failures >= facts.policy.max_attempts:
        return Fail(failures)
    if retry_after_ms is None:
        retry_after_ms = facts.policy.delay_ms(failures, random())
    return Retry(at=now + retry_after_ms, failures=failures)


def after_lost_lease(
    facts: Facts, now: int, random: Callable[[], float], *, worker_is_dead: bool
) -> Retry | Fail | Cancel:
    """What follows when the worker is lost: a failed attempt of the policy (PROTOCOL 10.17).

    The retry of a worker that is known to be dead is due at once, so that a restart costs no time;
    one that only fell silent may still burden what made it silent, so the policy's wait applies.
    """
    retry_after_ms = 0 if worker_is_dead else None
    return after_failure(facts, now, random, retryable=True, retry_after_ms=retry_after_ms)


# --- What an attempt may write -------------------------------------------------------------------


class Verdict(Enum):
    """What becomes of a write of an attempt."""

    WRITE = auto()
    REPEATED = auto()
    """It was committed before: answer again, write nothing."""
    FENCED = auto()


def holds_attempt(facts: Facts, attempt: int) -> bool:
    """The fence: the attempt runs. The lease's clock is not asked (PROTOCOL 10.16)."""
    return facts.status is RequestStatus.PROCESSING and facts.attempt == attempt


def judge_append(facts: Facts, attempt: int, operation: int) -> Verdict:
    """Fences an append and tells its repetition (PROTOCOL 10.18).

    The appends of an attempt follow each other, so `operation` is the newest one or the next;
    raises `ValueError` otherwise, because a gap means that an append was lost by its caller.
    """
    if not holds_attempt(facts, attempt):
        return Verdict.FENCED
    if operation == facts.last_operation + 1:
        return Verdict.WRITE
    if operation == facts.last_operation:
        return Verdict.REPEATED
    raise ValueError(
        f"operation {operation} does not follow {facts.last_operation} of attempt {attempt}"
    )


def judge_finish(facts: Facts, attempt: int, *, completed: bool) -> Verdict:
    """Fences the end of an attempt; the first end of a log stands (PROTOCOL 10.18, 10.21)."""
    if holds_attempt(facts, attempt):
        return Verdict.WRITE
    if facts.ended_attempt == attempt:
        stands_completed = facts.status is RequestStatus.COMPLETED and facts.attempt == attempt
        if stands_completed is completed:
            return Verdict.REPEATED
    return Verdict.FENCED


def has_room(log_bytes: int, size: int, max_log_bytes: int, *, keep: int) -> bool:
    """Whether an event fits into a log of which `keep` bytes must stay free (PROTOCOL 10.44)."""
    return log_bytes + size + keep <= max_log_bytes


# --- Cancel --------------------------------------------------------------------------------------


class CancelEffect(Enum):
    """What a cancel does to a request as it stands."""

    NOTHING = auto()
    """It has ended, or a cancel was accepted before and its reason stays."""
    MARK = auto()
    """It runs: the handler is told, and the grace begins."""
    END = auto()


def on_cancel(facts: Facts) -> CancelEffect:
    """What an accepted cancel does (PROTOCOL 10.14)."""
    if facts.status in FINISHED or facts.cancel_requested_at is not None:
        return CancelEffect.NOTHING
    return CancelEffect.END if facts.status in WAITING else CancelEffect.MARK


# --- The sweep -----------------------------------------------------------------------------------


class Overdue(Enum):
    """What a sweep has to do with a request."""

    CANCEL = auto()
    """The grace of a cancel is over."""
    TIME_OUT = auto()
    LOST_LEASE = auto()
    REMOVE = auto()
    """The retention is over."""


def overdue(facts: Facts, now: int) -> Overdue | None:
    """What is due now, if anything: an end comes before a retry (PROTOCOL 10.14, 10.21, 10.22)."""
    due = [(at, what) for at, what in _appointments(facts) if at <= now]
    ends = [what for _, what in due if what is not Overdue.LOST_LEASE]
    if ends:
        return ends[0]
    return due[0][1] if due else None


def next_sweep_at(facts: Facts) -> int | None:
    """When a sweep must look at the request next, None if time alone changes nothing."""
    if facts.status in FINISHED:
        return facts.expires_at
    if facts.deadline_at is None and facts.status in WAITING:
        return None
    return min((at for at, _ in _appointments(facts)), default=None)


def _appointments(facts: Facts) -> list[tuple[int, Overdue]]:
    if facts.status in FINISHED:
        return [] if facts.expires_at is None else [(facts.expires_at, Overdue.REMOVE)]
    found: list[tuple[int, Overdue]] = []
    if facts.status is RequestStatus.PROCESSING:
        if facts.cancel_requested_at is not None:
            found.append((facts.cancel_requested_at + facts.cancel_grace_ms, Overdue.CANCEL))
        if facts.lease_expires_at is not None:
            found.append((facts.lease_expires_at, Overdue.LOST_LEASE))
    if facts.deadline_at is not None:
        found.append((facts.deadline_at, Overdue.TIME_OUT))
    return found


# --- The errors that a store itself puts at the end of a log --------------------------------------


def cancelled_error(reason: str | None) -> str:
    """The ErrorInfo of a cancel, with the first reason given (PROTOCOL 10.14)."""
    details = None if reason is None else {"reason": reason}
    return _error_info(ErrorCode.CANCELLED, "The request was cancelled.", details)


def deadline_error() -> str:
    """The ErrorInfo of a passed deadline (PROTOCOL 10.22)."""
    return _error_info(ErrorCode.TIMEOUT, "The deadline passed before the request was finished.")


def lost_lease_error(attempt: int) -> str:
    """The ErrorInfo of an attempt whose worker was lost (PROTOCOL 10.17)."""
    return _error_info(ErrorCode.INTERNAL_ERROR, f"The worker of attempt {attempt} was lost.")


def log_full_error(max_log_bytes: int) -> str:
    """The ErrorInfo of a log that would exceed its limit (PROTOCOL 10.44)."""
    message = "The log of the request would exceed its limit."
    return _error_info(ErrorCode.RESOURCE_EXHAUSTED, message, {"limit": max_log_bytes})


def _error_info(code: ErrorCode, message: str, details: object = None) -> str:
    info: dict[str, object] = {"code": code.value, "message": message, "retryable": False}
    if details is not None:
        info["details"] = details
    return json.dumps(info, ensure_ascii=False, separators=(",", ":"))
