# SPDX-License-Identifier: Apache-2.0
"""What a handler raises, and what its context raises.

Exception
├── RegistrationError    a handler cannot be registered as written
├── HandlerError         how a handler fails of its own will
├── NotJson (ValueError) a value that no JSON message can carry exactly
├── PayloadTooLarge      a write over a size limit of the protocol
├── LogLimitReached      the request's log is full; the request ends
├── RequestCancelled     raised by `raise_if_cancelled`
└── AttemptFenced        this attempt is no longer the current one; nothing it writes counts
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longcall_server.handlers.encoding import JsonValue


class RegistrationError(TypeError):
    """The handler cannot be registered; the text says what to change."""


class HandlerError(Exception):
    """Ends the attempt with HANDLER_ERROR (PROTOCOL 7).

    `code` is the handler's own string and reaches the caller as `details.code`, `details` as
    `details.details`. With `retryable` the request is retried by its policy; without, it ends.
    """

    def __init__(
        self, code: str, message: str, retryable: bool = False, details: JsonValue = None
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.details = details

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class NotJson(ValueError):
    """The value cannot be sent as JSON exactly: NaN, an unknown type, a too large integer."""


class PayloadTooLarge(Exception):
    """A result, chunk, checkpoint or progress is over a limit, both in bytes (PROTOCOL 10.44)."""

    def __init__(self, what: str, limit: int, size: int) -> None:
        super().__init__(what, limit, size)
        self.what = what
        self.limit = limit
        self.size = size

    def __str__(self) -> str:
        return f"the {self.what} takes {self.size} bytes, the limit is {self.limit}"


class LogLimitReached(Exception):
    """The log of the request is full; it ends with RESOURCE_EXHAUSTED (PROTOCOL 10.44)."""


class RequestCancelled(Exception):
    """The request was cancelled; let it pass through."""


class AttemptFenced(Exception):
    """The attempt lost its right to write (PROTOCOL 10.16); let it pass through."""
