# SPDX-License-Identifier: Apache-2.0
"""Handlers that are an `async def`: they run on the event loop, and a cancel cancels their task."""

from __future__ import annotations

from typing import Any

from longcall_server.executor.outcomes import Outcome, returned
from longcall_server.handlers.attempt import Attempt
from longcall_server.handlers.context import RequestContext
from longcall_server.handlers.registry import Registration


class CoroutineRun:
    """One call of a coroutine function."""

    def __init__(self, registration: Registration, attempt: Attempt, params: Any) -> None:
        self._registration = registration
        self._attempt = attempt
        self._arguments = (params,) if registration.takes_payload else ()

    async def outcome(self) -> Outcome:
        """Awaits the handler."""
        context = RequestContext(self._attempt)
        value = await self._registration.function(context, *self._arguments)
        return returned(self._attempt, value, self._registration.result_adapter)

    def interrupt(self) -> bool:
        """Whoever awaits `outcome` is to be cancelled."""
        return False

    def stop(self) -> bool:
        """Whoever awaits `outcome` is to be cancelled."""
        return False
