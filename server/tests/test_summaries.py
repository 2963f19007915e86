# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from longcall_server.core.codes import RequestStatus
from longcall_server.core.lifecycle import RetryPolicy
from longcall_server.core.messages import ServerMessage
from longcall_server.stores.base import Owner, Record, RequestKey, StoredProgress
from longcall_server.summaries import fitting_summaries, listing, snapshot

SERVER_MESSAGE: TypeAdapter[ServerMessage] = TypeAdapter(ServerMessage)
T0 = 1_795_460_000_000


def record(**changes: Any) -> Record:
    values: dict[str, Any] = {
        "record_id": 1,
        "key": RequestKey(Owner("acme", "ann"), "r1"),
        "action": "report",
        "payload": "",
        "digest": "",
        "submission": "",
        "policy": RetryPolicy(),
        "metadata": {},
        "priority": 5,
        "rank": 0,
        "status": RequestStatus.QUEUED,
        "attempt": 0,
        "failures": 0,
        "created_at": T0,
        "updated_at": T0,
        "due_at": T0,
        "deadline_at": None,
        "last_seq": 1,
        "log_bytes": 0,
        "chunks_kept_to": 0,
        "checkpoint": None,
        "cancel_grace_ms": 0,
        "retention_ms": 0,
    }
    return Record(**{**values, **changes})


def progress(**members: Any) -> StoredProgress:
    state = {"attempt": 1, "version": 3, "updated_at": "2026-11-23T18:53:20.000Z", **members}
    return StoredProgress(1, 3, json.dumps(state, separators=(",", ":"), ensure_ascii=False))


def shown(frame: str) -> Any:
    SERVER_MESSAGE.validate_json(frame, by_alias=True, by_name=False)
    return json.loads(frame)


@pytest.mark.clause("2.4.3", "10.2.3", "10.32.1")
def test_a_new_request_has_no_more_than_what_is_required() -> None:
    assert shown(snapshot(record(), "attach", 10_000)) == {
        "type": "snapshot",
        "request_id": "r1",
        "reply_to": "attach",
        "request": {
            "id": "r1",
            "action": "report",
            "status": "queued",
            "attempt": 0,
            "created_at": "2026-11-23T18:53:20.000Z",
            "updated_at": "2026-11-23T18:53:20.000Z",
            "last_seq": 1,
        },
    }


@pytest.mark.clause("5.9.2")
def test_a_request_shows_all_that_is_known_of_it() -> None:
    finished = record(
        status=RequestStatus.CANCELLED,
        attempt=2,
        last_seq=9,
        cancel_requested_at=T0,
        requeued_from="r0",
        progress=progress(percentage=50),
        expires_at=T0 + 1,
        error='{"code":"CANCELLED","message":"x","retryable":false}',
    )
    message = shown(snapshot(finished, "cancel", 10_000))
    request = message["request"]
    assert request["cancel_requested"] is True
    assert request["requeued_from"] == "r0"
    assert request["progress"]["percentage"] == 50
    assert request["expires_at"] == "2026-11-23T18:53:20.001Z"
    assert message["error"]["code"] == "CANCELLED"
    assert "result" not in message


def test_a_null_result_is_a_result() -> None:
    done = record(status=RequestStatus.COMPLETED, result="null")
    assert shown(snapshot(done, "attach", 10_000))["result"] is None


@pytest.mark.clause("10.44.5")
def test_a_snapshot_leaves_out_details_first_and_then_the_result() -> None:
    big = record(
        progress=progress(message="half", details="é" * 1000), result=json.dumps("r" * 1000)
    )
    whole = shown(snapshot(big, "attach", 4000))
    assert "details" in whole["request"]["progress"]
    brief = shown(snapshot(big, "attach", 3000))
    assert brief["request"]["progress"]["message"] == "half"
    assert "details" not in brief["request"]["progress"]
    assert "result" in brief
    bare = snapshot(big, "attach", 1000)
    assert "result" not in shown(bare)
    assert "progress" in shown(bare)["request"]
    assert len(bare.encode()) <= 1000


@pytest.mark.clause("10.44.5")
def test_a_snapshot_leaves_out_the_details_of_its_error_last() -> None:
    error = {"code": "HANDLER_ERROR", "message": "m", "retryable": False, "details": "d" * 2000}
    failed = record(status=RequestStatus.FAILED, error=json.dumps(error))
    assert "details" in shown(snapshot(failed, "attach", 4000))["error"]
    brief = shown(snapshot(failed, "attach", 1000))
    assert brief["error"] == {"code": "HANDLER_ERROR", "message": "m", "retryable": False}


@pytest.mark.clause("10.44.1")
def test_even_a_long_message_of_progress_yields() -> None:
    talkative = record(progress=progress(message="m" * 5000))
    assert "progress" not in shown(snapshot(talkative, "attach", 2000))["request"]


@pytest.mark.clause("10.44.1")
def test_even_a_long_message_of_an_error_yields() -> None:
    error = json.dumps({"code": "HANDLER_ERROR", "message": "m" * 9000, "retryable": False})
    frame = snapshot(record(status=RequestStatus.FAILED, error=error), "attach", 4096)
    assert len(frame.encode()) <= 4096
    assert shown(frame)["error"]["code"] == "HANDLER_ERROR"


@pytest.mark.clause("10.44.6", "10.44.7")
def test_a_page_takes_as_many_summaries_as_fit_and_always_one() -> None:
    many = [record(progress=progress(details="d" * 1000)) for _ in range(5)]
    assert len(fitting_summaries(many, 1_000_000)) == 5
    some = fitting_summaries(many, 2048 + 3000)
    assert len(some) == 2
    assert len(listing("l1", some, "c" * 1024).encode()) <= 2048 + 3000
    (single,) = fitting_summaries(many, 2048 + 700)
    assert "details" not in json.loads(single)["progress"]
    assert fitting_summaries([], 4096) == ()


def test_a_listing_is_the_text_of_its_model() -> None:
    summaries = fitting_summaries([record(), record(attempt=1)], 100_000)
    message = shown(listing("l:1", summaries, 'c"'))
    assert [request["attempt"] for request in message["requests"]] == [0, 1]
    assert (message["id"], message["next_cursor"]) == ("l:1", 'c"')
    assert "next_cursor" not in shown(listing("l1", (), None))
