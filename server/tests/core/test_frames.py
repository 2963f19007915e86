# SPDX-License-Identifier: Apache-2.0
"""Each frame put together by hand is the message that its model would write."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from longcall_server.core import events, frames
from longcall_server.core.codes import ErrorCode
from longcall_server.core.errors import Answered, error_info
from longcall_server.core.messages import ServerMessage

SERVER_MESSAGE: TypeAdapter[ServerMessage] = TypeAdapter(ServerMessage)
ODD = 'a"\\\u2028\u0000\U0001f600'
INFO = error_info(ErrorCode.NOT_FOUND, ODD, retry_after_ms=5, details={"x": ODD})


@pytest.mark.clause("2.2.2", "2.3.10")
@pytest.mark.parametrize(
    "frame",
    [
        frames.PING,
        frames.pong(None),
        frames.pong(ODD),
        frames.response("r.1", '{"a":[1,null]}'),
        frames.progress("r.1", '{"attempt":1,"version":2,"updated_at":"2026-11-23T18:31:00.000Z"}'),
        frames.refusal(INFO, Answered()),
        frames.refusal(INFO, Answered("request", request_id="r.1")),
        frames.refusal(INFO, Answered("list", list_id="l:1")),
        frames.refusal(INFO, Answered(ODD)),
        frames.executed_error("r.1", INFO.model_dump_json()),
        frames.refreshed("2026-11-23T18:31:00.000Z", "2026-11-23T18:30:00.000Z"),
        frames.goaway(ODD, 100),
    ],
)
def test_a_frame_is_the_text_of_its_model(frame: str) -> None:
    model = SERVER_MESSAGE.validate_json(frame, by_alias=True, by_name=False)
    assert json.loads(model.model_dump_json()) == json.loads(frame, object_pairs_hook=_unique)
    assert "\n" not in frame


@pytest.mark.clause("4.3.1")
def test_an_error_has_a_number_only_where_it_ends_a_log() -> None:
    error = INFO.model_dump_json()
    for frame in (
        frames.refusal(INFO, Answered("request", request_id="r.1")),
        frames.refusal(INFO, Answered("attach", request_id="r.1")),
        frames.executed_error("r.1", error),
    ):
        assert "seq" not in json.loads(frame)
    assert json.loads(events.error("r.1", error).frame(7))["seq"] == 7


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in members]
    assert len(set(keys)) == len(keys), keys
    return dict(members)
