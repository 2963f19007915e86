# SPDX-License-Identifier: Apache-2.0
"""Rows to records, and records to rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache
from operator import attrgetter
from typing import Any

from longcall_server.core import lifecycle
from longcall_server.core.codes import RequestStatus
from longcall_server.core.events import outcome
from longcall_server.core.lifecycle import RetryPolicy
from longcall_server.stores.base import (
    Owner,
    Record,
    RequestKey,
    StoredFile,
    StoredProgress,
    Tombstone,
)

_COLUMNS = """
    r.record_id, r.tenant_id, r.sub, r.id, r.action, r.digest, r.submission,
    r.max_attempts, r.backoff_initial_ms, r.backoff_max_ms, r.metadata, r.priority, r.rank,
    r.status, r.attempt, r.failures, r.created_at, r.updated_at, r.due_at, r.deadline_at,
    r.last_seq, r.log_bytes, r.chunks_kept_to, r.cancel_grace_ms, r.retention_ms,
    r.cancel_requested_at, r.cancel_reason, p.attempt, p.version, p.body, r.files,
    r.requeued_from, r.callback_url, r.traceparent, r.lease_worker, r.lease_expires_at,
    r.finished_at, r.expires_at, r.last_operation, r.ended_attempt"""
SELECT_RECORD = f"""
    SELECT {_COLUMNS}
    FROM requests r LEFT JOIN progress p USING (record_id)"""
_SELECT_WHOLE = f"""
    SELECT {_COLUMNS}, b.payload, c.checkpoint
    FROM requests r LEFT JOIN progress p USING (record_id)
    JOIN payloads b USING (record_id) LEFT JOIN checkpoints c USING (record_id)"""
_BY_RECORD_ID = " WHERE r.record_id = ?"
_BY_KEY = """
    WHERE r.owner_id = (SELECT owner_id FROM owners WHERE tenant_id = ? AND sub = ?)
    AND r.id = ?"""
RECORD_BY_ID = SELECT_RECORD + _BY_RECORD_ID
RECORD_BY_KEY = SELECT_RECORD + _BY_KEY
WHOLE_RECORD_BY_ID = _SELECT_WHOLE + _BY_RECORD_ID
WHOLE_RECORD_BY_KEY = _SELECT_WHOLE + _BY_KEY

_CHANGING = (
    "attempt",
    "failures",
    "updated_at",
    "due_at",
    "last_seq",
    "log_bytes",
    "chunks_kept_to",
    "cancel_requested_at",
    "cancel_reason",
    "lease_worker",
    "lease_expires_at",
    "finished_at",
    "expires_at",
    "last_operation",
    "ended_attempt",
)
_GIVEN = (
    "record_id",
    "action",
    "digest",
    "submission",
    "priority",
    "rank",
    "created_at",
    "deadline_at",
    "cancel_grace_ms",
    "retention_ms",
    "requeued_from",
    "callback_url",
    "traceparent",
)
_DERIVED = (
    "owner_id",
    "tenant_id",
    "sub",
    "id",
    "status",
    "max_attempts",
    "backoff_initial_ms",
    "backoff_max_ms",
    "metadata",
    "is_ready",
    "sweep_at",
)
_changing_values = attrgetter(*_CHANGING)
_new_values = attrgetter(*_GIVEN, *_CHANGING)
_STATUSES = {status.value: status for status in RequestStatus}

INSERT_REQUEST = (
    f"INSERT INTO requests ({', '.join(_GIVEN + _CHANGING + _DERIVED)})"
    f" VALUES ({', '.join('?' * len(_GIVEN + _CHANGING + _DERIVED))})"
)


def record_of(row: Iterable[Any]) -> Record:
    """Makes a record of a row of `SELECT_RECORD`, or of one of the `WHOLE_` queries."""
    (
        record_id, tenant_id, sub, id, action, digest, submission,
        max_attempts, backoff_initial_ms, backoff_max_ms, metadata, priority, rank,
        status, attempt, failures, created_at, updated_at, due_at, deadline_at,
        last_seq, log_bytes, chunks_kept_to, cancel_grace_ms, retention_ms,
        cancel_requested_at, cancel_reason, progress_attempt, version, body, files,
        requeued_from, callback_url, traceparent, lease_worker, lease_expires_at,
        finished_at, expires_at, last_operation, ended_attempt, *large,
    ) = row  # fmt: skip
    payload, checkpoint = large or ("", None)
    return Record(
        record_id=record_id,
        key=RequestKey(_owner(tenant_id, sub), id),
        action=action,
        payload=payload,
        digest=digest,
        submission=submission,
        policy=_policy(max_attempts, backoff_initial_ms, backoff_max_ms),
        metadata={} if metadata is None else json.loads(metadata),
        priority=priority,
        rank=rank,
        status=_STATUSES[status],
        attempt=attempt,
        failures=failures,
        created_at=created_at,
        updated_at=updated_at,
        due_at=due_at,
        deadline_at=deadline_at,
        last_seq=last_seq,
        log_bytes=log_bytes,
        chunks_kept_to=chunks_kept_to,
        checkpoint=checkpoint,
        cancel_grace_ms=cancel_grace_ms,
        retention_ms=retention_ms,
        cancel_requested_at=cancel_requested_at,
        cancel_reason=cancel_reason,
        progress=None if body is None else StoredProgress(progress_attempt, version, body),
        files=() if files is None else tuple(StoredFile(**file) for file in json.loads(files)),
        requeued_from=requeued_from,
        callback_url=callback_url,
        traceparent=traceparent,
        lease_worker=lease_worker,
        lease_expires_at=lease_expires_at,
        finished_at=finished_at,
        expires_at=expires_at,
        last_operation=last_operation,
        ended_attempt=ended_attempt,
    )


def with_outcome(connection: sqlite3.Connection, record: Record) -> Record:
    """Fills in `result` or `error` of a finished request, from the last event of its log."""
    if not lifecycle.is_finished(record.status):
        return record
    (frame,) = connection.execute(
        "SELECT frame FROM events WHERE record_id = ? AND seq = ?",
        (record.record_id, record.last_seq),
    ).fetchone()
    if record.status is RequestStatus.COMPLETED:
        return record._replace(result=outcome(frame))
    return record._replace(error=outcome(frame))


def new_row(record: Record, owner_id: int, now: int) -> tuple[Any, ...]:
    """The values of `INSERT_REQUEST`."""
    policy = record.policy
    return (
        *_new_values(record),
        owner_id,
        record.key.owner.tenant_id,
        record.key.owner.sub,
        record.key.id,
        record.status.value,
        policy.max_attempts,
        policy.backoff_initial_ms,
        policy.backoff_max_ms,
        json.dumps(record.metadata) if record.metadata else None,
        _is_ready(record, now),
        lifecycle.next_sweep_at(record),
    )


def changed_columns(before: Record, after: Record, now: int) -> dict[str, Any]:
    """The columns in which two states of a request differ."""
    columns: dict[str, Any] = {}
    pairs = zip(_CHANGING, _changing_values(before), _changing_values(after), strict=True)
    for name, old, new in pairs:
        if new != old:
            columns[name] = new
    if after.files != before.files:
        columns["files"] = json.dumps([asdict(file) for file in after.files])
    if after.status is not before.status:
        columns["status"] = after.status.value
        columns["is_ready"] = _is_ready(after, now)
    sweep_at = lifecycle.next_sweep_at(after)
    if sweep_at != lifecycle.next_sweep_at(before):
        columns["sweep_at"] = sweep_at
    return columns


def tombstone_of(row: tuple[Any, ...]) -> Tombstone:
    """Makes a tombstone of (tenant_id, sub, id, digest, created_at, expires_at)."""
    tenant_id, sub, id, digest, created_at, expires_at = row
    return Tombstone(RequestKey(Owner(tenant_id, sub), id), digest, created_at, expires_at)


def _is_ready(record: Record, now: int) -> int | None:
    if record.status not in lifecycle.WAITING:
        return None
    return int(record.due_at <= now)


@lru_cache(maxsize=1_024)
def _owner(tenant_id: str, sub: str) -> Owner:
    return Owner(tenant_id, sub)


@lru_cache(maxsize=1_024)
def _policy(max_attempts: int, backoff_initial_ms: int, backoff_max_ms: int) -> RetryPolicy:
    return RetryPolicy(max_attempts, backoff_initial_ms, backoff_max_ms)
