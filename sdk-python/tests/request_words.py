# SPDX-License-Identifier: Apache-2.0
"""Short words for the tests of requests."""

from __future__ import annotations

from typing import Any

from scripted import Script

from longcall import (
    RequestError,
)
from longcall.protocol import TrackedRequest
from longcall.testing.messages import failure


def ready(**changes: Any) -> Script:
    script = Script()
    script.connect(**changes)
    return script


def error_of(state: TrackedRequest) -> RequestError:
    assert state.outcome is not None
    assert isinstance(state.outcome.error, RequestError)
    return state.outcome.error


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages]


def busy(code: str, reply_to: str, retry_after_ms: int) -> dict[str, Any]:
    """Returns a refusal that invites to try again."""
    return failure(
        code, retryable=True, request_id="r", reply_to=reply_to, retry_after_ms=retry_after_ms
    )
