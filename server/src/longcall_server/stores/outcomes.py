# SPDX-License-Identifier: Apache-2.0
"""Writes whose outcome is not known are repeated until it is: the one place that does so."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

from longcall_server.stores.base import OutcomeUnknown, StoreUnavailable

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
) -> T:
    """Repeats one idempotent write while its outcome is unknown (PROTOCOL 10.3).

    It ends with the write's own answer or error, or when its task is cancelled. Raises
    `StoreUnavailable` only if nothing can have been written, once `wait_for_store()` is false or
    the patience is over; `OutcomeUnknown` when the patience is over and nobody knows.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + patience_ms / 1000
    wait = _FIRST_WAIT
    level = logging.WARNING
    unknown = False
    while True:
        try:
            return await write()
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
