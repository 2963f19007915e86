# SPDX-License-Identifier: Apache-2.0
"""How a handler ended, and what its caller is told of it (PROTOCOL 7)."""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import dataclass
from typing import Any

from pydantic import MISSING, TypeAdapter, ValidationError

from longcall_server.core import errors
from longcall_server.core.codes import ErrorCode
from longcall_server.core.ijson import escape_pointer
from longcall_server.handlers.attempt import AttemptCore
from longcall_server.handlers.encoding import UNSET
from longcall_server.handlers.errors import (
    AttemptFenced,
    HandlerError,
    LogLimitReached,
    NotJson,
    PayloadTooLarge,
    RequestCancelled,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Completed:
    """The handler returned; `result` is JSON text that fits into a message."""

    result: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler failed; `error` is an ErrorInfo as JSON, `retryable` is for the policy."""

    error: str
    retryable: bool
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The handler gave way to a cancel."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The execution was stopped: fenced, handed back or discarded. Nothing of it counts."""


Outcome = Completed | Failed | Cancelled | Stopped


def returned(attempt: AttemptCore, value: object, adapter: TypeAdapter[Any]) -> Outcome:
    """What it means that the handler returned `value`."""
    if attempt.stopped:
        return Stopped()
    try:
        return Completed(attempt.encode_result(value, adapter))
    except PayloadTooLarge as error:
        return _too_large(error)
    except Exception as error:
        # Another attempt would return the same kind of value: it is not repeated.
        return _unexpected(attempt, error, retryable=False)


def raised(attempt: AttemptCore, error: BaseException) -> Outcome:
    """What it means that the handler raised `error`, whatever that is."""
    if attempt.stopped:
        return Stopped()
    try:
        return _raised(attempt, error)
    except Exception as problem:
        # What a handler raises may hold anything, a `__str__` that raises included.
        return _unexpected(attempt, problem, retryable=True)


def payload_refused(error: ValidationError) -> Failed:
    """The failure of a stored request whose payload does not fit its handler (any more)."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    pointer = "".join(f"/{escape_pointer(str(part))}" for part in ("payload", *first["loc"]))
    info = error_info(ErrorCode.VALIDATION_ERROR, first["msg"], {"pointer": pointer})
    return Failed(info, retryable=False)


def log_full(error: LogLimitReached) -> Failed:
    """The request ends because its log is full (PROTOCOL 10.44.3)."""
    return _failed(ErrorCode.RESOURCE_EXHAUSTED, str(error))


def error_info(
    code: ErrorCode, message: str, details: object = UNSET, *, retryable: bool | None = None
) -> str:
    """The JSON text of an ErrorInfo; `retryable` as the code says unless given (PROTOCOL 7)."""
    given = MISSING if details is UNSET else details
    return errors.error_info(code, message, retryable=retryable, details=given).model_dump_json()


def _raised(attempt: AttemptCore, error: BaseException) -> Outcome:
    match error:
        case asyncio.CancelledError() | RequestCancelled() if attempt.cancelled:
            return Cancelled()
        case AttemptFenced():
            return Stopped()
        case HandlerError():
            return _handler_error(attempt, error)
        case PayloadTooLarge():
            return _too_large(error)
        case LogLimitReached():
            return log_full(error)
    return _unexpected(attempt, error, retryable=True)


def _handler_error(attempt: AttemptCore, error: HandlerError) -> Failed:
    code, message, retryable = str(error.code), str(error.message), bool(error.retryable)
    details: dict[str, object] = {"code": code}
    try:
        if error.details is not None:
            details["details"] = error.details
        attempt.encode("details of the HandlerError", details, levels=3)
        attempt.encode("message of the HandlerError", message)
    except NotJson as problem:
        return _unexpected(attempt, problem, retryable=retryable)
    failed = _failed(ErrorCode.HANDLER_ERROR, message, details, retryable=retryable)
    if not attempt.error_fits(failed.error):
        _log.warning("%s: the HandlerError %.100s is too large to send", _name(attempt), code)
        size = len(failed.error.encode())
        return _too_large(PayloadTooLarge("HandlerError", attempt.max_message_bytes, size))
    return failed


def _too_large(error: PayloadTooLarge) -> Failed:
    details = {"limit": error.limit, "size": error.size}
    return _failed(ErrorCode.PAYLOAD_TOO_LARGE, f"{str(error).capitalize()}.", details)


def _unexpected(attempt: AttemptCore, error: BaseException, *, retryable: bool) -> Failed:
    incident = uuid.uuid4().hex
    _log.error("%s failed, incident %s", _name(attempt), incident, exc_info=error)
    failed = _failed(
        ErrorCode.INTERNAL_ERROR, "The handler failed unexpectedly.", {"incident_id": incident}
    )
    return Failed(failed.error, retryable=retryable)


def _failed(
    code: ErrorCode, message: str, details: object = UNSET, *, retryable: bool = False
) -> Failed:
    return Failed(error_info(code, message, details, retryable=retryable), retryable=retryable)


def _name(attempt: AttemptCore) -> str:
    call = attempt.call
    return f"handler {call.action}, request {call.request_id}, attempt {call.attempt}"
