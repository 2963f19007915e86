# SPDX-License-Identifier: Apache-2.0
"""Quick executions: their answers, and the races of their promotion."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from service_harness import ANN, LAPTOP, PHONE, Desk, desk, limits

from longcall_server import HandlerError, Handlers, RequestContext
from longcall_server.answers import Acknowledged, Answered, CancelAccepted, QuickFailed, Refused
from longcall_server.core.messages import RequestMessage
from longcall_server.quick import QuickRun
from longcall_server.requests import ServiceSettings
from longcall_server.stores.base import OutcomeUnknown, StoreUnavailable

AT_ONCE = ServiceSettings(sync_window_ms=1)
NEVER = ServiceSettings(sync_window_ms=600_000)


class Gate:
    """Holds handlers, and tells what became of them."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.started = asyncio.Event()
        self.starts = 0
        self.ends: list[str] = []

    async def pass_through(self, ctx: RequestContext) -> str:
        self.starts += 1
        self.started.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.ends.append("stopped" if not ctx._attempt.cancelled else "cancelled")
            raise
        self.ends.append("done")
        return "through"


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def handlers(gate: Gate) -> Handlers:
    made = Handlers()

    @made.register("slow", durable=False)
    async def slow(ctx: RequestContext, payload: Any) -> str:
        await ctx.progress(10.0)
        return await gate.pass_through(ctx)

    @made.register("fail", durable=False)
    async def fail(ctx: RequestContext) -> None:
        raise HandlerError("EMPTY", "nothing there", retryable=True, details=[1])

    @made.register("break", durable=False)
    async def break_(ctx: RequestContext) -> None:
        raise RuntimeError("a secret of the server")

    @made.register("give_up", durable=False)
    async def give_up(ctx: RequestContext) -> None:
        raise asyncio.CancelledError

    @made.register("chunks", durable=False)
    async def chunks(ctx: RequestContext) -> int:
        await ctx.progress(1.0)
        first = await ctx.chunk("a")
        return first + await ctx.chunk("b")

    @made.register("trace", durable=False)
    async def trace(ctx: RequestContext) -> str | None:
        return ctx.traceparent

    @made.register("checkpoint", durable=False)
    async def checkpoint(ctx: RequestContext) -> None:
        await ctx.save_checkpoint({"at": 1})

    @made.register("file", durable=False)
    async def file(ctx: RequestContext) -> None:
        async with ctx.file("a.txt", "text/plain") as target:
            await target.write(b"abc")

    return made


async def running(at: Desk, gate: Gate, **options: Any) -> QuickRun:
    run = await at.submit("slow", 1, **options)
    assert isinstance(run, QuickRun)
    await gate.started.wait()
    return run


def error(outcome: object) -> Any:
    assert isinstance(outcome, QuickFailed)
    return json.loads(outcome.error)


@pytest.mark.clause("4.4.6")
async def test_the_trace_of_the_caller_reaches_the_handler_quick_or_stored(
    handlers: Handlers, tmp_path: Path
) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with desk(handlers, tmp_path) as at:
        assert await at.call("trace", traceparent=trace) == Answered(json.dumps(trace))
        assert await at.call("trace", traceparent="?") == Answered("null")
        assert await at.call("trace") == Answered("null")
        await at.submit("trace", id="stored", resend=True, traceparent=trace)
        assert (await at.node.finished(at.key("stored"))).result == json.dumps(trace)


# --- Without a promotion -------------------------------------------------------------------------


@pytest.mark.clause("7.2.2", "7.2.4", "10.9.2", "10.9.3")
async def test_a_failure_is_the_outcome_and_is_not_stored_or_retried(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path) as at:
        failure = error(await at.call("fail"))
        assert failure["code"] == "HANDLER_ERROR"
        assert failure["details"] == {"code": "EMPTY", "details": [1]}
        broken = error(await at.call("break"))
        assert broken["code"] == "INTERNAL_ERROR"
        assert "secret" not in json.dumps(broken)
        assert error(await at.call("give_up"))["code"] in ("CANCELLED", "INTERNAL_ERROR")
        assert "submit" not in at.store.calls


@pytest.mark.clause("5.3.9")
async def test_a_deadline_within_the_window_ends_it_as_a_timeout(
    handlers: Handlers, gate: Gate, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, settings=NEVER) as at:
        run = await running(at, gate, deadline_ms=1)
        assert error(await run.outcome())["code"] == "TIMEOUT"
        assert gate.ends in ([], ["stopped"])
        assert "submit" not in at.store.calls


@pytest.mark.clause("5.3.5")
async def test_a_lost_connection_stops_nothing(
    handlers: Handlers, gate: Gate, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, settings=NEVER) as at:
        run = await running(at, gate)
        waiting = asyncio.create_task(run.outcome())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        gate.open.set()
        assert await run.outcome() == Answered('"through"')
        assert gate.ends == ["done"]


@pytest.mark.clause("5.3.5")
async def test_a_lost_connection_does_not_hold_the_promotion_back(
    handlers: Handlers, gate: Gate, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, settings=AT_ONCE) as at:
        run = await running(at, gate)
        waiting = asyncio.create_task(run.outcome())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert isinstance(await run.outcome(), Acknowledged)
        gate.open.set()
        assert (await at.node.finished(at.key())).result == '"through"'


# --- Promotion -----------------------------------------------------------------------------------


@pytest.mark.clause("5.3.3", "5.3.4", "10.7.1", "10.10.3", "10.22.1")
async def test_what_outlasts_the_window_is_stored_and_goes_on(
    handlers: Handlers, gate: Gate, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, settings=AT_ONCE) as at:
        received_at = at.store.now() - 5000
        message = RequestMessage(id="r1", action="slow", payload=1, deadline_ms=60_000)
        run = await at.service.submit(ANN, message, received_at=received_at, origin=PHONE)
        assert isinstance(run, QuickRun)
        answer = await run.outcome()
        assert isinstance(answer, Acknowledged)
        assert not answer.duplicate
        # PROTOCOL 5.3.4, 10.22: both count from the receipt of the message.
        assert answer.record.created_at == received_at
        assert answer.record.deadline_at == received_at + 60_000
        assert (answer.record.status, answer.record.attempt) == ("processing", 1)
        # PROTOCOL 10.10: the progress from before is there, to be sent behind it.
        assert answer.record.progress is not None
        gate.open.set()
        record = await at.node.finished(at.key())
        assert (record.result, record.attempt, gate.starts) == ('"through"', 1, 1)
        assert [event["type"] for event in await at.node.log(at.key())] == [
            "acknowledgment",
            "status",
            "complete",
        ]


@pytest.mark.clause("10.10.2")
@pytest.mark.parametrize(
    ("action", "events"),
    [
        ("chunks", ["acknowledgment", "status", "chunk", "chunk", "complete"]),
        ("checkpoint", ["acknowledgment", "status", "complete"]),
        ("file", ["acknowledgment", "status", "complete"]),
    ],
)
async def test_the_first_durable_write_promotes_at_once(
    handlers: Handlers, tmp_path: Path, action: str, events: list[str]
) -> None:
    async with desk(handlers, tmp_path, settings=NEVER) as at:
        assert isinstance(await at.call(action), Acknowledged)
        record = await at.node.finished(at.key())
        assert record.status == "completed"
        assert [event["type"] for event in await at.node.log(at.key())] == events
        assert len(record.files) == (1 if action == "file" else 0)


@pytest.mark.clause("5.3.6")
async def test_no_limit_refuses_a_promotion(handlers: Handlers, gate: Gate, tmp_path: Path) -> None:
    bounds = limits(max_in_flight=1)
    async with desk(handlers, tmp_path, settings=AT_ONCE, bounds=bounds) as at:
        await at.submit("slow", 1, id="first", resend=True)
        assert isinstance(await at.call("slow", 2, id="second"), Acknowledged)
        gate.open.set()


@pytest.mark.clause("10.7.3", "10.7.4")
async def test_an_id_that_was_stored_meanwhile_stops_the_execution(
    handlers: Handlers, gate: Gate, tmp_path: Path
) -> None:
    # The client lost its connection, and sent the request again on another one.
    async with desk(handlers, tmp_path, settings=NEVER, idle=True) as at:
        run = await running(at, gate)
        again = await at.submit("slow", 1, origin=LAPTOP, resend=True)
        assert not again.duplicate
        assert not await run.promote()
        answer = await run.outcome()
        assert isinstance(answer, Acknowledged)
        assert answer.duplicate
        await run.execution.ended()
        assert gate.ends == ["stopped"]
        assert (await at.node.record(at.key())).attempt == 0


@pytest.mark.clause("10.7.4")
async def test_an_id_that_was_stored_meanwhile_for_something_else_is_a_conflict(
    handlers: Handlers, gate: Gate, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, settings=NEVER, idle=True) as at:
        run = await running(at, gate)
        await at.submit("slow", 2, origin=LAPTOP, resend=True)
        assert not await run.promote()
        answer = await run.outcome()
        assert isinstance(answer, Refused)
        assert answer.error.code == "CONFLICT"


@pytest.mark.clause("10.7.3")
async def test_a_loser_that_writes_is_fenced(
    handlers: Handlers, gate: Gate, tmp_path: Path
) -> None:
    caught: list[str] = []

    @handlers.register("late", durable=False)
    async def late(ctx: RequestContext) -> None:
        await gate.pass_through(ctx)
        try:
            await ctx.chunk(1)
        except BaseException as problem:
            caught.append(type(problem).__name__)
            raise

    async with desk(handlers, tmp_path, settings=NEVER, idle=True) as at:
        run = await at.submit("late")
        await at.submit("late", origin=LAPTOP, resend=True)
        gate.open.set()
        answer = await run.outcome()
        assert isinstance(answer, Acknowledged)
        assert answer.duplicate
        await run.execution.ended()
        assert caught in (["AttemptFenced"], ["CancelledError"])
        assert len(await at.node.log(at.key())) == 1


@pytest.mark.clause("5.1.5")
async def test_sent_again_on_its_own_connection_it_is_stored_and_runs_once(
    handlers: Handlers, gate: Gate, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, settings=NEVER) as at:
        run = await running(at, gate)
        again = await at.submit("slow", 1)
        assert isinstance(again, Acknowledged)
        assert again.duplicate
        first = await run.outcome()
        assert isinstance(first, Acknowledged)
        assert not first.duplicate
        gate.open.set()
        await at.node.finished(at.key())
        assert gate.starts == 1


# --- Cancel --------------------------------------------------------------------------------------


@pytest.mark.clause("10.12.1")
async def test_a_cancel_on_its_own_connection_promotes_it_with_the_cancel(
    handlers: Handlers, gate: Gate, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, settings=NEVER) as at:
        run = await running(at, gate)
        answer = await at.cancel(reason="typo")
        assert isinstance(answer, CancelAccepted)
        assert answer.record.cancel_requested_at is not None
        assert isinstance(await run.outcome(), Acknowledged)
        record = await at.node.finished(at.key())
        assert record.status == "cancelled"
        assert record.error is not None
        assert json.loads(record.error)["details"] == {"reason": "typo"}
        assert gate.ends == ["cancelled"]


@pytest.mark.clause("10.12.3")
async def test_a_cancel_from_elsewhere_finds_nothing_until_the_promotion(
    handlers: Handlers, gate: Gate, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, settings=NEVER) as at:
        run = await running(at, gate)
        refusal = await at.cancel(origin=LAPTOP)
        assert isinstance(refusal, Refused)
        assert refusal.error.code == "NOT_FOUND"
        assert await run.promote()
        assert isinstance(await at.cancel(origin=LAPTOP), CancelAccepted)
        assert (await at.node.finished(at.key())).status == "cancelled"


@pytest.mark.clause("10.12.2")
async def test_a_cancel_behind_the_response_finds_nothing(
    handlers: Handlers, gate: Gate, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, settings=NEVER) as at:
        run = await running(at, gate)
        gate.open.set()
        assert await run.outcome() == Answered('"through"')
        refusal = await at.cancel()
        assert isinstance(refusal, Refused)
        assert refusal.error.code == "NOT_FOUND"


@pytest.mark.clause("10.12.2")
async def test_a_cancel_races_the_end_and_there_is_one_answer_and_one_outcome(
    handlers: Handlers, gate: Gate, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, settings=NEVER) as at:
        seen = set()
        for turns in range(12):
            id = f"race-{turns}"
            gate.open.clear()
            gate.started.clear()
            run = await running(at, gate, id=id)
            gate.open.set()
            for _ in range(turns):
                await asyncio.sleep(0)
            cancelled, outcome = await asyncio.gather(at.cancel(id), run.outcome())
            seen.add(type(outcome))
            if isinstance(outcome, Acknowledged):
                assert isinstance(cancelled, CancelAccepted)
                await at.node.finished(at.key(id))
            else:
                assert isinstance(outcome, Answered)
                assert isinstance(cancelled, Refused)
                assert await at.store.get(at.key(id)) is None
        assert seen == {Answered, Acknowledged}


# --- A store that fails --------------------------------------------------------------------------


@pytest.mark.clause("10.3.2", "10.7.2")
@pytest.mark.parametrize("committed", [False, True])
async def test_a_promotion_with_an_unknown_outcome_is_repeated(
    handlers: Handlers, gate: Gate, tmp_path: Path, committed: bool
) -> None:
    async with desk(handlers, tmp_path, settings=AT_ONCE) as at:
        at.store.break_next("submit", OutcomeUnknown, committed=committed)
        answer = await at.call("slow", 1)
        assert isinstance(answer, Acknowledged)
        assert not answer.duplicate
        gate.open.set()
        assert (await at.node.finished(at.key())).attempt == 1
        assert gate.starts == 1


@pytest.mark.clause("10.8.1", "10.8.2")
async def test_after_an_unknown_promotion_the_result_comes_from_the_log(
    handlers: Handlers, gate: Gate, tmp_path: Path
) -> None:
    # PROTOCOL 10.8: the handler ends while nobody knows whether the promotion was committed.
    async with desk(handlers, tmp_path, settings=NEVER) as at:
        run = await running(at, gate)
        at.store.break_next("submit", OutcomeUnknown, committed=True)

        async def end_the_handler() -> None:
            gate.open.set()

        at.store.before["submit"] = end_the_handler
        assert await run.promote()
        assert isinstance(await run.outcome(), Acknowledged)
        assert (await at.node.finished(at.key())).result == '"through"'


@pytest.mark.clause("10.3.1")
async def test_a_promotion_that_stays_unknown_has_no_answer(
    handlers: Handlers, gate: Gate, tmp_path: Path
) -> None:
    settings = ServiceSettings(sync_window_ms=1, patience_ms=0)
    async with desk(handlers, tmp_path, settings=settings) as at:
        at.store.break_next("submit", OutcomeUnknown)
        run = await running(at, gate)
        with pytest.raises(OutcomeUnknown):
            await run.outcome()
        await run.execution.ended()
        assert gate.ends == ["stopped"]


async def test_a_handler_that_ends_while_the_store_is_away_is_answered_directly(
    handlers: Handlers, gate: Gate, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, settings=NEVER) as at:
        run = await running(at, gate)
        at.store.break_next("submit", *[StoreUnavailable] * 2)

        async def end_the_handler() -> None:
            gate.open.set()

        at.store.before["submit"] = end_the_handler
        assert not await run.promote()
        assert await run.outcome() == Answered('"through"')
        assert await at.store.get(at.key()) is None


async def test_a_store_that_stays_away_refuses_and_stops(
    handlers: Handlers, gate: Gate, tmp_path: Path
) -> None:
    settings = ServiceSettings(sync_window_ms=1, patience_ms=0)
    async with desk(handlers, tmp_path, settings=settings) as at:
        at.store.break_next("submit", StoreUnavailable)
        run = await running(at, gate)
        answer = await run.outcome()
        assert isinstance(answer, Refused)
        assert answer.error.code == "UNAVAILABLE"
        await run.execution.ended()
        assert gate.ends == ["stopped"]


async def test_a_server_that_stops_leaves_no_execution_behind(
    handlers: Handlers, gate: Gate, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, settings=NEVER) as at:
        run = await running(at, gate)
        await at.service.close()
        await run.execution.ended()
        assert gate.ends == ["stopped"]
        answer = await run.outcome()
        assert isinstance(answer, Refused)
        assert answer.error.code == "UNAVAILABLE"
