# SPDX-License-Identifier: Apache-2.0
"""Writes whose outcome is not known are repeated until it is: the one place that does so."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

from longcall_server.stores.base import (
    OutcomeUnknown,
    StoreUnavailable,
    SubmitOutcome,
    Submitted,
)

_log = logging.getLogger(__name__)
_FIRST_WAIT = 0.05
_LONGEST_WAIT = 2.0

T = TypeVar("T")


async def until_known(
    what: str,
    write: Callable[[], Awaitable[T]],
    *,
    patience_ms: float = math.inf,
    wait_for_store: Callable[[], bool] = lambda: True,
    is_told: Callable[[T], bool] = lambda _: True,
) -> T:
    """Repeats one idempotent write while its outcome is unknown (PROTOCOL 10.3).

    `is_told` says whether an answer tells what became of the tries before it. It ends with the
    write's own answer or error, or when its task is cancelled. Raises `StoreUnavailable` only if
    nothing can have been written, once `wait_for_store()` is false or the patience is over;
    `OutcomeUnknown` when nobody knows, and the patience is over or the answer does not tell.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + patience_ms / 1000
    wait = _FIRST_WAIT
    level = logging.WARNING
    unknown = False
    while True:
        try:
            answer = await write()
            if unknown and not is_told(answer):
                break
            return answer
        except OutcomeUnknown as error:
            unknown = True
            if loop.time() >= ends_at:
                raise
            _log.log(level, "%s is repeated: %r", what, error)
        except StoreUnavailable as error:
            late = loop.time() >= ends_at
            if unknown and late:
                raise OutcomeUnknown from None
            if not unknown and (late or not wait_for_store()):
                raise
            _log.log(level, "%s is repeated: %r", what, error)
        level = logging.DEBUG  # said once: many may wait for the same disk
        await asyncio.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT)
    raise OutcomeUnknown(f"{what} may have been done, and undone since")


async def submit_until_known(
    what: str,
    submit: Callable[[], Awaitable[Submitted]],
    *,
    patience_ms: float = math.inf,
    wait_for_store: Callable[[], bool] = lambda: True,
) -> Submitted:
    """`until_known` for a submit.

    That its id has expired does not tell whether it was stored: it may have run, ended and been
    removed between two tries.
    """
    return await until_known(
        what,
        submit,
        patience_ms=patience_ms,
        wait_for_store=wait_for_store,
        is_told=lambda submitted: submitted.outcome is not SubmitOutcome.EXPIRED,
    )
