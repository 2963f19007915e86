# SPDX-License-Identifier: Apache-2.0
"""A stored request as `snapshot` and `listing` show it, as text, and within the size of a message.

Ids and action names need no escaping (their patterns); `progress`, `result` and `error` of a record
are JSON text already.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

from longcall_server.core.codec import json_text
from longcall_server.core.errors import sendable_text
from longcall_server.core.events import timestamp
from longcall_server.core.frames import quoted
from longcall_server.stores.base import Record

_LISTING_FRAME_BYTES: Final = 2_048
"""More than a `listing` takes beside its summaries: its id and its cursor."""


def summary(record: Record, progress: str | None) -> str:
    """A RequestSummary, with this ProgressState."""
    parts = [
        f'{{"id":"{record.key.id}","action":"{record.action}","status":"{record.status.value}"',
        f'"attempt":{record.attempt},"created_at":"{timestamp(record.created_at)}"',
        f'"updated_at":"{timestamp(record.updated_at)}","last_seq":{record.last_seq}',
    ]
    if record.cancel_requested_at is not None:
        parts.append('"cancel_requested":true')
    if record.requeued_from is not None:
        parts.append(f'"requeued_from":"{record.requeued_from}"')
    if progress is not None:
        parts.append(f'"progress":{progress}')
    if record.expires_at is not None:
        parts.append(f'"expires_at":"{timestamp(record.expires_at)}"')
    return ",".join(parts) + "}"


def snapshot(record: Record, reply_to: str, max_bytes: int) -> str:
    """The frame of a `snapshot`; what does not fit is left out (PROTOCOL 10.44.5)."""
    whole = None if record.progress is None else record.progress.body
    brief = _without_details(whole)
    error = record.error
    return _first_fitting(
        max_bytes,
        (
            _snapshot(record, reply_to, progress, result, failure)
            for progress, result, failure in (
                (whole, record.result, error),
                (brief, record.result, error),
                (brief, None, _without_details(error)),
                (None, None, _brief(error)),
            )
        ),
    )


def fitting_summaries(records: Sequence[Record], max_bytes: int) -> tuple[str, ...]:
    """The summaries of the first of these records, as many as fit into one `listing`, at least
    one if there is any (PROTOCOL 10.44.6, 10.44.7)."""
    room = max_bytes - _LISTING_FRAME_BYTES
    chosen: list[str] = []
    for record in records:
        whole = None if record.progress is None else record.progress.body
        texts = (summary(record, progress) for progress in (whole, _without_details(whole), None))
        text = summary(record, whole) if chosen else _first_fitting(room, texts)
        room -= _size(text) + 1
        if room < 0 and chosen:
            break
        chosen.append(text)
    return tuple(chosen)


def listing(list_id: str, summaries: Iterable[str], next_cursor: str | None) -> str:
    """The frame of a `listing`."""
    cursor = "" if next_cursor is None else f',"next_cursor":{quoted(next_cursor)}'
    return f'{{"type":"listing","id":"{list_id}","requests":[{",".join(summaries)}]{cursor}}}'


def _snapshot(
    record: Record, reply_to: str, progress: str | None, result: str | None, error: str | None
) -> str:
    tail = "" if result is None else f',"result":{result}'
    if error is not None:
        tail += f',"error":{error}'
    return (
        f'{{"type":"snapshot","request_id":"{record.key.id}","reply_to":"{reply_to}",'
        f'"request":{summary(record, progress)}{tail}}}'
    )


def _first_fitting(max_bytes: int, texts: Iterable[str]) -> str:
    """The first that fits, or else the last."""
    text = ""
    for text in texts:
        if _size(text) <= max_bytes:
            break
    return text


def _without_details(text: str | None) -> str | None:
    if text is None or '"details"' not in text:
        return text
    value = json.loads(text)
    value.pop("details", None)
    return json_text(value)


def _brief(error: str | None) -> str | None:
    """An ErrorInfo with no more of its message than always fits."""
    if error is None:
        return None
    value = json.loads(error)
    value.pop("details", None)
    value["message"] = sendable_text(value["message"])
    return json_text(value)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
