# SPDX-License-Identifier: Apache-2.0
"""Everything that longcall raises.

::

    LongcallError
    ├── ConfigurationError          an option or argument of the client cannot be used (ValueError)
    ├── ConnectionClosed            the client is closed for good: nothing more can be asked
    │   └── Forked                  this process was forked from the client's: connect again
    ├── Detached                    the handle was detached by the application
    ├── QueueFull                   too much waits in this client to be sent
    ├── WaitTimeout                 the caller's patience ended; the request goes on (TimeoutError)
    ├── DownloadError               a file did not arrive whole
    ├── InvalidResult               a result or chunk does not fit the types of its `Action`
    └── RequestError                a request or a question about one was refused, or failed
        ├── ValidationError         VALIDATION_ERROR
        ├── UnauthorizedError       UNAUTHORIZED
        ├── ForbiddenError          FORBIDDEN
        ├── NotFoundError           NOT_FOUND
        ├── ConflictError           CONFLICT
        ├── UnknownActionError      UNKNOWN_ACTION
        ├── UnsupportedTypeError    UNSUPPORTED_TYPE
        ├── PayloadTooLargeError    PAYLOAD_TOO_LARGE
        ├── RateLimitedError        RATE_LIMITED
        ├── ResourceExhaustedError  RESOURCE_EXHAUSTED
        ├── RequestTimeoutError     TIMEOUT: the deadline of the request passed on the server
        ├── RequestCancelledError   CANCELLED
        ├── UnavailableError        UNAVAILABLE
        ├── HandlerError            HANDLER_ERROR: the handler failed of its own will
        └── InternalError           INTERNAL_ERROR, and every code that is not known here

What tells two errors apart is their class and their data; the text is for people. PROTOCOL 9.8.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from .codes import ERROR_CODES, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import JsonValue

ErrorOrigin = Literal["server", "client"]
"""Who says so: the server, or this SDK before anything was sent. PROTOCOL 9.8.3."""


class LongcallError(Exception):
    """Raised by longcall; the root of all its errors."""

    def _with(self, **changes: Any) -> Self:
        """Returns a copy without traceback: one failure may be raised in many places."""
        copy = type(self).__new__(type(self))
        copy.__dict__.update(self.__dict__, **changes)
        copy.args = self.args
        return copy

    def __reduce__(self) -> tuple[Callable[..., LongcallError], tuple[Any, ...]]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(
    cls: type[LongcallError], args: tuple[Any, ...], fields: dict[str, Any]
) -> LongcallError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(fields)
    return error


class ConfigurationError(LongcallError, ValueError):
    """Raised when an option or an argument of the client cannot be used."""


class ConnectionClosed(LongcallError):
    """Raised when the client is closed for good, by the application or because it was told to stop.

    Attributes:
        code: The close code that said stop (4400, 4401, 4403, …); None when the application closed.
        reason: Why, in words.
        request_id: The request that was waited for, if any.
        outcome_unknown: True when that request was sent and not answered. PROTOCOL 9.5.7.
    """

    def __init__(
        self,
        code: int | None,
        reason: str,
        *,
        request_id: str | None = None,
        outcome_unknown: bool = False,
    ) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
        self.request_id = request_id
        self.outcome_unknown = outcome_unknown

    def __str__(self) -> str:
        text = "the client is closed"
        if self.code is not None:
            text += f" (close code {self.code})"
        return f"{text}: {self.reason}" if self.reason else text


class Forked(ConnectionClosed):
    """Raised by a client of `longcall.sync` in a child of the process that started it.

    Its thread and its connection are the parent's, which are unharmed: call `connect` again.
    """

    def __init__(self) -> None:
        super().__init__(None, "it belongs to a parent of this process; call connect() again here")


class Detached(LongcallError):
    """Raised by a handle that the application detached; the request itself goes on.

    Attributes:
        request_id: The request; `client.attach(request_id)` gives a new handle.
    """

    def __init__(self, request_id: str) -> None:
        super().__init__(request_id)
        self.request_id = request_id

    def __str__(self) -> str:
        return f"this handle of request {self.request_id} was detached"


class QueueFull(LongcallError):
    """Raised when too much already waits to be sent in this client. PROTOCOL 9.5.4.

    Attributes:
        request_id: The request that was not taken; nothing of it was sent.
        waiting: How many requests wait.
        waiting_bytes: How many bytes they have.
    """

    def __init__(self, request_id: str, waiting: int, waiting_bytes: int) -> None:
        super().__init__(request_id, waiting, waiting_bytes)
        self.request_id = request_id
        self.waiting = waiting
        self.waiting_bytes = waiting_bytes

    def __str__(self) -> str:
        return (
            f"{self.waiting} requests of {self.waiting_bytes} bytes already wait to be sent; "
            f"request {self.request_id} is not taken"
        )


class WaitTimeout(LongcallError, TimeoutError):
    """Raised when the caller's `timeout` ends before the answer. The request is not cancelled.

    Attributes:
        request_id: The request; `client.attach(request_id)` comes back to it. None when no
            request was waited for.
        sent: False when the request was still waiting here: it is withdrawn and never runs.
        acknowledged: True when the server is known to have stored it.
    """

    def __init__(
        self, request_id: str | None = None, *, sent: bool = True, acknowledged: bool = False
    ) -> None:
        super().__init__(request_id)
        self.request_id = request_id
        self.sent = sent
        self.acknowledged = acknowledged

    def __str__(self) -> str:
        if self.request_id is None:
            return "not answered within the timeout"
        if not self.sent:
            return f"request {self.request_id} was not sent within the timeout, and is withdrawn"
        return f"request {self.request_id} is not finished within the timeout; it goes on"


class DownloadError(LongcallError):
    """Raised when a file did not arrive whole: cut short, or other bytes than announced."""


class InvalidResult(LongcallError):
    """Raised when a result or a chunk does not fit the types of its `Action`.

    The request itself is not touched by it: it has completed, or goes on.

    Attributes:
        action: The name of the action.
        request_id: The request.
        part: `"result"` or `"chunk"`.
        pointer: The JSON Pointer of the first place that does not fit; `""` is all of it.
        problem: What is wrong there.
        value: The result, or the data of the chunk, as it arrived.
    """

    def __init__(
        self,
        problem: str,
        *,
        action: str,
        request_id: str,
        part: Literal["result", "chunk"],
        pointer: str,
        value: JsonValue,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.action = action
        self.request_id = request_id
        self.part: Literal["result", "chunk"] = part
        self.pointer = pointer
        self.value = value

    def __str__(self) -> str:
        place = f" at {self.pointer}" if self.pointer else ""
        return (
            f"the {self.part} of {self.action} does not fit its type{place}: {self.problem} "
            f"(request {self.request_id})"
        )


class RequestError(LongcallError):
    """Raised when a request, or a question about one, was refused or failed. PROTOCOL 7, 9.8.

    Attributes:
        code: The code on the wire, e.g. `"NOT_FOUND"`; compare with `longcall.ErrorCode`.
        message: A sentence for people.
        retryable: In the end of a request: may succeed under a new id; in a refusal: under the
            same id. PROTOCOL 10.50.
        retry_after: How long to wait before trying again, in seconds, if the server said so.
        details: What a program may need, fixed per code (PROTOCOL 7.2); None if absent.
        request_id: The request; None when the error is about none.
        attempt: The newest attempt that the handle saw; 0 before the first.
        executed: True when a quick handler ran and failed. PROTOCOL 10.9.
        outcome_unknown: True when the request may or may not have been stored or run.
        origin: `"server"`, or `"client"` when this SDK found it before sending.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        retryable: bool | None = None,
        retry_after: float | None = None,
        details: JsonValue = None,
        request_id: str | None = None,
        attempt: int = 0,
        executed: bool = False,
        outcome_unknown: bool = False,
        origin: ErrorOrigin = "server",
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        known = ErrorCode.of(code)
        default = ERROR_CODES[known].retryable if known is not None else False
        self.retryable: bool = default if retryable is None else retryable
        self.retry_after = retry_after
        self.details = details
        self.request_id = request_id
        self.attempt = attempt
        self.executed = executed
        self.outcome_unknown = outcome_unknown
        self.origin: ErrorOrigin = origin

    def __str__(self) -> str:
        text = f"{self.code}: {self.message}" if self.message else self.code
        notes = []
        if self.request_id is not None:
            notes.append(f"request {self.request_id}")
        if self.attempt:
            notes.append(f"attempt {self.attempt}")
        if self.outcome_unknown:
            notes.append("outcome unknown")
        return f"{text} ({', '.join(notes)})" if notes else text


class ValidationError(RequestError):
    """Raised when a message or payload does not fit; `details["pointer"]` names the place."""

    def __str__(self) -> str:
        pointer = self.details.get("pointer") if isinstance(self.details, dict) else None
        return f"{super().__str__()} at {pointer}" if pointer else super().__str__()


class UnauthorizedError(RequestError):
    """Raised when the token is missing, refused, expired, or names another identity."""


class ForbiddenError(RequestError):
    """Raised when the identity is known and lacks the permission."""


class NotFoundError(RequestError):
    """Raised when there is no such request of this owner: never was, or is no longer."""


class ConflictError(RequestError):
    """Raised when the id stands for another request, or its log has expired."""


class UnknownActionError(RequestError):
    """Raised when no handler is registered under the action."""


class UnsupportedTypeError(RequestError):
    """Raised when the server does not know a type of message that this SDK sent."""


class PayloadTooLargeError(RequestError):
    """Raised when something is over the limit; `details` has `limit` and `size` in bytes."""


class RateLimitedError(RequestError):
    """Raised when the server had too many messages; `retry_after` says how long to wait."""


class ResourceExhaustedError(RequestError):
    """Raised when a quota is used up: requests in flight, the bytes of a log."""


class RequestTimeoutError(RequestError):
    """Raised when the `deadline` of the request passed before it was finished."""


class RequestCancelledError(RequestError):
    """Raised when the request was cancelled; `details["reason"]` is the first reason given."""


class UnavailableError(RequestError):
    """Raised when the server could not answer truthfully at that moment."""


class HandlerError(RequestError):
    """Raised when the handler failed of its own will; `details["code"]` is its own code."""


class InternalError(RequestError):
    """Raised when something unexpected broke, or for a code that is not known here."""


ERROR_CLASSES: Final[Mapping[ErrorCode, type[RequestError]]] = MappingProxyType(
    {
        ErrorCode.VALIDATION_ERROR: ValidationError,
        ErrorCode.UNAUTHORIZED: UnauthorizedError,
        ErrorCode.FORBIDDEN: ForbiddenError,
        ErrorCode.NOT_FOUND: NotFoundError,
        ErrorCode.CONFLICT: ConflictError,
        ErrorCode.UNKNOWN_ACTION: UnknownActionError,
        ErrorCode.UNSUPPORTED_TYPE: UnsupportedTypeError,
        ErrorCode.PAYLOAD_TOO_LARGE: PayloadTooLargeError,
        ErrorCode.RATE_LIMITED: RateLimitedError,
        ErrorCode.RESOURCE_EXHAUSTED: ResourceExhaustedError,
        ErrorCode.TIMEOUT: RequestTimeoutError,
        ErrorCode.CANCELLED: RequestCancelledError,
        ErrorCode.UNAVAILABLE: UnavailableError,
        ErrorCode.HANDLER_ERROR: HandlerError,
        ErrorCode.INTERNAL_ERROR: InternalError,
    }
)
"""The class for each code."""


def request_error(code: str, message: str, **fields: Any) -> RequestError:
    """Returns the error of the class that stands for `code`; the raw code is kept.

    A code that a later version added becomes `InternalError`, with the `retryable` that came with
    it. PROTOCOL 7.1.4. `fields` are those of `RequestError`.
    """
    known = ErrorCode.of(code)
    cls = InternalError if known is None else ERROR_CLASSES[known]
    return cls(message, code=code, **fields)
