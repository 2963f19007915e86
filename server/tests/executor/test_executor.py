# SPDX-License-Identifier: Apache-2.0
import asyncio
import contextlib
import json
import logging
import math
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from executor_harness import LIMIT, Writer, failure
from pydantic import BaseModel, field_validator

from longcall_server import (
    AttemptFenced,
    HandlerError,
    Handlers,
    JsonValue,
    PayloadTooLarge,
    RequestCancelled,
    RequestContext,
    SyncRequestContext,
)
from longcall_server.executor import (
    Cancelled,
    Completed,
    Execution,
    Executor,
    Failed,
    Outcome,
    Stopped,
)
from longcall_server.handlers import Call
from longcall_server.handlers.attempt import Bounds
from longcall_server.stores.base import Owner


@pytest_asyncio.fixture
async def executor() -> AsyncIterator[Executor]:
    executor = Executor(bounds=Bounds(max_message_bytes=LIMIT), threads=2, clock=lambda: 1000)
    yield executor
    await executor.close(grace=0.2)


@pytest.fixture
def writer() -> Writer:
    return Writer()


Start = Callable[..., Execution]
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def start(executor: Executor, writer: Writer) -> Start:
    def start(function: Callable[..., Any], payload: str = "null", **call: Any) -> Execution:
        handlers = Handlers()
        handlers.register("act")(function)
        registration = handlers.get("act")
        assert registration is not None
        fields: dict[str, Any] = {"attempt": 1, "owner": Owner("t", "s")} | call
        return executor.start(registration, Call("r-1", "act", payload, **fields), writer)

    return start


async def test_a_coroutine_returns_its_result(start: Start) -> None:
    async def double(ctx: RequestContext, n: int) -> int:
        return 2 * n

    assert await start(double, "21").outcome() == Completed("42")


async def test_a_plain_function_runs_in_a_thread(start: Start) -> None:
    def where(ctx: SyncRequestContext) -> bool:
        return threading.current_thread() is threading.main_thread()

    assert await start(where).outcome() == Completed("false")


@pytest.mark.clause("4.4.6", "4.4.7", "5.5.2")
async def test_the_context_tells_of_the_call(start: Start) -> None:
    async def tell(ctx: RequestContext) -> JsonValue:
        assert ctx.deadline is not None
        return {
            "ids": [ctx.request_id, ctx.action, ctx.tenant_id, ctx.sub],
            "attempt": ctx.attempt,
            "metadata": dict(ctx.metadata),
            "trace": ctx.traceparent,
            "checkpoint": ctx.checkpoint,
            "kept": ctx.chunks_kept_to,
            "times": [ctx.created_at.isoformat(), ctx.deadline.isoformat()],
        }

    execution = start(
        tell,
        attempt=2,
        metadata={"k": "v"},
        traceparent=TRACE,
        checkpoint='{"page":3}',
        chunks_kept_to=7,
        created_at=1500,
        deadline_at=2500,
    )
    outcome = await execution.outcome()
    assert isinstance(outcome, Completed)
    assert json.loads(outcome.result) == {
        "ids": ["r-1", "act", "t", "s"],
        "attempt": 2,
        "metadata": {"k": "v"},
        "trace": TRACE,
        "checkpoint": {"page": 3},
        "kept": 7,
        "times": ["1970-01-01T00:00:01.500000+00:00", "1970-01-01T00:00:02.500000+00:00"],
    }


@pytest.mark.parametrize("given", [None, "not a trace", TRACE.upper()])
async def test_a_trace_that_cannot_be_read_is_none_of_the_handlers(
    start: Start, given: str | None
) -> None:
    def tell(ctx: SyncRequestContext) -> JsonValue:
        return ctx.traceparent

    assert await start(tell, traceparent=given).outcome() == Completed("null")
    assert await start(tell, traceparent=TRACE).outcome() == Completed(f'"{TRACE}"')


@pytest.mark.clause("7.1.1", "7.2.1", "7.2.2", "10.50.7")
async def test_a_handler_error_carries_its_own_code_and_details(start: Start) -> None:
    async def fail(ctx: RequestContext) -> None:
        raise HandlerError("no_such_source", "There is no such source.", True, {"name": "x"})

    outcome = await start(fail).outcome()
    assert isinstance(outcome, Failed)
    assert outcome.retryable
    assert failure(outcome) == {
        "code": "HANDLER_ERROR",
        "message": "There is no such source.",
        "retryable": True,
        "details": {"code": "no_such_source", "details": {"name": "x"}},
    }


@pytest.mark.clause("7.2.3", "7.2.4")
@pytest.mark.parametrize("in_thread", [False, True])
async def test_an_unexpected_exception_keeps_its_text_in_the_log(
    start: Start, caplog: pytest.LogCaptureFixture, in_thread: bool
) -> None:
    async def coroutine(ctx: RequestContext) -> None:
        raise RuntimeError("the password is 1234")

    def thread(ctx: SyncRequestContext) -> None:
        raise RuntimeError("the password is 1234")

    outcome = await start(thread if in_thread else coroutine).outcome()
    assert isinstance(outcome, Failed)
    assert outcome.retryable
    info = failure(outcome)
    assert info["code"] == "INTERNAL_ERROR"
    assert "1234" not in outcome.error
    assert info["details"]["incident_id"] in caplog.text
    assert "the password is 1234" in caplog.text


class Mute(Exception):
    """Cannot even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Foreign(BaseException):
    """Passes by every `except Exception`."""


Untyped: Any = HandlerError
"""As somebody may call it who uses no type checker."""


class Hollow(HandlerError):
    """Has nothing of what a HandlerError has."""

    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        MemoryError(),
        RecursionError(),
        StopIteration(),
        StopAsyncIteration(),
        asyncio.CancelledError(),
        RequestCancelled("nobody asked for it"),
        Foreign(),
        Mute(),
        Hollow(),
        Untyped(Mute(), "m"),
        Untyped("c", Mute()),
        HandlerError("c", "a lone surrogate: \ud800"),
        Untyped("c", "m", details=object()),
        ExceptionGroup("several", [ValueError("one"), HandlerError("c", "m")]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_handler_raises_ends_its_attempt_and_nothing_else(
    start: Start, error: BaseException
) -> None:
    async def coroutine(ctx: RequestContext) -> None:
        raise error

    def thread(ctx: SyncRequestContext) -> None:
        raise error

    for function in (coroutine, thread):
        outcome = await start(function).outcome()
        assert failure(outcome)["code"] == "INTERNAL_ERROR"
        assert failure(outcome)["message"] == "The handler failed unexpectedly."
        assert failure(outcome)["details"]["incident_id"]


async def test_a_handler_error_with_values_of_other_types_is_told_as_text(start: Start) -> None:
    async def fail(ctx: RequestContext) -> None:
        raise Untyped(404, None, "yes")

    outcome = await start(fail).outcome()
    assert isinstance(outcome, Failed)
    assert outcome.retryable
    assert failure(outcome) == {
        "code": "HANDLER_ERROR",
        "message": "None",
        "retryable": True,
        "details": {"code": "404"},
    }


@pytest.mark.clause("6.5.2", "7.2.1", "10.44.2")
async def test_a_result_over_the_limit_fails_with_both_sizes(start: Start) -> None:
    async def large(ctx: RequestContext) -> str:
        return "x" * LIMIT

    outcome = await start(large).outcome()
    assert failure(outcome)["code"] == "PAYLOAD_TOO_LARGE"
    details = failure(outcome)["details"]
    assert details["limit"] == LIMIT
    assert details["size"] > LIMIT


@pytest.mark.clause("6.5.2", "10.44.2")
async def test_writes_over_the_limit_fail_in_the_handlers_call(
    start: Start, writer: Writer
) -> None:
    big = "x" * LIMIT

    async def large(ctx: RequestContext) -> int:
        refused = 0
        for write in (
            lambda: ctx.chunk(big),
            lambda: ctx.chunk(1, checkpoint=big),
            lambda: ctx.save_checkpoint(big),
            lambda: ctx.progress(details=big),
            lambda: ctx.progress(message=big),
        ):
            with pytest.raises(PayloadTooLarge) as caught:
                await write()
            refused += caught.value.limit == LIMIT < caught.value.size + 512
        return refused

    assert await start(large).outcome() == Completed("5")
    assert (writer.chunks, writer.checkpoints, writer.reports) == ([], [], [])


async def test_a_chunk_too_large_that_is_not_caught_ends_the_request(start: Start) -> None:
    def large(ctx: SyncRequestContext) -> None:
        ctx.chunk("x" * LIMIT)

    outcome = await start(large).outcome()
    assert failure(outcome)["code"] == "PAYLOAD_TOO_LARGE"
    assert isinstance(outcome, Failed)
    assert not outcome.retryable


@pytest.mark.clause("2.3.1")
async def test_nan_is_a_clear_error(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    async def nan(ctx: RequestContext) -> float:
        with pytest.raises(ValueError, match="chunk: nan at /0 is not a JSON number"):
            await ctx.chunk([math.nan])
        return math.nan

    outcome = await start(nan).outcome()
    assert failure(outcome)["code"] == "INTERNAL_ERROR"
    assert isinstance(outcome, Failed)
    assert not outcome.retryable
    assert "result: nan at the top is not a JSON number" in caplog.text


@pytest.mark.clause("10.36.1")
async def test_progress_grows_in_version_and_is_kept(start: Start, writer: Writer) -> None:
    async def report(ctx: RequestContext) -> None:
        await ctx.progress(0)
        await ctx.progress(12.5, "half", {"rows": None})
        await ctx.progress(details=None)
        for bad in (-1, 101, math.nan):
            with pytest.raises(ValueError, match="0 to 100"):
                await ctx.progress(bad)

    execution = start(report, attempt=3)
    await execution.outcome()
    at = "1970-01-01T00:00:01.000Z"
    assert writer.reports == [
        {"attempt": 3, "version": 1, "percentage": 0, "updated_at": at},
        {
            "attempt": 3,
            "version": 2,
            "percentage": 12.5,
            "message": "half",
            "details": {"rows": None},
            "updated_at": at,
        },
        {"attempt": 3, "version": 3, "details": None, "updated_at": at},
    ]
    assert execution.progress is not None
    assert execution.progress.version == 3


async def test_progress_of_a_thread_is_coalesced_and_the_last_one_arrives(
    start: Start, writer: Writer
) -> None:
    def report(ctx: SyncRequestContext) -> None:
        for percentage in range(101):
            ctx.progress(percentage)

    await start(report).outcome()
    assert writer.reports[-1]["percentage"] == 100
    versions = [report["version"] for report in writer.reports]
    assert versions == sorted(set(versions))


async def test_a_thread_writes_through_the_loop(start: Start, writer: Writer) -> None:
    def write(ctx: SyncRequestContext) -> list[int]:
        first = ctx.chunk({"row": 1}, checkpoint=1)
        ctx.save_checkpoint({"at": 2})
        return [first, ctx.chunk(None, checkpoint=None)]

    assert await start(write).outcome() == Completed("[3,4]")
    assert writer.chunks == [('{"row":1}', "1"), ("null", "null")]
    assert writer.checkpoints == ['{"at":2}']


@pytest.mark.clause("5.6.4")
async def test_a_cancelled_coroutine_is_cancelled(start: Start) -> None:
    started = asyncio.Event()

    async def wait(ctx: RequestContext) -> None:
        started.set()
        await asyncio.Event().wait()

    execution = start(wait)
    await started.wait()
    execution.cancel("enough")
    assert await execution.outcome() == Cancelled()
    assert execution.attempt.cancel_reason == "enough"


async def test_a_cancel_before_the_first_step_is_a_cancel(start: Start) -> None:
    async def never(ctx: RequestContext) -> None:
        raise AssertionError

    execution = start(never)
    execution.cancel(None)
    assert await execution.outcome() == Cancelled()


async def test_a_handler_may_finish_in_spite_of_a_cancel(start: Start) -> None:
    started = asyncio.Event()

    async def stubborn(ctx: RequestContext) -> bool:
        started.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await ctx.wait_cancelled()
        with pytest.raises(RequestCancelled):
            ctx.raise_if_cancelled()
        await ctx.chunk("still allowed within the grace")
        return ctx.cancelled

    execution = start(stubborn)
    await started.wait()
    execution.cancel(None)
    assert await execution.outcome() == Completed("true")


@pytest.mark.clause("5.6.4")
async def test_a_thread_sees_the_flag(start: Start) -> None:
    started = threading.Event()

    def work(ctx: SyncRequestContext) -> None:
        ctx.raise_if_cancelled()
        started.set()
        assert ctx.wait_cancelled(60)
        ctx.raise_if_cancelled()

    execution = start(work)
    await asyncio.to_thread(started.wait)
    execution.cancel("enough")
    assert await execution.outcome() == Cancelled()


async def test_a_stopped_handler_that_does_not_give_way_is_left_alone(
    start: Start, writer: Writer
) -> None:
    started, release = asyncio.Event(), asyncio.Event()
    raised: list[type[BaseException]] = []

    async def deaf(ctx: RequestContext) -> str:
        started.set()
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        try:
            await ctx.chunk("too late")
        except AttemptFenced as error:
            raised.append(type(error))
            raise
        return "never"

    execution = start(deaf)
    await started.wait()
    execution.stop()
    assert await execution.outcome() == Stopped()
    release.set()
    await execution.ended()
    assert raised == [AttemptFenced]
    assert writer.chunks == []


async def test_a_thread_that_waits_for_a_write_is_released_by_a_stop(
    start: Start, writer: Writer
) -> None:
    writer.gate = asyncio.Event()
    raised: list[type[BaseException]] = []

    def work(ctx: SyncRequestContext) -> None:
        try:
            ctx.chunk(1)
        except AttemptFenced as error:
            raised.append(type(error))
            raise

    execution = start(work)
    await writer.entered.wait()
    execution.stop()
    await execution.ended()
    assert await execution.outcome() == Stopped()
    assert raised == [AttemptFenced]


async def test_an_abandoned_thread_does_not_take_a_place(start: Start) -> None:
    release = threading.Event()
    started = [threading.Event(), threading.Event()]

    def deaf(ctx: SyncRequestContext, n: int) -> None:
        started[n].set()
        release.wait()

    def quick(ctx: SyncRequestContext) -> str:
        return "ran"

    stuck = [start(deaf, "0"), start(deaf, "1")]
    for event in started:
        await asyncio.to_thread(event.wait)
    waiting = start(quick)
    cancelled = start(quick)
    cancelled.cancel(None)
    assert await cancelled.outcome() == Cancelled()
    stuck[0].stop()
    assert await waiting.outcome() == Completed('"ran"')
    release.set()
    for execution in stuck:
        await execution.ended()


async def test_a_validator_that_raises_ends_its_attempt_and_nothing_else(start: Start) -> None:
    class Order(BaseModel):
        unit: str

        @field_validator("unit")
        @classmethod
        def known(cls, unit: str) -> str:
            return {"kg": unit}[unit]

    async def handler(ctx: RequestContext, order: Order) -> None:
        raise AssertionError

    outcome = await start(handler, '{"unit":"lb"}').outcome()
    assert isinstance(outcome, Failed)
    assert failure(outcome)["code"] == "INTERNAL_ERROR"


async def test_a_payload_that_the_handler_does_not_take_names_the_place(start: Start) -> None:
    async def typed(ctx: RequestContext, n: dict[str, int]) -> None:
        raise AssertionError

    outcome = await start(typed, '{"a/b":"x"}').outcome()
    assert failure(outcome)["code"] == "VALIDATION_ERROR"
    assert failure(outcome)["details"] == {"pointer": "/payload/a~1b"}
    assert isinstance(outcome, Failed)
    assert not outcome.retryable


async def test_a_waiter_that_is_cancelled_cancels_nothing(start: Start) -> None:
    release = asyncio.Event()

    async def wait(ctx: RequestContext) -> str:
        await release.wait()
        return "done"

    execution = start(wait)
    told: list[Outcome] = []
    execution.add_done_callback(told.append)
    waiter = asyncio.create_task(execution.outcome())
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    release.set()
    assert await execution.outcome() == Completed('"done"')
    await asyncio.sleep(0)
    assert told == [Completed('"done"')]


async def test_closing_stops_what_runs_and_reports_what_does_not_end(
    caplog: pytest.LogCaptureFixture, writer: Writer
) -> None:
    executor = Executor(threads=1)
    handlers = Handlers()
    release, started = threading.Event(), threading.Event()

    @handlers.register("deaf")
    def deaf(ctx: SyncRequestContext) -> None:
        started.set()
        release.wait()

    registration = handlers.get("deaf")
    assert registration is not None
    call = Call("r-9", "deaf", "null", 1, Owner("t", "s"))
    execution = executor.start(registration, call, writer)
    await asyncio.to_thread(started.wait)
    with caplog.at_level(logging.WARNING):
        await executor.close(grace=0.01)
    assert "handler deaf of request r-9 does not end" in caplog.text
    assert await execution.outcome() == Stopped()
    assert executor.running == 0
    release.set()
