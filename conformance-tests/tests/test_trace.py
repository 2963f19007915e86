# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from longcall_conformance.runner.trace import Trace, violations


def status(seq: int) -> dict[str, Any]:
    return {"ev": "handle.status", "handle": "h", "seq": seq, "status": "processing"}


def chunk(seq: int) -> dict[str, Any]:
    return {"ev": "handle.chunk", "handle": "h", "seq": seq, "attempt": 1, "data": None}


def progress(version: int) -> dict[str, Any]:
    return {"ev": "handle.progress", "handle": "h", "attempt": 1, "version": version}


RESULT = {"ev": "handle.result", "handle": "h", "result": 1}
ERROR = {"ev": "handle.error", "handle": "h", "err": {"kind": "request", "message": ""}}
END = {"ev": "handle.end", "handle": "h"}


def test_a_whole_log_with_its_end_is_fine() -> None:
    events = [status(1), status(2), progress(1), chunk(3), progress(2), END, RESULT]
    assert violations(Trace(events=events, most_open=1), ["secret"]) == []


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ([status(1), status(1)], "seq 1 after 1"),
        ([status(1), chunk(3)], "instead of 1, 2, 3"),
        ([status(2)], "instead of 1, 2, 3"),
        ([chunk(3), chunk(2)], "seq 2 after 3"),
        ([progress(2), progress(2)], "is not newer"),
        ([RESULT, RESULT], "2 outcomes"),
        ([RESULT, ERROR], "2 outcomes"),
        ([status(1), END, status(2)], "after the end of the iteration"),
    ],
)
def test_what_no_case_allows_is_found(events: list[dict[str, Any]], complaint: str) -> None:
    found = violations(Trace(events=events, most_open=1), [])
    assert any(complaint in text for text in found)


def test_two_sockets_at_a_time_are_found_but_for_goaway() -> None:
    assert violations(Trace(most_open=2), [])
    goaway = {"connection": "c1", "what": "sent", "message": {"type": "goaway"}}
    assert violations(Trace(most_open=2, frames=[goaway]), []) == []
    assert violations(Trace(most_open=3, frames=[goaway]), [])


def test_a_token_in_an_error_is_found() -> None:
    error = {**ERROR, "err": {"kind": "other", "message": "refused: secret-token"}}
    assert violations(Trace(events=[error]), ["secret-token"])


def test_a_number_of_an_unknown_type_of_event_may_be_missing() -> None:
    sparkle = {"connection": "c1", "what": "sent", "message": {"type": "sparkle", "seq": 2}}
    trace = Trace(events=[status(1), chunk(3)], frames=[sparkle], most_open=1)
    assert violations(trace, []) == []
