# SPDX-License-Identifier: Apache-2.0
"""What an author may get wrong. Each line that says `ignore` is an error for mypy and for pyright,
and both fail when it is none any more. At run time, each of these functions raises.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

from longcall_server import Handlers, RequestContext, SyncRequestContext

app = Handlers()


def coroutine_with_the_context_of_a_thread() -> None:
    def handler(ctx: RequestContext) -> None: ...

    app.register("act")(handler)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


def function_with_the_context_of_a_coroutine() -> None:
    def handler(ctx: RequestContext, payload: int) -> int:
        return payload

    app.register("act")(handler)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


def coroutine_for_a_process() -> None:
    async def handler(ctx: RequestContext) -> None: ...

    register = app.register("act", executor="process")
    register(handler)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


def coroutine_for_a_thread() -> None:
    async def handler(ctx: RequestContext, payload: int) -> int:
        return payload

    register = app.register("act", executor="thread")
    register(handler)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


def no_context() -> None:
    async def handler() -> None: ...

    app.register("act")(handler)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


def payload_first() -> None:
    async def handler(payload: int, ctx: RequestContext) -> int:
        return payload

    app.register("act")(handler)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


def three_parameters() -> None:
    def handler(ctx: SyncRequestContext, a: int, b: int) -> int:
        return a + b

    app.register("act")(handler)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


def payload_by_name_only() -> None:
    async def handler(ctx: RequestContext, *, payload: int) -> int:
        return payload

    app.register("act")(handler)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


def generator() -> None:
    async def handler(ctx: RequestContext) -> AsyncIterator[int]:
        yield 1

    app.register("act")(handler)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


def executor_that_does_not_exist() -> None:
    app.register(  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
        "act",
        executor="fork",  # pyright: ignore[reportArgumentType]
    )


def seconds_for_a_duration() -> None:
    app.register("act", deadline=30)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def option_that_does_not_exist() -> None:
    app.register("act", retries=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def not_a_function() -> None:
    register = app.register("act")
    register(timedelta(seconds=1))  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
