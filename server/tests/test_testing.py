# SPDX-License-Identifier: Apache-2.0
import asyncio
import contextlib
import os

import process_handlers
import pytest
from pydantic import BaseModel

from longcall_server import (
    HandlerError,
    Handlers,
    JsonValue,
    RegistrationError,
    RequestContext,
    SyncRequestContext,
)
from longcall_server.testing import HandlerEvent, HandlerFailure, run_handler, start_handler


class Params(BaseModel):
    rows: int


async def report(ctx: RequestContext, params: Params) -> dict[str, int]:
    first = 0 if ctx.checkpoint is None else int(str(ctx.checkpoint))
    for row in range(first, params.rows):
        await ctx.progress(100 * row / params.rows, f"row {row}")
        await ctx.chunk([row], checkpoint=row + 1)
    async with ctx.file("rows.txt", "text/plain") as file:
        await file.write(b"rows")
    return {"rows": params.rows, "bytes": file.size}


async def test_everything_that_a_handler_does_is_recorded() -> None:
    run = await run_handler(report, {"rows": 2})
    assert run.error is None
    assert run.result == {"rows": 2, "bytes": 4}
    assert run.chunks == [[0], [1]]
    assert run.progress == [
        {"percentage": 0.0, "message": "row 0"},
        {"percentage": 50.0, "message": "row 1"},
    ]
    assert run.checkpoint == 2
    assert run.files == {"rows.txt": b"rows"}
    assert run.events[1:3] == [HandlerEvent("chunk", [0]), HandlerEvent("checkpoint", 1)]


async def test_a_second_attempt_goes_on_from_a_checkpoint() -> None:
    run = await run_handler(report, Params(rows=3), checkpoint=2, attempt=2)
    assert run.chunks == [[2]]


async def test_a_plain_function_is_run_in_a_thread() -> None:
    def work(ctx: SyncRequestContext) -> str:
        with ctx.file("a.txt") as file:
            file.write(b"abc")
        with contextlib.suppress(ZeroDivisionError), ctx.file("b.txt") as broken:
            broken.write(b"x")
            raise ZeroDivisionError
        ctx.progress(100)
        return ctx.metadata["note"] + file.sha256[:4] + f" of {ctx.traceparent}"

    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    run = await run_handler(work, metadata={"note": "n-"}, traceparent=trace)
    assert run.error is None
    assert run.result == f"n-ba78 of {trace}"
    assert run.files == {"a.txt": b"abc"}
    assert run.progress == [{"percentage": 100}]


async def test_failures_are_seen_as_a_caller_sees_them() -> None:
    async def fail(ctx: RequestContext) -> None:
        async with ctx.file("lost.txt"):
            pass
        raise HandlerError("full", "No room.", retryable=True)

    run = await run_handler(fail)
    assert run.error == HandlerFailure("HANDLER_ERROR", "No room.", True, {"code": "full"})
    assert run.files == {}
    refused = await run_handler(report, {"rows": "many"})
    assert refused.error is not None
    assert refused.error.code == "VALIDATION_ERROR"
    assert refused.error.details == {"pointer": "/payload/rows"}


async def test_a_registry_is_run_by_action() -> None:
    handlers = Handlers()

    @handlers.register("echo", durable=False)
    async def echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
        return payload

    assert (await run_handler(handlers, [1])).result == [1]
    handlers.register("report")(report)
    assert (await run_handler(handlers, 2, action="echo")).result == 2
    with pytest.raises(LookupError, match="echo, report"):
        await run_handler(handlers)
    with pytest.raises(LookupError, match="'nothing'"):
        await run_handler(handlers, action="nothing")
    with pytest.raises(RegistrationError):
        await run_handler(lambda: None)


async def test_a_name_of_a_file_is_free_again_after_a_failure_and_taken_after_a_success() -> None:
    async def write(ctx: RequestContext) -> None:
        with pytest.raises(ZeroDivisionError):
            async with ctx.file("a.txt"):
                raise ZeroDivisionError
        async with ctx.file("a.txt") as file:
            await file.write(b"second")
        with pytest.raises(ValueError, match="already attached"):
            async with ctx.file("a.txt"):
                pass

    run = await run_handler(write)
    assert run.error is None
    assert run.files == {"a.txt": b"second"}


async def test_a_running_handler_can_be_cancelled() -> None:
    started = asyncio.Event()

    async def wait(ctx: RequestContext) -> None:
        await ctx.progress(message="waiting")
        started.set()
        await asyncio.Event().wait()

    async with start_handler(wait) as running:
        await started.wait()
        assert running.run.progress == [{"message": "waiting"}]
        running.cancel("enough")
        assert (await running.finish()).cancelled


def _in_which_process() -> Handlers:
    handlers = Handlers()
    handlers.register("where", executor="process")(process_handlers.pid)
    return handlers


async def test_a_handler_for_a_process_runs_in_a_thread() -> None:
    run = await run_handler(_in_which_process())
    assert run.result == os.getpid()


@pytest.mark.slow
async def test_a_handler_runs_in_a_process_when_it_is_asked_for() -> None:
    run = await run_handler(_in_which_process(), in_process=True)
    assert isinstance(run.result, int)
    assert run.result != os.getpid()
    again = await run_handler(process_handlers.files, "text", in_process=True)
    assert again.error is None
    assert again.files["report.txt"] == b"text!"


@pytest.mark.slow
async def test_a_handler_in_a_process_is_cancelled() -> None:
    async with start_handler(process_handlers.wait, in_process=True) as running:
        running.cancel("enough")
        run = await running.finish()
    assert run.cancelled


async def test_what_a_process_could_not_run_is_refused_before_it_runs() -> None:
    async def coroutine(ctx: RequestContext) -> None: ...

    with pytest.raises(RegistrationError, match="for a plain def"):
        await run_handler(coroutine, in_process=True)
