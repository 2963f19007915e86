# SPDX-License-Identifier: Apache-2.0
import asyncio
import json
import os
import select
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import broken_in_processes
import process_handlers
import pytest
import pytest_asyncio
from executor_harness import LIMIT, Writer, failure

from longcall_server import AttemptFenced, Handlers, LogLimitReached
from longcall_server.executor import (
    Cancelled,
    Completed,
    Execution,
    Executor,
    Failed,
    Stopped,
    process_handle,
)
from longcall_server.files import FileStore
from longcall_server.handlers import Call
from longcall_server.handlers.attempt import Bounds
from longcall_server.stores.base import Owner

# One process serves the tests, since a start takes a moment.
pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
Start = Callable[..., Execution]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def executor() -> AsyncIterator[Executor]:
    executor = Executor(bounds=Bounds(max_message_bytes=LIMIT), processes=1)
    yield executor
    await executor.close(grace=0.2)


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(FileStore(tmp_path))


@pytest.fixture
def start(executor: Executor, writer: Writer) -> Start:
    def start(function: Callable[..., Any], payload: str = "null", **call: Any) -> Execution:
        handlers = Handlers()
        handlers.register("act", executor="process")(function)
        registration = handlers.get("act")
        assert registration is not None
        fields: dict[str, Any] = {"attempt": 1, "owner": Owner("t", "s")} | call
        within = fields.pop("executor", executor)
        request = Call("r-1", "act", payload, **fields)
        execution: Execution = within.start(registration, request, writer)
        return execution

    return start


async def value(execution: Execution) -> Any:
    outcome = await execution.outcome()
    assert isinstance(outcome, Completed), outcome
    return json.loads(outcome.result)


async def test_payload_and_result_are_typed_over_there(start: Start) -> None:
    made = await value(start(process_handlers.typed, '{"count":3}'))
    assert made["rows"] == 3
    assert made["pid"] != os.getpid()


@pytest.mark.clause("7.2.1")
async def test_a_payload_that_does_not_fit_names_the_place(start: Start) -> None:
    outcome = await start(process_handlers.typed, '{"count":"x"}').outcome()
    assert failure(outcome)["code"] == "VALIDATION_ERROR"
    assert failure(outcome)["details"] == {"pointer": "/payload/count"}
    assert isinstance(outcome, Failed)
    assert not outcome.retryable


@pytest.mark.clause("4.4.6", "4.4.7", "5.5.2")
async def test_the_context_tells_of_the_call(start: Start) -> None:
    told = await value(
        start(
            process_handlers.tell,
            attempt=2,
            metadata={"k": "v"},
            traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            checkpoint='{"page":3}',
            chunks_kept_to=7,
            created_at=1500,
            deadline_at=2500,
        )
    )
    assert told == {
        "ids": ["r-1", "act", "t", "s"],
        "attempt": 2,
        "metadata": {"k": "v"},
        "trace": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "checkpoint": {"page": 3},
        "kept": 7,
        "times": ["1970-01-01T00:00:01.500000+00:00", "1970-01-01T00:00:02.500000+00:00"],
        "server": ["0", "none"],
        "cancelled": False,
    }


async def test_writes_go_through_the_attempt_here(start: Start, writer: Writer) -> None:
    assert await value(start(process_handlers.write)) == [3, 4]
    assert writer.chunks == [('{"row":1}', "1"), ("null", "null")]
    assert writer.checkpoints == ['{"at":2}']


@pytest.mark.clause("10.36.1")
async def test_progress_is_coalesced_and_the_last_one_comes_before_the_end(
    start: Start, writer: Writer
) -> None:
    execution = start(process_handlers.report, "20000")
    await execution.outcome()
    assert writer.reports[-1]["percentage"] == 100
    assert writer.reports[-1]["message"] == "step 20000"
    versions = [report["version"] for report in writer.reports]
    assert versions == list(range(1, len(versions) + 1))
    assert len(versions) < 10_000
    assert execution.progress is not None


@pytest.mark.clause("6.5.2", "10.44.2")
async def test_limits_hold_in_the_handlers_own_call(start: Start, writer: Writer) -> None:
    assert await value(start(process_handlers.refused, str(LIMIT))) == 4
    assert (writer.chunks, writer.checkpoints, writer.reports) == ([], [], [])


async def test_a_full_log_ends_the_request_whatever_the_handler_makes_of_it(
    start: Start, writer: Writer
) -> None:
    writer.refusal = LogLimitReached("The log of the request is full.")
    outcome = await start(process_handlers.stubborn).outcome()
    assert failure(outcome)["code"] == "RESOURCE_EXHAUSTED"


async def test_a_fence_that_a_write_finds_ends_the_attempt(start: Start, writer: Writer) -> None:
    writer.refusal = AttemptFenced("somebody else has it")
    assert await start(process_handlers.one_chunk).outcome() == Stopped()


async def test_an_error_of_the_server_that_cannot_cross_is_told_as_text(
    start: Start, writer: Writer
) -> None:
    class Local(Exception):
        pass

    writer.refusal = Local("only here")
    assert await value(start(process_handlers.stubborn)) == "RuntimeError: Local: only here"


async def test_files_are_written_there_and_kept_here(
    start: Start, writer: Writer, tmp_path: Path
) -> None:
    execution = start(process_handlers.files, '"text"')
    made = await value(execution)
    found = {file.name: file for file in execution.files}
    assert set(found) == {"report.txt", "library.bin", "dropped.txt"}
    assert writer.files is not None
    contents = {name: writer.files.path(file.location).read_bytes() for name, file in found.items()}
    assert contents == {
        "report.txt": b"text!",
        "library.bin": b"by its path",
        "dropped.txt": b"yy",
    }
    assert made == {"size": 5, "sha256": found["report.txt"].sha256, "again": 2}
    notes = await asyncio.to_thread(lambda: list(tmp_path.glob("??/*.json")))
    assert len(notes) == 3  # what was dropped left nothing


@pytest.mark.clause("7.2.1", "7.2.2", "10.50.7")
async def test_a_handler_error_crosses(start: Start) -> None:
    outcome = await start(process_handlers.fails, '{"name":"x"}').outcome()
    assert isinstance(outcome, Failed)
    assert outcome.retryable
    assert failure(outcome) == {
        "code": "HANDLER_ERROR",
        "message": "There is none.",
        "retryable": True,
        "details": {"code": "no_such_source", "details": {"name": "x"}},
    }


@pytest.mark.clause("7.2.3", "7.2.4")
async def test_an_exception_is_logged_here_with_its_place_there(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = await start(process_handlers.raise_value_error).outcome()
    assert failure(outcome)["details"]["incident_id"] in caplog.text
    assert 'raise ValueError("the password is 1234")' in caplog.text
    assert isinstance(outcome, Failed)
    assert "1234" not in outcome.error


async def test_a_log_record_crosses_without_types_of_the_handlers_own(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    await value(start(process_handlers.logs_its_own_types))
    [record] = [one for one in caplog.records if one.getMessage() == "measured"]
    fields = vars(record)
    assert [fields[name] for name in ("mean", "word", "whole", "nothing", "levelno")] == [
        *(1.5, "a", True, None, 35)
    ]
    assert [type(fields[name]) for name in ("mean", "word", "whole", "levelno")] == [
        *(float, str, bool, int)
    ]


async def test_what_a_fork_logs_goes_into_no_connection_of_its_own(start: Start) -> None:
    assert await value(start(process_handlers.fork_logs)) == 0


@pytest.mark.clause("5.6.4")
async def test_a_cancel_wakes_and_is_a_cancel(start: Start, writer: Writer) -> None:
    execution = start(process_handlers.wait)
    await writer.entered.wait()
    execution.cancel("enough")
    assert await execution.outcome() == Cancelled()


async def test_a_handler_may_finish_in_spite_of_a_cancel(start: Start, writer: Writer) -> None:
    execution = start(process_handlers.finishes_anyway)
    await writer.entered.wait()
    execution.cancel("enough")
    assert await value(execution) == [True]
    assert len(writer.chunks) == 2


async def test_a_handler_that_gives_way_to_a_stop_keeps_its_process(
    start: Start, writer: Writer
) -> None:
    before = await value(start(process_handlers.pid))
    execution = start(process_handlers.wait)
    await writer.entered.wait()
    execution.stop()
    assert await execution.outcome() == Stopped()
    await execution.ended()
    assert await value(start(process_handlers.pid)) == before


async def test_a_process_that_is_killed_as_its_handler_ends_gets_no_other_call(
    start: Start, executor: Executor, writer: Writer
) -> None:
    execution = start(process_handlers.wait)
    await writer.entered.wait()
    execution.stop()
    [process] = executor._processes._processes
    assert process._writer is not None
    # The end has come, and the event loop has not read it yet.
    descriptor = process._writer.get_extra_info("socket").fileno()
    assert select.select([descriptor], [], [], 30)[0]
    process.kill()
    assert await value(start(process_handlers.pid))


async def test_a_write_that_waits_is_released_by_a_stop(start: Start, writer: Writer) -> None:
    before = await value(start(process_handlers.pid))
    writer.gate = asyncio.Event()
    execution = start(process_handlers.one_chunk)
    await writer.entered.wait()
    execution.stop()
    await execution.ended()
    assert await value(start(process_handlers.pid)) == before
    writer.gate.set()


async def test_what_waits_for_a_process_can_be_cancelled_and_stopped(
    start: Start, writer: Writer
) -> None:
    running = start(process_handlers.wait)
    await writer.entered.wait()
    cancelled, stopped, third = (start(process_handlers.one_chunk) for _ in range(3))
    cancelled.cancel(None)
    assert await cancelled.outcome() == Cancelled()
    stopped.stop()
    await stopped.ended()
    running.cancel(None)
    assert await value(third) == 4
    assert [data for data, _ in writer.chunks][1:] == ['"one"']


async def test_a_thread_that_its_handler_left_behind_writes_nothing(
    start: Start, writer: Writer
) -> None:
    await start(process_handlers.leaves_a_thread).outcome()
    heard = await value(start(process_handlers.asks_the_thread))
    assert heard == ["this attempt is no longer the current one"]
    assert writer.chunks == []


async def test_a_function_in_a_class_is_found(start: Start) -> None:
    assert await value(start(process_handlers.Group.inside)) == "found"


async def test_a_module_that_a_process_cannot_import_fails_the_attempt(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = await start(broken_in_processes.handler).outcome()
    assert failure(outcome)["code"] == "INTERNAL_ERROR"
    assert "there is no such device in here" in caplog.text


async def test_another_function_under_the_name_is_never_called(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = await start(process_handlers.first_replaced).outcome()
    assert failure(outcome)["code"] == "INTERNAL_ERROR"
    assert "is not the function that was registered" in caplog.text


@pytest.mark.parametrize("broken", ["executable", "program"])
async def test_processes_that_cannot_start_cost_attempts_until_they_can(
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    broken: str,
) -> None:
    executor = Executor(processes=2)
    with monkeypatch.context() as patch:
        if broken == "executable":
            patch.setattr(sys, "executable", str(tmp_path / "missing"))
        else:
            patch.setattr(process_handle, "_PROGRAM", "raise SystemExit(7)")
        executions = [start(process_handlers.pid, executor=executor) for _ in range(3)]
        outcomes = await asyncio.gather(*(one.outcome() for one in executions))
        assert [failure(one)["code"] for one in outcomes] == ["INTERNAL_ERROR"] * 3
        assert ("missing" if broken == "executable" else "ended with 7") in caplog.text
    assert await value(start(process_handlers.pid, executor=executor))
    await executor.close(grace=0)


async def test_as_many_run_at_once_as_there_are_places(start: Start, writer: Writer) -> None:
    executor = Executor(processes=2)
    executions = [start(process_handlers.wait, executor=executor) for _ in range(3)]
    pids: set[str] = set()
    while len(pids) < 2:
        await asyncio.wait_for(writer.entered.wait(), 30)
        writer.entered.clear()
        await asyncio.sleep(0)
        pids = {data for data, _ in writer.chunks}
    executions[0].cancel(None)
    assert await executions[0].outcome() == Cancelled()
    await asyncio.wait_for(writer.entered.wait(), 30)
    assert {data for data, _ in writer.chunks} == pids
    await executor.close(grace=2)
    assert executor.running == 0
    assert [await one.outcome() for one in executions[1:]] == [Stopped(), Stopped()]
    with pytest.raises(RuntimeError, match="closed"):
        executor._processes.submit(None)  # type: ignore[arg-type]
