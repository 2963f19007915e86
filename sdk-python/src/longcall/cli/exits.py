# SPDX-License-Identifier: Apache-2.0
"""The exit codes of `longcall`: by the outcome, so that scripts need to read nothing."""

from __future__ import annotations

from enum import IntEnum

from ..errors import (
    ConfigurationError,
    ConnectionClosed,
    ForbiddenError,
    LongcallError,
    RequestCancelledError,
    RequestTimeoutError,
    UnauthorizedError,
    UnavailableError,
    WaitTimeout,
)


class Exit(IntEnum):
    """What an exit code says."""

    COMPLETED = 0
    """The request has its result, or what was asked for is done."""
    FAILED = 1
    """The request failed or was refused; or the file could not be had."""
    USAGE = 2
    """The command line is wrong."""
    CANCELLED = 3
    """The request was cancelled."""
    TIMEOUT = 4
    """Its deadline passed on the server, or --timeout ended here while it goes on."""
    UNREACHABLE = 5
    """There was no connection, or the server does not let this token in."""
    INTERRUPTED = 130
    """Ctrl-C; the request goes on."""


def exit_of(error: LongcallError) -> Exit:
    """Returns the exit code for an error."""
    match error:
        case RequestCancelledError():
            return Exit.CANCELLED
        case RequestTimeoutError() | WaitTimeout():
            return Exit.TIMEOUT
        case ConnectionClosed() | UnauthorizedError() | ForbiddenError() | UnavailableError():
            return Exit.UNREACHABLE
        case ConfigurationError():
            return Exit.USAGE
        case _:
            return Exit.FAILED
