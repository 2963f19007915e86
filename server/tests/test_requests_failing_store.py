# SPDX-License-Identifier: Apache-2.0
"""What clients are told while the store is away, or does not say what it did."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from service_harness import desk

from longcall_server import Handlers, JsonValue, RequestContext
from longcall_server.answers import Acknowledged, CancelAccepted, Refused
from longcall_server.requests import ServiceSettings
from longcall_server.stores.base import (
    OutcomeUnknown,
    RequestKey,
    StoreUnavailable,
    SubmitOutcome,
    Submitted,
)


@pytest.fixture
def handlers() -> Handlers:
    made = Handlers()

    @made.register("wait")
    async def wait(ctx: RequestContext, payload: JsonValue) -> None:
        await ctx.wait_cancelled()
        ctx.raise_if_cancelled()

    @made.register("echo", durable=False)
    async def echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
        return payload

    return made


@pytest.mark.clause("10.3.2")
@pytest.mark.parametrize("committed", [False, True])
async def test_a_write_with_an_unknown_outcome_is_repeated_until_it_is_known(
    handlers: Handlers, tmp_path: Path, committed: bool
) -> None:
    async with desk(handlers, tmp_path) as at:
        at.store.break_next("submit", OutcomeUnknown, committed=committed)
        # Nothing can be said after it, not even that the store is away (PROTOCOL 10.3).
        at.store.break_next("submit", StoreUnavailable)
        answer = await at.submit("wait")
        assert isinstance(answer, Acknowledged)
        assert not answer.duplicate
        assert answer.record.last_seq <= 2
        at.store.break_next("request_cancel", OutcomeUnknown, committed=committed)
        assert isinstance(await at.cancel(), CancelAccepted)


@pytest.mark.clause("10.3.1")
async def test_an_outcome_that_stays_unknown_is_no_refusal(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, settings=ServiceSettings(patience_ms=0)) as at:
        at.store.break_next("submit", OutcomeUnknown)
        with pytest.raises(OutcomeUnknown):
            await at.submit("wait")


@pytest.mark.clause("10.3.1")
async def test_a_request_that_may_have_come_and_gone_meanwhile_is_not_refused(
    handlers: Handlers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Submitted | Exception] = [OutcomeUnknown(), Submitted(SubmitOutcome.EXPIRED)]

    async def submit(*_: object, **__: object) -> Submitted:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with desk(handlers, tmp_path) as at:
        monkeypatch.setattr(at.store, "submit", submit)
        with pytest.raises(OutcomeUnknown):
            await at.submit("wait")
        assert not answers


@pytest.mark.clause("10.28.2", "10.28.3")
async def test_a_store_that_is_away_is_unavailable_and_never_not_found(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, idle=True) as at:
        for verb in ("submit", "get", "get", "read", "request_cancel", "list"):
            at.store.break_next(verb, StoreUnavailable)
        answers = [
            await at.submit("wait"),
            await at.submit("nothing"),
            await at.submit("echo"),
            await at.attach(),
            await at.cancel(),
            await at.list(),
        ]
        for answer in answers:
            assert isinstance(answer, Refused)
            assert answer.error.code == "UNAVAILABLE"
            assert answer.error.retryable
            assert answer.error.retry_after_ms == 1000


async def test_workers_hear_of_a_request_whose_client_left_meanwhile(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path) as at:
        stored, go_on = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            await at.store._inner.submit(at.node.new("wait"), max_in_flight=9)
            stored.set()
            await go_on.wait()

        at.store.before["submit"] = hold
        sending = asyncio.create_task(at.submit("wait"))
        await stored.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        key = RequestKey(at.node.new("wait").key.owner, "r-1")
        assert (await at.node.until(key, lambda record: record.attempt == 1)).attempt == 1
