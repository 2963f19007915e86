# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with text that should be a message.

    ProtocolError
    ├── MessageError    a client's message that is refused; knows which message it was
    └── JsonDefect      a JSON text outside of I-JSON or too deep; knows where

Refusals of the protocol are `ErrorInfo`s (generated); `error_info` fills in what the code table
says. Errors never carry the offending text itself: it may hold a token.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from pydantic import MISSING

from longcall_server.core.codes import ERROR_CODES, ErrorCode
from longcall_server.core.messages import ErrorInfo

MAX_TEXT_BYTES: Final = 1_536
"""The most that a message or a pointer of ours takes: both fit into the smallest message."""


class ProtocolError(Exception):
    """Anything that breaks the protocol."""


class JsonDefect(ProtocolError):
    """A JSON text that is not I-JSON or nests too deep (PROTOCOL 2)."""

    def __init__(self, pointer: str | None, problem: str) -> None:
        self.pointer = pointer
        """The JSON Pointer of the place; None if the text is not JSON at all."""
        self.problem = problem
        super().__init__(problem if pointer is None else f"{pointer}: {problem}")


@dataclass(frozen=True, slots=True)
class Answered:
    """Which message a refusal answers (PROTOCOL 10.2, 10.46); what cannot be read is None."""

    type: str | None = None
    request_id: str | None = None
    list_id: str | None = None


class MessageError(ProtocolError):
    """A message of a client that cannot be taken; `answered` says which one it was."""

    def __init__(
        self,
        code: ErrorCode,
        problem: str,
        answered: Answered = Answered(),
        *,
        pointer: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        self.code = code
        self.problem = problem
        self.answered = answered
        self.pointer = pointer
        self.details = details
        place = "" if pointer is None else f" at {pointer!r}"
        super().__init__(f"{code}{place}: {problem}")

    @property
    def info(self) -> ErrorInfo:
        """The error as it is sent."""
        details = dict(self.details or {})
        if self.pointer is not None:
            details["pointer"] = sendable_pointer(self.pointer)
        return error_info(self.code, self.problem, details=details or MISSING)


def error_info(
    code: ErrorCode,
    message: str,
    *,
    retryable: bool | None = None,
    retry_after_ms: int | None = None,
    details: Any = MISSING,
) -> ErrorInfo:
    """Returns an ErrorInfo; `retryable` is what the table of codes says unless given."""
    return ErrorInfo(
        code=code.value,
        message=message,
        retryable=ERROR_CODES[code].retryable if retryable is None else retryable,
        retry_after_ms=MISSING if retry_after_ms is None else retry_after_ms,
        details=details,
    )


def sendable_pointer(pointer: str) -> str:
    """The pointer, or that of the nearest enclosing value where it is too long to be sent.

    Keys can be as long as a message, and no answer may be longer than one (PROTOCOL 10.44.1).
    """
    while len(json.dumps(pointer)) > MAX_TEXT_BYTES:
        pointer = pointer.rpartition("/")[0]
    return pointer


def sendable_text(text: str) -> str:
    """The text, cut where it is too long to be sent: validators may quote what they were given."""
    if len(json.dumps(text)) <= MAX_TEXT_BYTES:
        return text
    # Each character takes twelve bytes at most, as a pair of escapes.
    return text[: MAX_TEXT_BYTES // 12 - 1] + "…"
