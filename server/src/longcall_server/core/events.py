# SPDX-License-Identifier: Apache-2.0
"""The events of a log, as the text that is stored and sent.

An event is encoded once: what a store keeps is the frame that every reader gets. Only its number
is not known before the store's transaction, so a constructor makes an `EventDraft`, and the store
asks it for the frame. All JSON parts come in as compact JSON text and are not looked into.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_TIMESTAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{3})Z", re.ASCII)
_encode = json.JSONEncoder(ensure_ascii=False).encode
_LONGEST_SEQ = len(str(2**53 - 1))


class EventKind(StrEnum):
    """The types of numbered messages."""

    ACKNOWLEDGMENT = "acknowledgment"
    STATUS = "status"
    CHUNK = "chunk"
    COMPLETE = "complete"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class EventDraft:
    """An event without its number."""

    kind: EventKind
    head: str
    """The frame's text up to the number."""
    tail: str
    """The frame's text after the number."""

    def frame(self, seq: int) -> str:
        """Returns the exact text that is stored and sent under this number."""
        return f"{self.head}{seq}{self.tail}"

    @property
    def size(self) -> int:
        """The most bytes of UTF-8 that the frame can take, whatever its number."""
        return _utf8_size(self.head) + _utf8_size(self.tail) + _LONGEST_SEQ

    @property
    def is_terminal(self) -> bool:
        """Whether the event ends its log (PROTOCOL 4)."""
        return self.kind is EventKind.COMPLETE or self.kind is EventKind.ERROR


def acknowledgment(request_id: str, created_at_ms: int) -> EventDraft:
    """Event 1 of every log: the request is stored (PROTOCOL 10.24, 10.32)."""
    created_at = timestamp(created_at_ms)
    tail = f',"status":"queued","created_at":"{created_at}"}}'
    return _draft(EventKind.ACKNOWLEDGMENT, request_id, tail)


def processing(request_id: str, attempt: int, chunks_kept_to: int) -> EventDraft:
    """An attempt begins; chunks with a number over `chunks_kept_to` are void (PROTOCOL 10.19)."""
    tail = f',"status":"processing","attempt":{attempt},"chunks_kept_to":{chunks_kept_to}}}'
    return _draft(EventKind.STATUS, request_id, tail)


def retrying(
    request_id: str, attempt: int, chunks_kept_to: int, retry_at_ms: int, error_json: str
) -> EventDraft:
    """The attempt ended without outcome, and the next one is due at `retry_at_ms`."""
    tail = (
        f',"status":"retrying","attempt":{attempt},"chunks_kept_to":{chunks_kept_to}'
        f',"retry_at":"{timestamp(retry_at_ms)}","error":{error_json}}}'
    )
    return _draft(EventKind.STATUS, request_id, tail)


def chunk(request_id: str, attempt: int, data_json: str) -> EventDraft:
    """An ordered piece of the result."""
    return _draft(EventKind.CHUNK, request_id, f',"attempt":{attempt},"data":{data_json}}}')


def complete(request_id: str, result_json: str) -> EventDraft:
    """The end: a result. Terminal."""
    return _draft(EventKind.COMPLETE, request_id, f',"result":{result_json}}}')


def error(request_id: str, error_json: str) -> EventDraft:
    """The end: failed, cancelled or timed out; `error_json` is an ErrorInfo. Terminal."""
    return _draft(EventKind.ERROR, request_id, f',"error":{error_json}}}')


def with_duplicate(frame: str) -> str:
    """Marks the frame of event 1 as the answer to a duplicate (PROTOCOL 10.24)."""
    return f'{frame[:-1]},"duplicate":true}}'


def outcome(frame: str) -> str:
    """Returns the JSON text of `result` or `error` that the frame of a terminal event carries.

    A store need not keep a result twice. Works on frames that `EventDraft.frame` made: there the
    first `,"result":` or `,"error":` outside of a string is the field itself.
    """
    if frame.startswith('{"type":"complete",'):
        mark = ',"result":'
    elif frame.startswith('{"type":"error",'):
        mark = ',"error":'
    else:
        raise ValueError("not the frame of a terminal event")
    return frame[frame.index(mark) + len(mark) : -1]


def timestamp(ms: int) -> str:
    """Returns the RFC 3339 text of a time in milliseconds since the epoch (PROTOCOL 2)."""
    second, rest = divmod(ms, 1_000)
    return f"{_second(second)}.{rest:03}Z"


def parse_timestamp(text: str) -> int:
    """Returns the milliseconds since the epoch; raises `ValueError` for any other form.

    A leap second counts as the first moment of the next minute.
    """
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError(f"not a time of the form 2026-11-23T18:31:00.000Z: {text!r}")
    year, month, day, hour, minute, second, millisecond = map(int, match.groups())
    leap = second == 60
    moment = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=UTC)
    return (moment - _EPOCH) // _MILLISECOND + (1000 if leap else millisecond)


@lru_cache(maxsize=64)
def _second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).isoformat().removesuffix("+00:00")


def _draft(kind: EventKind, request_id: str, tail: str) -> EventDraft:
    head = f'{{"type":"{kind}","request_id":{_encode(request_id)},"seq":'
    return EventDraft(kind, head, tail)


def _utf8_size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
