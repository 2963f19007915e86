# SPDX-License-Identifier: Apache-2.0
"""What each verb makes of a record: shared by the engines, which only read and write.

An engine reads a record inside its transaction, asks here for the `Change`, and writes it: the new
record and the events that were added. The decisions themselves are those of `core.lifecycle`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from longcall_server.core import events, lifecycle, scheduling
from longcall_server.core.codes import RequestStatus
from longcall_server.core.events import EventDraft
from longcall_server.core.lifecycle import Cancel, CancelEffect, Fail, Overdue, Retry, Verdict
from longcall_server.core.states import RequestEvent
from longcall_server.stores.base import (
    Fenced,
    Lease,
    LogFull,
    NewRequest,
    Promotion,
    Random,
    Record,
    Renewal,
    Renewed,
    RequestKey,
    StoredEvent,
    StoredFile,
    StoredProgress,
    StoreLimits,
    SubmitOutcome,
    Submitted,
    Tombstone,
)


@dataclass(frozen=True, slots=True)
class Change:
    """The record after a verb, and the events that the verb added to its log."""

    record: Record
    events: tuple[StoredEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """What `Store.fail` is told of the end of an attempt."""

    error: str
    retryable: bool
    counted: bool
    retry_after_ms: int | None
    progress: StoredProgress | None


# --- Submit --------------------------------------------------------------------------------------


def created(new: NewRequest, promotion: Promotion | None, record_id: int, now: int) -> Change:
    """A request enters with event 1; an execution that already runs also with event 2."""
    created_at = now
    if promotion is not None and new.received_at is not None:
        created_at = new.received_at
    due_at = created_at + new.delay_ms
    drafts = [events.acknowledgment(new.key.id, created_at)]
    record = Record(
        record_id=record_id,
        key=new.key,
        action=new.action,
        payload="",
        digest=new.digest,
        submission=new.submission,
        policy=new.policy,
        metadata=new.metadata,
        priority=new.priority,
        rank=scheduling.rank(new.priority, due_at),
        status=RequestStatus.QUEUED,
        attempt=0,
        failures=0,
        created_at=created_at,
        updated_at=now,
        due_at=due_at,
        deadline_at=None if new.deadline_ms is None else created_at + new.deadline_ms,
        last_seq=0,
        log_bytes=0,
        chunks_kept_to=0,
        checkpoint=None,
        cancel_grace_ms=new.cancel_grace_ms,
        retention_ms=new.retention_ms,
        requeued_from=new.requeued_from,
        callback_url=new.callback_url,
        traceparent=new.traceparent,
    )
    if promotion is None:
        return _logged(record, now, drafts)
    drafts.append(events.processing(new.key.id, 1, 0))
    return _logged(
        record,
        now,
        drafts,
        status=lifecycle.next_status(record.status, RequestEvent.CLAIM),
        attempt=1,
        lease_worker=promotion.worker,
        lease_expires_at=now + promotion.lease_ms,
        cancel_requested_at=now if promotion.cancel_requested else None,
        cancel_reason=promotion.cancel_reason if promotion.cancel_requested else None,
        progress=promotion.progress,
    )


def submitted_before(record: Record, new: NewRequest, promotion: Promotion | None) -> Submitted:
    """The answer to an id that is stored (PROTOCOL 10.5, 10.7, 10.23)."""
    if record.submission == new.submission:
        lease = None
        if promotion is not None:
            expires_at = record.lease_expires_at or 0
            lease = Lease(record.record_id, record.key, 1, promotion.worker, expires_at)
        return Submitted(SubmitOutcome.CREATED, record, lease)
    same = record.digest == new.digest
    return Submitted(SubmitOutcome.DUPLICATE if same else SubmitOutcome.CONFLICT, record)


def requeued(
    record: Record, payload: str, new_id: str, record_id: int, now: int
) -> tuple[NewRequest, Change]:
    """A dead request enters again under a new id, with all that it was given (PROTOCOL 10.20)."""
    deadline_ms = None if record.deadline_at is None else record.deadline_at - record.created_at
    new = NewRequest(
        key=RequestKey(record.key.owner, new_id),
        action=record.action,
        payload=payload,
        digest=record.digest,
        submission=f"requeue:{record.record_id}",
        policy=record.policy,
        metadata=record.metadata,
        priority=record.priority,
        deadline_ms=deadline_ms,
        retention_ms=record.retention_ms,
        cancel_grace_ms=record.cancel_grace_ms,
        callback_url=record.callback_url,
        traceparent=record.traceparent,
        requeued_from=record.key.id,
    )
    return new, created(new, None, record_id, now)


def can_requeue(record: Record) -> bool:
    """Whether the request is in the dead-letter list."""
    return record.status in (RequestStatus.FAILED, RequestStatus.CANCELLED)


# --- Attempts ------------------------------------------------------------------------------------


def lease_of(record: Record) -> Lease:
    """The lease of the attempt that runs."""
    assert record.lease_worker is not None
    assert record.lease_expires_at is not None
    return Lease(
        record.record_id, record.key, record.attempt, record.lease_worker, record.lease_expires_at
    )


def renewed(
    record: Record | None, renewal: Renewal, lease_ms: int, now: int
) -> tuple[Change | None, Renewed]:
    """The lease runs longer and the newest progress is kept; nothing for a fenced attempt."""
    lease = renewal.lease
    if record is None or not lifecycle.holds_attempt(record, lease.attempt):
        return None, Renewed(lease=None)
    record = record._replace(
        lease_expires_at=now + lease_ms,
        progress=_newest(record.progress, renewal.progress),
    )
    cancelled = record.cancel_requested_at is not None
    return Change(record), Renewed(lease_of(record), cancelled, record.cancel_reason)


def requested_cancel(record: Record, reason: str | None, now: int) -> Change | None:
    """A cancel is accepted; None if it changes nothing."""
    effect = lifecycle.on_cancel(record)
    if effect is CancelEffect.NOTHING:
        return None
    record = record._replace(cancel_requested_at=now, cancel_reason=reason, updated_at=now)
    if effect is CancelEffect.MARK:
        return Change(record)
    return _cancelled(record, now)


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes that depend on the store's limits or on chance."""

    limits: StoreLimits
    random: Random

    def claimed(self, record: Record, now: int, *, worker: str, lease_ms: int) -> Change:
        """An attempt begins, or the request ends because its log has no room for one more."""
        attempt = record.attempt + 1
        draft = events.processing(record.key.id, attempt, record.chunks_kept_to)
        started: dict[str, Any] = {
            "status": lifecycle.next_status(record.status, RequestEvent.CLAIM),
            "attempt": attempt,
            "last_operation": 0,
            "lease_worker": worker,
            "lease_expires_at": now + lease_ms,
        }
        if not self._fits(record, draft, keep=lifecycle.TERMINAL_ROOM):
            return self._log_full(record._replace(**started), now)
        return _logged(record, now, [draft], **started)

    def appended(
        self,
        record: Record | None,
        lease: Lease,
        now: int,
        *,
        draft: EventDraft | None,
        operation: int,
        with_checkpoint: bool,
    ) -> Change | None:
        """An event, a checkpoint or both are added; None if that was done before."""
        if draft is not None and draft.is_terminal:
            raise ValueError("a log is ended with complete or fail, not with append")
        record = _present(record, lease)
        verdict = lifecycle.judge_append(record, lease.attempt, operation)
        if verdict is Verdict.FENCED:
            raise _fenced(lease)
        if verdict is Verdict.REPEATED:
            return None
        keep = lifecycle.TERMINAL_ROOM + lifecycle.STATUS_ROOM
        if draft is not None and not self._fits(record, draft, keep=keep):
            limit = self.limits.max_log_bytes
            raise LogFull(f"the log of {lease.key.id} would exceed {limit} bytes")
        change = _logged(record, now, [] if draft is None else [draft], last_operation=operation)
        if not with_checkpoint:
            return change
        kept = change.record._replace(chunks_kept_to=change.record.last_seq)
        return Change(kept, change.events)

    def completed(
        self,
        record: Record | None,
        lease: Lease,
        now: int,
        *,
        result: str,
        progress: StoredProgress | None,
        files: Sequence[StoredFile],
    ) -> Change | None:
        """The request ends with its result; None if it did so before."""
        record = _present(record, lease)
        verdict = lifecycle.judge_finish(record, lease.attempt, completed=True)
        if verdict is Verdict.FENCED:
            raise _fenced(lease)
        if verdict is Verdict.REPEATED:
            return None
        draft = events.complete(record.key.id, result)
        if not self._fits(record, draft, keep=0):
            raise LogFull(f"the result of {lease.key.id} does not fit into its log")
        return _ended(
            record,
            RequestEvent.COMPLETE,
            draft,
            now,
            result=result,
            progress=_newest(record.progress, progress),
            files=tuple(files),
            ended_attempt=lease.attempt,
        )

    def failed(
        self, record: Record | None, lease: Lease, now: int, failure: Failure
    ) -> Change | None:
        """The attempt ends without a result; None if it did so before."""
        record = _present(record, lease)
        verdict = lifecycle.judge_finish(record, lease.attempt, completed=False)
        if verdict is Verdict.FENCED:
            raise _fenced(lease)
        if verdict is Verdict.REPEATED:
            return None
        decision = lifecycle.after_failure(
            record,
            now,
            self.random,
            retryable=failure.retryable,
            counted=failure.counted,
            retry_after_ms=failure.retry_after_ms,
        )
        progress = _newest(record.progress, failure.progress)
        record = record._replace(progress=progress, ended_attempt=lease.attempt)
        return self._attempt_over(record, decision, failure.error, now)

    def taken_back(self, record: Record, now: int, *, worker_is_dead: bool) -> Change:
        """The worker of the running attempt is lost (PROTOCOL 10.17)."""
        decision = lifecycle.after_lost_lease(
            record, now, self.random, worker_is_dead=worker_is_dead
        )
        error = lifecycle.lost_lease_error(record.attempt)
        return self._attempt_over(record, decision, error, now)

    def swept(self, record: Record, what: Overdue, now: int) -> Change:
        """What is overdue happens to an unfinished request."""
        if what is Overdue.CANCEL:
            return _cancelled(record, now)
        if what is Overdue.TIME_OUT:
            return _failed(record, RequestEvent.TIME_OUT, lifecycle.deadline_error(), now)
        return self.taken_back(record, now, worker_is_dead=False)

    def tombstone(self, record: Record, now: int) -> Tombstone:
        """What stays when the log is removed (PROTOCOL 10.31)."""
        expires_at = now + self.limits.id_retention_ms
        return Tombstone(record.key, record.digest, record.created_at, expires_at)

    def _attempt_over(
        self, record: Record, decision: Retry | Fail | Cancel, error: str, now: int
    ) -> Change:
        id = record.key.id
        if isinstance(decision, Cancel):
            return _cancelled(record, now)
        if isinstance(decision, Fail):
            if not self._fits(record, events.error(id, error), keep=0):
                return self._log_full(record, now)
            return _failed(record, RequestEvent.FAIL, error, now, failures=decision.failures)
        kept_to = record.chunks_kept_to
        draft = events.retrying(id, record.attempt, kept_to, decision.at, error)
        if not self._fits(record, draft, keep=lifecycle.TERMINAL_ROOM):
            return self._log_full(record, now)
        return _logged(
            record,
            now,
            [draft],
            status=lifecycle.next_status(record.status, RequestEvent.RETRY),
            failures=decision.failures,
            due_at=decision.at,
            lease_worker=None,
            lease_expires_at=None,
        )

    def _log_full(self, record: Record, now: int) -> Change:
        error = lifecycle.log_full_error(self.limits.max_log_bytes)
        return _failed(record, RequestEvent.FAIL, error, now)

    def _fits(self, record: Record, draft: EventDraft, *, keep: int) -> bool:
        limit = self.limits.max_log_bytes
        return lifecycle.has_room(record.log_bytes, draft.size, limit, keep=keep)


# --- Parts ---------------------------------------------------------------------------------------


def _cancelled(record: Record, now: int) -> Change:
    error = lifecycle.cancelled_error(record.cancel_reason)
    return _failed(record, RequestEvent.CANCEL, error, now)


def _failed(record: Record, event: RequestEvent, error: str, now: int, **also: Any) -> Change:
    return _ended(record, event, events.error(record.key.id, error), now, error=error, **also)


def _ended(record: Record, event: RequestEvent, draft: EventDraft, now: int, **also: Any) -> Change:
    return _logged(
        record,
        now,
        [draft],
        status=lifecycle.next_status(record.status, event),
        lease_worker=None,
        lease_expires_at=None,
        finished_at=now,
        expires_at=now + record.retention_ms,
        **also,
    )


def _logged(record: Record, now: int, drafts: Sequence[EventDraft], **also: Any) -> Change:
    """Numbers the drafts without a gap and counts their bytes."""
    seq = record.last_seq
    added = []
    log_bytes = record.log_bytes
    for draft in drafts:
        seq += 1
        log_bytes += draft.size
        added.append(StoredEvent(seq, draft.frame(seq), draft.is_terminal))
    after = record._replace(last_seq=seq, log_bytes=log_bytes, updated_at=now, **also)
    return Change(after, tuple(added))


def _newest(
    stored: StoredProgress | None, reported: StoredProgress | None
) -> StoredProgress | None:
    """The newer one by (attempt, version): a repeated write must not go back (PROTOCOL 10.36)."""
    if stored is None or reported is None:
        return reported or stored
    newer = (reported.attempt, reported.version) > (stored.attempt, stored.version)
    return reported if newer else stored


def _present(record: Record | None, lease: Lease) -> Record:
    if record is None:
        raise _fenced(lease)
    return record


def _fenced(lease: Lease) -> Fenced:
    return Fenced(f"attempt {lease.attempt} of {lease.key.id} no longer counts")
