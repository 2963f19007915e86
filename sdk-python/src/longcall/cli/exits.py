# SPDX-License-Identifier: Apache-2.0
"""The exit codes of `longcall`: by the outcome, so that scripts need to read nothing."""

from __future__ import annotations

from collections.abc import Iterable
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
    ValidationError,
    WaitTimeout,
)


class Exit(IntEnum):
    """What an exit code says; its name in lower case is the `outcome` in JSON."""

    COMPLETED = 0
    """The request has its result, or what was asked for is done."""
    FAILED = 1
    """The request failed or was refused; or the file could not be had."""
    USAGE = 2
    """The command line, the payload or the configuration is wrong; nothing was sent."""
    CANCELLED = 3
    """The request was cancelled."""
    TIMEOUT = 4
    """Its deadline passed on the server, or --timeout ended here while it goes on."""
    UNREACHABLE = 5
    """There was no connection, or the server does not let this token in."""
    INTERRUPTED = 130
    """Ctrl-C; the request goes on."""
    TERMINATED = 143
    """SIGTERM; the request goes on."""

    @property
    def outcome(self) -> str:
        """The word for it."""
        return self.name.lower()


MEANINGS = {
    Exit.COMPLETED: "completed",
    Exit.FAILED: "failed or refused; of several requests, not all for one reason",
    Exit.USAGE: "wrong command line, payload or configuration: nothing was sent",
    Exit.CANCELLED: "cancelled",
    Exit.TIMEOUT: "deadline or --timeout passed",
    Exit.UNREACHABLE: "no connection, or not let in",
    Exit.INTERRUPTED: "Ctrl-C (what was sent goes on)",
    Exit.TERMINATED: "SIGTERM (what was sent goes on)",
}
"""What each code means, for people."""


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
        case ValidationError(origin="client"):
            return Exit.USAGE
        case _:
            return Exit.FAILED


def exit_of_all(exits: Iterable[Exit]) -> Exit:
    """Returns the exit code for several requests.

    0 when all completed; where the others all ended in one way, that way's; else `FAILED`.
    """
    kinds = set(exits) - {Exit.COMPLETED}
    if not kinds:
        return Exit.COMPLETED
    return kinds.pop() if len(kinds) == 1 else Exit.FAILED
