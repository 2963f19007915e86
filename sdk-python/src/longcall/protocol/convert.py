# SPDX-License-Identifier: Apache-2.0
"""Messages -> what the application sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import MISSING

from .. import errors, events
from ..codec import parse_timestamp
from ..errors import RequestError, request_error
from .link import Page

if TYPE_CHECKING:
    from .. import messages


def _present(value: Any) -> Any:
    return None if value is MISSING else value


def _seconds(duration_ms: Any) -> float | None:
    return duration_ms / 1000 if isinstance(duration_ms, int) else None


def status(message: messages.StatusMessage) -> events.Status:
    """Returns the event of a `status`."""
    return events.Status(
        seq=message.seq,
        status=message.status,
        attempt=message.attempt,
        chunks_kept_to=message.chunks_kept_to,
        retry_at=parse_timestamp(message.retry_at) if isinstance(message.retry_at, str) else None,
        error=_error_info(_present(message.error)),
    )


def progress(message: messages.ProgressMessage | messages.ProgressState) -> events.Progress:
    """Returns the event of a `progress`, or of the progress in a summary."""
    return events.Progress(
        attempt=message.attempt,
        version=message.version,
        updated_at=parse_timestamp(message.updated_at),
        percentage=_present(message.percentage),
        message=_present(message.message),
        details=_present(message.details),
    )


def snapshot(message: messages.SnapshotMessage) -> events.Snapshot:
    """Returns the snapshot in a `snapshot`."""
    return events.Snapshot(
        request=summary(message.request),
        result=_present(message.result),
        error=_error_info(_present(message.error)),
    )


def summary(request: messages.RequestSummary) -> events.RequestSummary:
    """Returns a summary."""
    newest = _present(request.progress)
    expires_at = request.expires_at
    return events.RequestSummary(
        id=request.id,
        action=request.action,
        status=request.status,
        attempt=request.attempt,
        created_at=parse_timestamp(request.created_at),
        updated_at=parse_timestamp(request.updated_at),
        last_seq=request.last_seq,
        cancel_requested=request.cancel_requested is True,
        requeued_from=_present(request.requeued_from),
        progress=None if newest is None else progress(newest),
        expires_at=parse_timestamp(expires_at) if isinstance(expires_at, str) else None,
    )


def page(message: messages.ListingMessage) -> Page:
    """Returns a page of a list."""
    return Page(
        tuple(summary(request) for request in message.requests), _present(message.next_cursor)
    )


def announcement(message: messages.AnnouncementMessage) -> events.Announcement:
    """Returns an announcement."""
    return events.Announcement(
        message=message.message,
        created_at=parse_timestamp(message.created_at),
        details=_present(message.details),
    )


def error(message: messages.ErrorMessage, attempt: int) -> RequestError:
    """Returns the error of an `error`; `attempt` is the newest seen. PROTOCOL 9.8.2."""
    info = message.error
    return request_error(
        info.code,
        info.message,
        retryable=info.retryable,
        retry_after=_seconds(info.retry_after_ms),
        details=_present(info.details),
        request_id=_present(message.request_id),
        attempt=attempt,
        executed=message.executed is True,
    )


def _error_info(info: messages.ErrorInfo | None) -> events.ErrorInfo | None:
    if info is None:
        return None
    return events.ErrorInfo(
        code=info.code,
        message=info.message,
        retryable=info.retryable,
        retry_after=_seconds(info.retry_after_ms),
        details=_present(info.details),
    )


def other_incarnation(request_id: str) -> errors.NotFoundError:
    """Returns the error for an id that stands for another request by now. PROTOCOL 10.32."""
    return errors.NotFoundError(
        "the request is gone, and its id was used again",
        code="NOT_FOUND",
        request_id=request_id,
        origin="client",
    )


def not_stored(request_id: str) -> errors.NotFoundError:
    """Returns the error for questions about a request that was never stored. PROTOCOL 10.11."""
    return errors.NotFoundError(
        "the request was not stored: it was answered at once, or refused",
        code="NOT_FOUND",
        request_id=request_id,
        origin="client",
    )
