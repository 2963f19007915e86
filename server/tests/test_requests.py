# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, field_validator
from service_harness import ANN, desk, limits, principal

from longcall_server import HandlerError, Handlers, JsonValue, RequestContext
from longcall_server.answers import (
    Acknowledged,
    Answered,
    Attached,
    CancelAccepted,
    Listed,
    Refused,
)
from longcall_server.auth import Principal
from longcall_server.core.messages import RequestMessage
from longcall_server.stores.base import (
    Record,
    StoreLimits,
)
from longcall_server.stores.memory import MemoryStore

BOB = principal("bob")
STRANGER = principal("ann", tenant="other")


class Params(BaseModel):
    rows: list[int]


class Picky(BaseModel):
    values: dict[str, str] = {}
    name: str = ""

    @field_validator("name")
    @classmethod
    def _refuse(cls, name: str) -> str:
        if name:
            raise ValueError(f"nobody is called {name}")
        return name


@pytest.fixture
def handlers() -> Handlers:
    made = Handlers()

    @made.register("wait", deadline=timedelta(hours=1))
    async def wait(ctx: RequestContext, payload: JsonValue) -> None:
        await ctx.wait_cancelled()
        ctx.raise_if_cancelled()

    @made.register("sum")
    async def total(ctx: RequestContext, params: Params) -> int:
        return sum(params.rows)

    @made.register("echo", durable=False)
    async def echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
        return payload

    return made


def code(answer: object) -> str:
    assert isinstance(answer, Refused)
    return answer.error.code


# --- Submitting ----------------------------------------------------------------------------------


async def test_a_durable_request_is_acknowledged_once_it_is_stored(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path) as at:
        answer = await at.submit("sum", {"rows": [1, 2]})
        assert isinstance(answer, Acknowledged)
        assert not answer.duplicate
        assert answer.record.last_seq == 1
        assert (await at.node.finished(at.key())).result == "3"


@pytest.mark.clause("4.4.3", "4.4.4", "5.7.2")
async def test_a_request_is_stored_with_all_that_it_was_sent_with(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path) as at:
        await at.submit(
            "wait",
            {"b": 1.0, "a": None},
            metadata={"k": "v"},
            priority=9,
            delay_ms=50_000,
            deadline_ms=60_000,
            traceparent="00-a-b-01",
        )
        record = await at.node.record(at.key())
        assert record.payload == '{"b":1.0,"a":null}'
        assert record.metadata == {"k": "v"}
        assert record.priority == 9
        assert record.due_at == record.created_at + 50_000
        assert record.deadline_at == record.created_at + 60_000
        assert record.traceparent == "00-a-b-01"
        # PROTOCOL 5.7.2: the action's deadline is earlier than a later one of the request.
        await at.submit("wait", id="r2", deadline_ms=10 * 3_600_000, delay_ms=1000)
        late = await at.node.record(at.key("r2"))
        assert late.deadline_at == late.created_at + 3_600_000
        assert (late.priority, late.payload) == (5, "null")


@pytest.mark.clause("5.1.5", "10.23.1", "10.23.3")
async def test_the_same_request_again_is_a_duplicate_whatever_its_other_fields(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path) as at:
        first = await at.submit("wait", {"a": 1, "b": [2.0]}, priority=1)
        again = await at.submit("wait", {"b": [2], "a": 1.0}, priority=9, resend=True)
        assert again.duplicate
        assert again.record.record_id == first.record.record_id
        assert (await at.node.record(at.key())).priority == 1


@pytest.mark.clause("5.1.6", "10.23.1")
@pytest.mark.parametrize(
    ("action", "payload"), [("wait", {"a": 2}), ("sum", {"rows": []}), ("wait", None)]
)
async def test_the_same_id_for_something_else_is_a_conflict(
    handlers: Handlers, tmp_path: Path, action: str, payload: Any
) -> None:
    async with desk(handlers, tmp_path) as at:
        await at.submit("wait", {"a": 1})
        refusal = await at.submit(action, payload)
        assert code(refusal) == "CONFLICT"
        assert not refusal.error.retryable


@pytest.mark.clause("10.23.2")
async def test_an_absent_payload_is_the_same_as_null(handlers: Handlers, tmp_path: Path) -> None:
    async with desk(handlers, tmp_path) as at:
        await at.submit("wait", None)
        again = await at.service.submit(ANN, RequestMessage(id="r1", action="wait"))
        assert isinstance(again, Acknowledged)
        assert again.duplicate


@pytest.mark.clause("4.3.10", "4.4.2", "10.22.3")
@pytest.mark.parametrize(
    ("fields", "expected", "pointer"),
    [
        ({"action": "nothing"}, "UNKNOWN_ACTION", None),
        ({"action": "sum", "payload": {"rows": [1, "x"]}}, "VALIDATION_ERROR", "/payload/rows/1"),
        ({"action": "sum", "payload": {}}, "VALIDATION_ERROR", "/payload/rows"),
        ({"action": "sum", "payload": 7}, "VALIDATION_ERROR", "/payload"),
        ({"deadline_ms": 10, "delay_ms": 10}, "VALIDATION_ERROR", "/deadline_ms"),
        ({"callback_url": "https://example.org/x"}, "VALIDATION_ERROR", "/callback_url"),
    ],
)
async def test_what_cannot_be_run_is_refused_and_not_stored(
    handlers: Handlers,
    tmp_path: Path,
    fields: dict[str, Any],
    expected: str,
    pointer: str | None,
) -> None:
    async with desk(handlers, tmp_path) as at:
        refusal = await at.submit(**{"action": "wait", **fields})
        assert code(refusal) == expected
        if pointer is not None:
            assert refusal.error.details == {"pointer": pointer}
        assert await at.store.get(at.key()) is None


@pytest.mark.clause("10.44.1")
async def test_a_refusal_is_never_larger_than_a_message(handlers: Handlers, tmp_path: Path) -> None:
    @handlers.register("picky")
    async def picky(ctx: RequestContext, payload: Picky) -> None: ...

    async with desk(handlers, tmp_path) as at:
        for payload in ({"values": {"/" * 30_000: 1}}, {"name": "x" * 30_000}):
            refusal = await at.submit("picky", payload)
            assert code(refusal) == "VALIDATION_ERROR"
            assert len(refusal.error.model_dump_json()) < 4096


@pytest.mark.clause("3.5.1", "3.5.8", "4.4.2")
async def test_permission_is_asked_before_the_action_and_says_nothing_of_it(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path) as at:
        narrow = principal("ann", "request:sum", "admin")
        refusals = [await at.submit(name, who=narrow) for name in ("wait", "nothing")]
        assert [code(refusal) for refusal in refusals] == ["FORBIDDEN", "FORBIDDEN"]
        assert refusals[0] == refusals[1]


@pytest.mark.clause("10.5.1", "10.5.2", "10.45.3")
async def test_a_stored_id_is_looked_up_before_every_check(
    handlers: Handlers, tmp_path: Path
) -> None:
    # PROTOCOL 10.5: whatever those checks would say now.
    async with desk(handlers, tmp_path, bounds=limits(max_in_flight=1)) as at:
        await at.submit("wait", {"a": 1})
        nobody = principal("ann", "admin")
        for again in (
            await at.submit("wait", {"a": 1}, who=nobody),
            await at.submit("wait", {"a": 1}, deadline_ms=1, delay_ms=2),
            await at.submit("wait", {"a": 1}, callback_url="https://example.org/"),
            await at.submit("wait", {"a": 1}),
        ):
            assert isinstance(again, Acknowledged)
            assert again.duplicate
        assert code(await at.submit("nothing")) == "CONFLICT"
        assert code(await at.submit("echo", {"a": 1})) == "CONFLICT"


@pytest.mark.clause("4.4.2", "6.6.5", "10.50.5")
async def test_too_many_unfinished_requests_are_refused_as_retryable(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, bounds=limits(max_in_flight=2)) as at:
        await at.submit("wait", id="a")
        await at.submit("wait", id="b")
        refusal = await at.submit("wait", id="c")
        assert code(refusal) == "RESOURCE_EXHAUSTED"
        assert refusal.error.retryable
        assert refusal.error.retry_after_ms > 0
        assert code(await at.submit("sum", {}, id="c")) == "VALIDATION_ERROR"
        assert isinstance(await at.submit("wait", id="a", who=BOB), Acknowledged)
        await at.cancel("a")
        await at.node.finished(at.key("a"))
        # What was refused as retryable is taken under the same id.
        taken = await at.submit("wait", id="c")
        assert isinstance(taken, Acknowledged)
        assert not taken.duplicate


@pytest.mark.clause("6.6.10", "10.45.8", "10.50.5")
async def test_a_tenant_with_too_much_waiting_is_refused_as_retryable(
    handlers: Handlers, tmp_path: Path
) -> None:
    store = MemoryStore(limits=StoreLimits(max_waiting_per_tenant=2))
    async with desk(handlers, tmp_path, store=store) as at:
        await at.submit("wait", id="a", delay_ms=60_000)
        await at.submit("wait", id="b", delay_ms=60_000, who=BOB)
        for who in (ANN, BOB):
            refusal = await at.submit("wait", id="c", who=who)
            assert code(refusal) == "RESOURCE_EXHAUSTED"
            assert refusal.error.retryable
            assert refusal.error.retry_after_ms > 0
        again = await at.submit("wait", id="a", delay_ms=60_000)
        assert isinstance(again, Acknowledged)
        assert again.duplicate
        await at.cancel("a")
        assert isinstance(await at.submit("wait", id="c", who=BOB), Acknowledged)


@pytest.mark.clause("10.50.4")
async def test_a_request_that_failed_as_retryable_is_run_again_under_a_new_id_only(
    handlers: Handlers, tmp_path: Path
) -> None:
    runs: list[str] = []

    @handlers.register("busy", attempts=1)
    async def busy(ctx: RequestContext) -> None:
        runs.append(ctx.request_id)
        raise HandlerError("busy", "Not now.", retryable=True)

    async with desk(handlers, tmp_path) as at:
        await at.submit("busy", id="a")
        record = await at.node.finished(at.key("a"))
        assert json.loads(record.error or "")["retryable"] is True
        again = await at.submit("busy", id="a")
        assert again.duplicate
        await at.submit("busy", id="b")
        await at.node.finished(at.key("b"))
        assert runs == ["a", "b"]


@pytest.mark.clause("5.9.1", "5.9.4", "7.2.1", "10.31.2")
async def test_an_id_whose_log_is_gone_is_refused_as_expired(
    handlers: Handlers, tmp_path: Path
) -> None:
    now = 1_800_000_000_000
    store = MemoryStore(limits=StoreLimits(), clock=lambda: now)
    async with desk(handlers, tmp_path, store=store, idle=True) as at:
        await at.submit("wait")
        await at.cancel()
        now += 86_399_999
        await store.sweep()
        assert isinstance(await at.attach(), Attached)
        now += 1
        await store.sweep()
        for action in ("wait", "sum", "echo", "nothing"):
            refusal = await at.submit(action)
            assert code(refusal) == "CONFLICT"
            assert refusal.error.details == {"reason": "expired"}
        assert code(await at.attach()) == "NOT_FOUND"
        assert code(await at.cancel()) == "NOT_FOUND"


@pytest.mark.clause("5.9.1")
async def test_each_action_has_the_retention_that_it_was_registered_with(
    handlers: Handlers, tmp_path: Path
) -> None:
    @handlers.register("brief", retention=timedelta(minutes=1))
    async def brief(ctx: RequestContext) -> None: ...

    async with desk(handlers, tmp_path) as at:
        await at.submit("brief")
        record = await at.node.finished(at.key())
        assert record.finished_at is not None
        assert record.expires_at == record.finished_at + 60_000


# --- Who may what ---------------------------------------------------------------------------------


@pytest.mark.clause("3.5.5")
async def test_nobody_needs_a_permission_for_requests_of_their_own(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, idle=True) as at:
        await at.submit("wait")
        nobody = Principal(ANN.owner, frozenset(), ANN.expires_at, ANN.principal_id)
        assert isinstance(await at.attach(who=nobody), Attached)
        assert ids(await at.list(who=nobody)) == ["r1"]
        assert ids(await at.list(who=nobody, sub="ann")) == ["r1"]
        assert isinstance(await at.cancel(who=nobody), CancelAccepted)
        assert code(await at.submit("wait", id="r2", who=nobody)) == "FORBIDDEN"


@pytest.mark.clause("3.3.2")
async def test_nothing_that_a_client_writes_names_the_owner(
    handlers: Handlers, tmp_path: Path
) -> None:
    names = {"tenant_id": "other", "tenant": "other", "sub": "bob", "user": "bob", "owner": "bob"}
    async with desk(handlers, tmp_path, idle=True) as at:
        await at.submit("wait", names, metadata=names, traceparent="bob")
        assert (await at.node.record(at.key())).key.owner == ANN.owner
        assert code(await at.attach(who=BOB)) == "NOT_FOUND"
        assert code(await at.attach(who=STRANGER)) == "NOT_FOUND"


# --- Attaching -----------------------------------------------------------------------------------


@pytest.mark.clause("4.5.2")
async def test_attach_reads_the_request_and_its_log_in_one(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path) as at:
        await at.submit("sum", {"rows": [1]})
        await at.node.finished(at.key())
        attached = await at.attach(after_seq=1)
        assert isinstance(attached, Attached)
        assert [event.seq for event in attached.slice.events] == [2, 3]
        assert attached.slice.record.result == "1"
        assert isinstance(await at.attach(after_seq=3), Attached)


@pytest.mark.clause("7.2.1", "10.29.1")
async def test_a_position_beyond_the_log_is_a_conflict_that_tells_its_end(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, idle=True) as at:
        await at.submit("wait")
        refusal = await at.attach(after_seq=2)
        assert code(refusal) == "CONFLICT"
        assert refusal.error.details == {"last_seq": 1}


@pytest.mark.clause("3.4.2", "3.4.3", "10.48.2")
async def test_what_belongs_to_others_is_what_never_was(handlers: Handlers, tmp_path: Path) -> None:
    async with desk(handlers, tmp_path, idle=True) as at:
        await at.submit("wait")
        reader = principal("bob", "requests:read:tenant", "admin", "request:*")
        for who in (BOB, STRANGER, reader):
            assert await at.attach(who=who) == await at.attach("never", who=who)
            assert await at.cancel(who=who) == await at.cancel("never", who=who)
            assert code(await at.attach(who=who)) == "NOT_FOUND"
        assert (await at.node.record(at.key())).cancel_requested_at is None
        mine = await at.submit("wait", {"other": 1}, who=BOB)
        assert not mine.duplicate


# --- Cancelling ----------------------------------------------------------------------------------


@pytest.mark.clause("5.6.3", "10.14.6")
async def test_a_queued_request_ends_at_once_with_the_first_reason(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, idle=True) as at:
        await at.submit("wait")
        answer = await at.cancel(reason="first")
        assert isinstance(answer, CancelAccepted)
        assert answer.record.status == "cancelled"
        again = await at.cancel(reason="second")
        assert json.loads(again.record.error)["details"] == {"reason": "first"}


@pytest.mark.clause("5.6.4")
async def test_a_running_request_hears_of_its_cancel_and_its_followers_of_the_end(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path) as at:
        await at.submit("wait")
        await at.node.until(at.key(), lambda record: record.status == "processing")
        answer = await at.cancel(reason="enough")
        assert answer.record.cancel_requested_at is not None
        assert (await at.node.finished(at.key())).status == "cancelled"


@pytest.mark.clause("5.6.6")
async def test_a_finished_request_answers_a_cancel_with_its_snapshot(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path) as at:
        await at.submit("sum", {"rows": []})
        await at.node.finished(at.key())
        answer = await at.cancel()
        assert (answer.record.status, answer.record.result) == ("completed", "0")


@pytest.mark.clause("5.8.1")
async def test_a_cancel_and_a_result_race_to_exactly_one_end(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path) as at:
        for number in range(50):
            id = f"race-{number}"
            await at.submit("sum", {"rows": [1]}, id=id)
            for _ in range(number % 7):
                await asyncio.sleep(0)
            await at.cancel(id)
            await at.node.finished(at.key(id))
            log = await at.node.log(at.key(id))
            ends = [event for event in log if event["type"] in ("complete", "error")]
            assert ends == log[-1:]


# --- Listing -------------------------------------------------------------------------------------


def ids(page: object) -> list[str]:
    assert isinstance(page, Listed)
    return [json.loads(text)["id"] for text in page.summaries]


@pytest.mark.clause("4.6.2", "10.47.1")
async def test_a_list_shows_the_callers_own_requests_newest_first_in_pages(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, idle=True) as at:
        for number in range(5):
            await at.submit("wait", id=f"r{number}")
        await at.submit("wait", id="foreign", who=BOB)
        seen: list[str] = []
        cursor: dict[str, Any] = {}
        while True:
            page = await at.list(limit=2, **cursor)
            seen += ids(page)
            if page.next_cursor is None:
                break
            cursor = {"cursor": page.next_cursor}
        assert seen == ["r4", "r3", "r2", "r1", "r0"]


@pytest.mark.clause("4.6.4", "4.6.5")
async def test_a_list_keeps_to_its_filters(handlers: Handlers, tmp_path: Path) -> None:
    async with desk(handlers, tmp_path, idle=True) as at:
        await at.submit("wait", id="a")
        await at.submit("sum", {"rows": []}, id="b")
        await at.cancel("a")
        assert ids(await at.list(status=["cancelled"])) == ["a"]
        assert ids(await at.list(status=["queued", "completed"])) == ["b"]
        assert ids(await at.list(status=["no_such_status"])) == []
        assert ids(await at.list(action="wait")) == ["a"]


@pytest.mark.clause("3.4.4", "4.6.2")
async def test_only_a_tenant_reader_lists_another_subject_of_the_same_tenant(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, idle=True) as at:
        await at.submit("wait")
        reader = principal("bob", "requests:read:tenant")
        assert ids(await at.list(who=reader, sub="ann")) == ["r1"]
        assert ids(await at.list(who=reader)) == []
        assert ids(await at.list(sub="ann")) == ["r1"]
        assert code(await at.list(who=BOB, sub="ann")) == "FORBIDDEN"
        outside = principal("eve", "requests:read:tenant", tenant="other")
        assert ids(await at.list(who=outside, sub="ann")) == []


@pytest.mark.clause("4.6.7")
async def test_a_cursor_of_another_list_is_refused(handlers: Handlers, tmp_path: Path) -> None:
    async with desk(handlers, tmp_path, idle=True) as at:
        for number in range(3):
            await at.submit("wait", id=f"r{number}")
        cursor = (await at.list(limit=1)).next_cursor
        for answer in (
            await at.list(cursor="made-up"),
            await at.list(cursor=cursor, action="wait"),
            await at.list(cursor=cursor, who=BOB),
        ):
            assert code(answer) == "VALIDATION_ERROR"
            assert answer.error.details == {"pointer": "/cursor"}


@pytest.mark.clause("10.44.6")
async def test_a_page_that_would_not_fit_ends_early_and_loses_nothing(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, idle=True, bounds=limits(max_message_bytes=4096)) as at:
        for number in range(30):
            await at.submit("wait", id=f"r{number:02}-{'x' * 100}")
        seen: list[str] = []
        cursor: dict[str, Any] = {}
        while True:
            page = await at.list(limit=200, **cursor)
            assert 0 < sum(map(len, page.summaries)) < 4096
            seen += ids(page)
            if page.next_cursor is None:
                break
            cursor = {"cursor": page.next_cursor}
        assert seen == sorted(seen, reverse=True)
        assert len(seen) == 30


# --- Quick requests are looked up too ------------------------------------------------------------


@pytest.mark.clause("10.11.1", "10.11.2", "10.11.3", "10.11.4")
async def test_a_quick_request_is_answered_and_not_remembered(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path) as at:
        assert await at.call("echo", {"n": 1}) == Answered('{"n":1}')
        # PROTOCOL 10.11: run again, and no conflict.
        assert await at.call("echo", {"n": 2}) == Answered('{"n":2}')
        assert code(await at.attach()) == "NOT_FOUND"
        assert code(await at.cancel()) == "NOT_FOUND"
        assert "submit" not in at.store.calls


@pytest.mark.clause("10.6.2", "10.10.1")
async def test_what_cannot_be_quick_is_stored_before_it_runs(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path) as at:
        assert isinstance(await at.submit("echo", 1, id="a", resend=True), Acknowledged)
        assert isinstance(await at.submit("echo", 1, id="b", delay_ms=0), Acknowledged)
        for id in ("a", "b"):
            assert (await at.node.finished(at.key(id))).result == "1"


async def test_a_record_found_is_given_to_its_owner_alone(
    handlers: Handlers, tmp_path: Path
) -> None:
    async with desk(handlers, tmp_path, idle=True) as at:
        await at.submit("wait")
        assert isinstance(await at.service.find(at.key()), Record)
        assert await at.service.find(at.key(who=BOB)) is None
