# SPDX-License-Identifier: Apache-2.0
"""Limits of sizes over real sockets, both ways: what reaches one passes, one byte more does not.

PROTOCOL 10.43 to 10.45. What a handler's own call raises is tested in `test_executor.py`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from wire import Wire, connected, settings

from longcall_server import Handlers, JsonValue, PayloadTooLarge, RequestContext
from longcall_server.server import Server

MESSAGE = 4096
LOG = 65_536
VALUES = 256
PAYLOAD = 500
METADATA = 100
handlers = Handlers()


@handlers.register("measure", durable=False)
async def measure(ctx: RequestContext, payload: str) -> int:
    """Answers with the size of what came."""
    return len(payload)


@handlers.register("quick_result", durable=False)
async def quick_result(ctx: RequestContext, size: int) -> str:
    """Answers with so much."""
    return "x" * size


@handlers.register("result")
async def result(ctx: RequestContext, size: int) -> str:
    """Ends with so much."""
    return "x" * size


@handlers.register("chunk")
async def chunk(ctx: RequestContext, size: int) -> JsonValue:
    """Sends one chunk of so much; says what its call raised."""
    try:
        await ctx.chunk("x" * size)
    except PayloadTooLarge as error:
        return {"limit": error.limit, "size": error.size}
    return None


@handlers.register("fill")
async def fill(ctx: RequestContext, size: int) -> None:
    """Writes a log of more than any may have."""
    while True:
        await ctx.chunk("x" * size)


@pytest_asyncio.fixture(params=["memory", "sqlite"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    bounds = {"max_message_bytes": MESSAGE, "max_log_bytes": LOG}
    given = settings(store=request.param, data_dir=tmp_path, **bounds)
    async with Server(given, handlers) as server:
        yield server


@pytest_asyncio.fixture
async def wire(server: Server) -> AsyncIterator[Wire]:
    async with connected(server.url) as wire:
        yield wire


@pytest.mark.clause("2.6.3", "2.6.4", "6.5.1")
@pytest.mark.slow
async def test_a_payload_up_to_the_limit_passes_and_one_byte_more_closes(server: Server) -> None:
    async with connected(server.url) as wire:
        bare = len(json.dumps({"type": "request", "id": "p", "action": "measure", "payload": ""}))
        room = MESSAGE - bare
        await wire.send("request", id="p", action="measure", payload="x" * room)
        assert (await wire.receive())["result"] == room
        await wire.send("request", id="p", action="measure", payload="x" * (room + 1))
        assert await wire.closed() == 1009
    async with connected(server.url) as wire:
        assert wire.welcome["limits"]["max_message_bytes"] == MESSAGE
        await wire.send("attach", request_id="p", after_seq=0)
        assert (await wire.receive())["error"]["code"] == "NOT_FOUND"


@pytest.mark.clause("6.6.7", "2.3.16", "6.5.6", "6.5.7")
async def test_the_limits_that_welcome_tells_hold() -> None:
    bounds = {"max_values": VALUES, "max_payload_bytes": PAYLOAD, "max_metadata_bytes": METADATA}
    longest = {"max_string_length": MESSAGE}
    given = settings(**bounds, **longest)
    async with Server(given, handlers) as server, connected(server.url) as wire:
        assert wire.welcome["limits"].items() >= {**bounds, **longest}.items()
        for limit, payload, metadata, code in (
            ("max_values", [0] * VALUES, {}, "VALIDATION_ERROR"),
            ("max_string_length", "x" * (MESSAGE + 1), {}, "VALIDATION_ERROR"),
            ("max_payload_bytes", "x" * (PAYLOAD - 1), {}, "PAYLOAD_TOO_LARGE"),
            ("max_metadata_bytes", "", {"k": "v" * METADATA}, "PAYLOAD_TOO_LARGE"),
        ):
            ask = {"id": limit, "action": "measure", "payload": payload, "metadata": metadata}
            await wire.send("request", **ask)
            refused = await wire.receive()
            assert (refused["request_id"], refused["error"]["code"]) == (limit, code)
            assert refused["error"]["retryable"] is False
        fits = {"payload": "x" * (PAYLOAD - 2), "metadata": {"k": "v" * (METADATA - 1)}}
        await wire.send("request", id="fits", action="measure", **fits)
        assert (await wire.receive())["result"] == PAYLOAD - 2


@pytest.mark.clause("6.6.7")
async def test_limits_that_are_not_set_are_not_told() -> None:
    async with Server(settings(), handlers) as server, connected(server.url) as wire:
        told = wire.welcome["limits"]
        assert told["max_values"] == 100_000
        assert not {"max_string_length", "max_payload_bytes", "max_metadata_bytes"} & set(told)


@pytest.mark.clause("2.6.2")
@pytest.mark.slow
async def test_bytes_are_counted_and_not_characters(wire: Wire) -> None:
    message = {"type": "request", "id": "b", "action": "measure", "payload": "é" * (MESSAGE // 2)}
    text = json.dumps(message, ensure_ascii=False)
    assert len(text) < MESSAGE < len(text.encode())
    await wire.send_text(text)
    assert await wire.closed() == 1009


@pytest.mark.clause("6.5.2", "10.44.1", "10.44.2")
@pytest.mark.parametrize("action", ["quick_result", "result", "chunk"])
async def test_a_frame_to_the_client_never_exceeds_the_limit(wire: Wire, action: str) -> None:
    # A number that a frame may get is counted at its longest: the last bytes are found by trying.
    passed, failed = [], []
    for size in range(MESSAGE - 160, MESSAGE - 60):
        await wire.send("request", id=f"{size}", action=action, payload=size)
        *before, end = await wire.until_type("complete", "response", "error")
        for message in (*before, end):
            assert len(json.dumps(message, separators=(",", ":"))) <= MESSAGE
        problem = end["error"]["details"] if end["type"] == "error" else end["result"]
        if action == "chunk" and problem is None:
            assert [m["data"] for m in before if m["type"] == "chunk"] == ["x" * size]
            passed.append(size)
        elif isinstance(problem, dict):
            assert problem["limit"] == MESSAGE < problem["size"]
            failed.append(size)
        else:
            assert problem == "x" * size
            passed.append(size)
        if end["type"] == "error":
            assert end["error"]["code"] == "PAYLOAD_TOO_LARGE"
            assert end["error"]["retryable"] is False
    assert passed
    assert failed
    assert max(passed) + 1 == min(failed)


@pytest.mark.clause("10.44.3", "10.44.4")
async def test_a_log_up_to_its_limit_stands_and_the_request_ends(wire: Wire) -> None:
    await wire.send("request", id="f", action="fill", payload=2000)
    messages = await wire.ended()
    end = messages[-1]
    assert end["error"]["code"] == "RESOURCE_EXHAUSTED"
    # PROTOCOL 10.44: room for the end is kept, so the log as a whole stays within its limit.
    log = [json.dumps(m, separators=(",", ":")) for m in messages if "seq" in m]
    assert LOG / 2 < sum(map(len, log)) <= LOG
    assert [m["seq"] for m in messages if "seq" in m] == list(range(1, len(log) + 1))
    await wire.send("request", id="next", action="measure", payload="it goes on")
    assert (await wire.until_type("response"))[-1]["result"] == 10
