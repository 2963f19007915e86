# SPDX-License-Identifier: Apache-2.0
"""How often an action is tried, and its durations in the milliseconds that stores count."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from longcall_server.core.lifecycle import RetryPolicy
from longcall_server.handlers.errors import RegistrationError


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before another attempt: full jitter under a bound that doubles."""

    initial: timedelta = timedelta(seconds=1)
    """Bound of the wait after the first failure."""
    maximum: timedelta = timedelta(seconds=60)
    """Bound of every wait."""


DEFAULT_BACKOFF: Final = Backoff()


def retry_policy(action: str, attempts: int, backoff: Backoff) -> RetryPolicy:
    """How often an action is tried; raises `RegistrationError`."""
    if attempts < 1:
        raise RegistrationError(f"{action}: attempts must be 1 or more, not {attempts!r}")
    initial = milliseconds(action, "backoff.initial", backoff.initial)
    maximum = milliseconds(action, "backoff.maximum", backoff.maximum)
    assert initial is not None
    assert maximum is not None
    return RetryPolicy(attempts, initial, maximum)


def milliseconds(
    action: str,
    option: Literal[
        "deadline", "retention", "cancel_grace", "sync_window", "backoff.initial", "backoff.maximum"
    ],
    value: timedelta | None,
    *,
    least: int = 0,
) -> int | None:
    """A duration of at least `least` milliseconds; raises `RegistrationError`."""
    if value is None:
        return None
    if not isinstance(value, timedelta):
        raise RegistrationError(f"{action}: {option} must be a timedelta, not {value!r}")
    count = value // timedelta(milliseconds=1)
    if count < least:
        raise RegistrationError(f"{action}: {option} must be {least} ms or more, not {count} ms")
    return count
