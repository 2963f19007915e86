# SPDX-License-Identifier: Apache-2.0
"""Messages of a server, by short words. What is sent is checked by the generated models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from ..codec import MalformedMessage, UnknownMessage, decode
from ..codes import ERROR_CODES, ErrorCode
from ..errors import ConfigurationError

Message: TypeAlias = dict[str, Any]

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""When a clock of a test begins."""
LIMITS: Final[Mapping[str, int]] = {
    "max_message_bytes": 1_048_576,
    "max_depth": 64,
    "max_in_flight": 1000,
    "messages_per_minute": 6000,
    "message_burst": 1000,
    "max_log_bytes": 67_108_864,
    "id_retention_ms": 604_800_000,
}


def timestamp(seconds: float) -> str:
    """Returns the time of a test's clock as it travels."""
    time = EPOCH + timedelta(seconds=seconds)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z"


CREATED: Final = timestamp(0)


def checked(message: Message) -> str:
    """Returns the text of a message.

    Raises:
        ConfigurationError: A server could not send it; the text says why.
    """
    try:
        text = json.dumps(message, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
        known = decode(text)
    except (ValueError, TypeError, MalformedMessage) as error:
        raise ConfigurationError(f"no server sends this {message.get('type')}: {error}") from None
    if isinstance(known, UnknownMessage):
        raise ConfigurationError(f"no server sends a {known.type}")
    return text


def welcome(**changes: Any) -> Message:
    """Returns a `welcome`; a change of one limit leaves the others."""
    limits: dict[str, int] = {**LIMITS, **changes.pop("limits", {})}
    return {
        "type": "welcome",
        "connection_id": "c",
        "principal": "alice",
        "server_time": CREATED,
        "server": {"name": "in-memory", "version": "1"},
        "heartbeat": {"interval_ms": 25_000, "from": "server"},
        "expires_at": timestamp(24 * 3600),
        "limits": limits,
        **changes,
    }


def acknowledgment(request_id: str, **changes: Any) -> Message:
    """Returns event 1."""
    return {
        "type": "acknowledgment",
        "request_id": request_id,
        "seq": 1,
        "status": "queued",
        "created_at": CREATED,
        **changes,
    }


def processing(request_id: str, seq: int, attempt: int = 1, kept: int = 0) -> Message:
    """Returns the `status` with which an attempt begins."""
    return {
        "type": "status",
        "request_id": request_id,
        "seq": seq,
        "status": "processing",
        "attempt": attempt,
        "chunks_kept_to": kept,
    }


def chunk(request_id: str, seq: int, data: Any = None, attempt: int = 1) -> Message:
    """Returns a `chunk`; without data it is its number."""
    return {
        "type": "chunk",
        "request_id": request_id,
        "seq": seq,
        "attempt": attempt,
        "data": seq if data is None else data,
    }


def progress(request_id: str, attempt: int, version: int, **fields: Any) -> Message:
    """Returns a `progress`."""
    return {
        "type": "progress",
        "request_id": request_id,
        "attempt": attempt,
        "version": version,
        "updated_at": CREATED,
        **fields,
    }


def complete(request_id: str, seq: int, result: Any = "done") -> Message:
    """Returns the event of a good end."""
    return {"type": "complete", "request_id": request_id, "seq": seq, "result": result}


def failure(code: str, message: str = "no", **fields: Any) -> Message:
    """Returns an `error`; `retryable`, `retry_after_ms` and `details` stand in its inner error."""
    inner = {
        key: value
        for key in ("retryable", "retry_after_ms", "details")
        if (value := fields.pop(key, None)) is not None
    }
    known = ErrorCode.of(code)
    default = known is not None and ERROR_CODES[known].retryable
    error = {"code": code, "message": message, "retryable": default, **inner}
    return {"type": "error", "error": error, **fields}


def summary(request_id: str, **changes: Any) -> Message:
    """Returns how a request stands."""
    return {
        "id": request_id,
        "action": "work",
        "status": "processing",
        "attempt": 1,
        "created_at": CREATED,
        "updated_at": CREATED,
        "last_seq": 1,
        **changes,
    }


def snapshot(request_id: str, reply_to: str = "attach", **changes: Any) -> Message:
    """Returns a `snapshot`; changes are those of its summary."""
    return {
        "type": "snapshot",
        "request_id": request_id,
        "reply_to": reply_to,
        "request": summary(request_id, **changes),
    }
