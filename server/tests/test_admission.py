# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
from service_harness import ANN, limits

from longcall_server import Handlers, JsonValue, RequestContext
from longcall_server.admission import Admitted, admit
from longcall_server.answers import Refused
from longcall_server.core.messages import RequestMessage

handlers = Handlers()


@handlers.register("echo")
async def echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
    """Answers with what came."""
    return payload


def admitted(bound: int, **fields: Any) -> Admitted | Refused:
    message = RequestMessage(id="r1", action="echo", **fields)
    bounds = limits(max_payload_bytes=bound, max_metadata_bytes=bound)
    return admit(handlers, ANN, message, 0, bounds)


@pytest.mark.clause("6.5.6", "7.2.1")
@pytest.mark.parametrize(
    ("payload", "size"),
    [(None, 4), ("x" * 8, 10), ("é" * 4, 10), ({"a": [1, 2.5]}, 13), (["\U0001f600"], 8)],
)
def test_a_payload_of_as_many_bytes_as_allowed_is_admitted_and_no_more(
    payload: JsonValue, size: int
) -> None:
    assert isinstance(admitted(size, payload=payload), Admitted)
    refused = admitted(size - 1, payload=payload)
    assert isinstance(refused, Refused)
    assert (refused.error.code, refused.error.retryable) == ("PAYLOAD_TOO_LARGE", False)
    assert refused.error.details == {"limit": size - 1, "size": size}
    assert "payload" in refused.error.message


@pytest.mark.clause("6.5.7", "7.2.1")
def test_metadata_of_as_many_bytes_as_allowed_is_admitted_and_no_more() -> None:
    metadata = {"é": "ab", "kk": "\U0001f600"}
    assert isinstance(admitted(10, metadata=metadata), Admitted)
    refused = admitted(9, metadata=metadata)
    assert isinstance(refused, Refused)
    assert (refused.error.code, refused.error.retryable) == ("PAYLOAD_TOO_LARGE", False)
    assert refused.error.details == {"limit": 9, "size": 10}
    assert "metadata" in refused.error.message


def test_sizes_are_not_limited_where_no_limit_is_told() -> None:
    message = RequestMessage(id="r1", action="echo", payload="x" * 9000, metadata={"k": "v" * 512})
    assert isinstance(admit(handlers, ANN, message, 0, limits()), Admitted)
