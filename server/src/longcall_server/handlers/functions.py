# SPDX-License-Identifier: Apache-2.0
"""What a handler is to a type checker. What no type can say, `register` says when it is called."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypedDict, TypeVar

from longcall_server.handlers.context import RequestContext
from longcall_server.handlers.policy import Backoff
from longcall_server.handlers.sync_context import SyncRequestContext

AsyncHandler = (
    Callable[[RequestContext], Coroutine[Any, Any, object]]
    | Callable[[RequestContext, Any], Coroutine[Any, Any, object]]
)
"""An `async def` that takes the context, and a payload if the action has one."""
SyncHandler = Callable[[SyncRequestContext], object] | Callable[[SyncRequestContext, Any], object]
"""A plain `def` that does."""

AnyHandlerT = TypeVar("AnyHandlerT", bound=AsyncHandler | SyncHandler)
SyncHandlerT = TypeVar("SyncHandlerT", bound=SyncHandler)


class HandlerOptions(TypedDict, total=False):
    """The options of `register` that every handler has; their defaults stand there."""

    durable: bool
    attempts: int
    backoff: Backoff
    deadline: timedelta | None
    retention: timedelta | None
    cancel_grace: timedelta
    sync_window: timedelta | None
    concurrency: int | None
    description: str
