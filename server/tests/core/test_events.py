# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from longcall_server.core import events
from longcall_server.core.events import EventDraft, EventKind
from longcall_server.core.messages import ServerMessage

ID = "0198c0de-0000-7000-8000-000000000001"
ERROR = '{"code":"TIMEOUT","message":"late","retryable":false}'

DRAFTS = {
    "acknowledgment": events.acknowledgment(ID, 1_764_000_000_123),
    "processing": events.processing(ID, 2, 7),
    "retrying": events.retrying(ID, 2, 7, 1_764_000_000_123, ERROR),
    "chunk": events.chunk(ID, 2, '[1,"ü"]'),
    "complete": events.complete(ID, '{"rows":3}'),
    "error": events.error(ID, ERROR),
}


@pytest.mark.clause("2.2.2")
@pytest.mark.parametrize("draft", DRAFTS.values(), ids=DRAFTS.keys())
def test_a_frame_is_a_message_of_the_protocol(draft: EventDraft) -> None:
    message = TypeAdapter[ServerMessage](ServerMessage).validate_json(draft.frame(1), by_alias=True)
    assert message.type == draft.kind.value


@pytest.mark.clause("2.3.3", "2.4.1")
def test_frames_have_exactly_the_fields_of_their_event_in_order() -> None:
    assert [draft.frame(9) for draft in DRAFTS.values()] == [
        f'{{"type":"acknowledgment","request_id":"{ID}","seq":9,"status":"queued",'
        '"created_at":"2025-11-24T16:00:00.123Z"}',
        f'{{"type":"status","request_id":"{ID}","seq":9,"status":"processing","attempt":2,'
        '"chunks_kept_to":7}',
        f'{{"type":"status","request_id":"{ID}","seq":9,"status":"retrying","attempt":2,'
        f'"chunks_kept_to":7,"retry_at":"2025-11-24T16:00:00.123Z","error":{ERROR}}}',
        f'{{"type":"chunk","request_id":"{ID}","seq":9,"attempt":2,"data":[1,"ü"]}}',
        f'{{"type":"complete","request_id":"{ID}","seq":9,"result":{{"rows":3}}}}',
        f'{{"type":"error","request_id":"{ID}","seq":9,"error":{ERROR}}}',
    ]


def test_only_complete_and_error_are_terminal() -> None:
    terminal = [name for name, draft in DRAFTS.items() if draft.is_terminal]
    assert terminal == ["complete", "error"]


@given(request_id=st.text(max_size=20), data=st.text(), seq=st.integers(1, 2**53 - 1))
def test_the_size_bounds_every_frame(request_id: str, data: str, seq: int) -> None:
    draft = events.chunk(request_id.encode(errors="replace").decode(), 1, _json(data))
    assert len(draft.frame(seq).encode()) <= draft.size <= len(draft.frame(1).encode()) + 16


@given(request_id=st.text(max_size=20), value=st.text())
def test_ids_and_values_of_any_text_survive(request_id: str, value: str) -> None:
    request_id = request_id.encode(errors="replace").decode()
    frame = json.loads(events.chunk(request_id, 1, _json(value)).frame(3))
    assert (frame["request_id"], frame["seq"]) == (request_id, 3)
    assert frame["data"] == json.loads(_json(value))


@pytest.mark.clause("10.24.1")
def test_a_duplicate_is_event_1_with_one_more_field() -> None:
    frame = DRAFTS["acknowledgment"].frame(1)
    marked = events.with_duplicate(frame)
    assert json.loads(marked) == {**json.loads(frame), "duplicate": True}


@pytest.mark.parametrize("json_text", ["null", '{"a":",\\"result\\":1"}', '",\\"error\\":2"'])
def test_the_outcome_of_a_terminal_frame_is_its_result_or_error(json_text: str) -> None:
    tricky = 'a","result":1,"error":2'
    assert events.outcome(events.complete(tricky, json_text).frame(12)) == json_text
    assert events.outcome(events.error(tricky, json_text).frame(12)) == json_text


def test_other_frames_have_no_outcome() -> None:
    with pytest.raises(ValueError, match="terminal"):
        events.outcome(DRAFTS["chunk"].frame(3))


@given(st.integers(0, 253_402_300_799_999))
def test_a_timestamp_is_read_back_as_the_same_time(ms: int) -> None:
    assert events.parse_timestamp(events.timestamp(ms)) == ms


def test_a_leap_second_is_the_next_minutes_first() -> None:
    leap = events.parse_timestamp("2016-12-31T23:59:60.500Z")
    assert events.timestamp(leap) == "2017-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-23",
        "2026-11-23T18:31:00Z",
        "2026-11-23T18:31:00.000",
        "2026-11-23T18:31:00.000+00:00",
        "2026-11-23T18:31:00.0000Z",
        "2026-13-23T18:31:00.000Z",
        "２026-11-23T18:31:00.000Z",
        "2026-11-23T18:31:00.000Z\n",
    ],
)
def test_another_form_of_a_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|month|\d"):
        events.parse_timestamp(text)


def test_each_kind_is_the_type_of_its_message() -> None:
    assert {draft.kind for draft in DRAFTS.values()} == set(EventKind)


def _json(value: str) -> str:
    return json.dumps(value.encode(errors="replace").decode(), ensure_ascii=False)
