# SPDX-License-Identifier: Apache-2.0
"""Values as words and as JSON: what the command prints, whoever reads it."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import UTC, datetime
from typing import Any, TextIO

from ..errors import ConnectionClosed, LongcallError, RequestError, WaitTimeout
from ..events import ClientState, Event, RequestSummary

CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Returns a text of a server or handler without what a terminal would obey."""
    return CONTROLS.sub(
        lambda found: " " if found[0] in "\t\n\r" else "\N{REPLACEMENT CHARACTER}", text
    )


def to_json(value: object, *, indent: int | None = None, stream: TextIO | None = None) -> str:
    """Returns JSON that a terminal obeys nothing of, and that the stream's encoding can hold."""
    encoding = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "")
    text = json.dumps(value, ensure_ascii=encoding != "utf8", indent=indent)
    # json escapes the controls below 0x20 by itself; outside of strings there are line feeds only.
    return re.sub(r"[\x7f-\x9f\u2028-\u202e\u2066-\u2069]", lambda c: f"\\u{ord(c[0]):04x}", text)


def fields_of(value: Any) -> dict[str, Any]:
    """Returns a dataclass of the SDK as the wire names its fields; absent ones left out."""
    pairs = ((one.name, getattr(value, one.name)) for one in dataclasses.fields(value))
    return {name: _plain(field) for name, field in pairs if field is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        utc = value.astimezone(UTC)
        return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"
    return fields_of(value) if dataclasses.is_dataclass(value) else value


def event_fields(event: Event) -> dict[str, Any]:
    """Returns an event as one JSON object, with its `type` first."""
    fields = fields_of(event)
    if hasattr(event, "data"):
        fields["data"] = event.data  # null is a value
    return {"type": type(event).__name__.lower(), **fields}


def error_fields(error: LongcallError | None, text: str) -> dict[str, Any]:
    """Returns an error as a JSON object; its code is that of the wire, or the name of its class."""
    match error:
        case RequestError():
            fields: dict[str, Any] = {"code": error.code, "message": error.message}
            fields |= {"retryable": error.retryable, "retry_after": error.retry_after}
            fields |= {"details": error.details, "attempt": error.attempt, "origin": error.origin}
            if error.outcome_unknown:
                fields["outcome_unknown"] = True
            return {name: value for name, value in fields.items() if value is not None}
        case ConnectionClosed(code=code) if code is not None:
            return {"code": "ConnectionClosed", "message": text, "close_code": code}
        case WaitTimeout(sent=sent, acknowledged=acknowledged):
            return {
                "code": "WaitTimeout",
                "message": text,
                "sent": sent,
                "acknowledged": acknowledged,
            }
        case _:
            name = "OSError" if error is None else type(error).__name__
            return {"code": name, "message": text}


def error_text(error: LongcallError) -> str:
    """Returns an error in a line for people; its request is named beside it."""
    if isinstance(error, RequestError):
        pointer = error.details.get("pointer") if isinstance(error.details, dict) else None
        own = error.details.get("code") if isinstance(error.details, dict) else None
        code = f"{error.code} {own}" if isinstance(own, str) else error.code
        text = f"{code}: {error.message}" if error.message else code
        text += f" (at {pointer})" if pointer else ""
        text += f" (attempt {error.attempt})" if error.attempt > 1 else ""
        return clean(text)
    return clean(str(error))


def state_text(state: ClientState, retry_in: float | None = None) -> str:
    """Returns a state of the connection in words; empty when all is well."""
    match state.name:
        case "reconnecting":
            why = f" ({clean(state.reason)})" if state.reason else ""
            wait = state.retry_in if retry_in is None else retry_in
            return f"connection lost; next try in {wait or 0:.1f} s{why}"
        case "draining":
            return "the server restarts; moving over"
        case _:
            return ""


def summary_columns(request: RequestSummary) -> tuple[str, ...]:
    """Returns what a list tells of a request: id, when, status, action, percentage."""
    progress = request.progress
    percentage = None if progress is None else progress.percentage
    return (
        request.id,
        f"{request.created_at.astimezone():%Y-%m-%d %H:%M:%S}",
        clean(request.status),
        clean(request.action),
        "" if percentage is None else f"{percentage:.0f} %",
    )


def clock(seconds: float) -> str:
    """Returns a time that has passed: `0:07`, `12:04`, `1:00:00`, `3 d 4:00:00`."""
    whole = int(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    short = f"{minutes}:{whole % 60:02d}"
    long = f"{hours}:{minutes:02d}:{whole % 60:02d}"
    return f"{days} d {long}" if days else long if hours else short
