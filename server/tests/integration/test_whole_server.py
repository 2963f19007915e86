# SPDX-License-Identifier: Apache-2.0
"""The whole server over real sockets, in this process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from integration_app import handlers
from wire import Wire, connected, is_terminal, settings, token, types

from longcall_server.config import SettingsError
from longcall_server.server import Server

Dial = Callable[..., Any]


@pytest_asyncio.fixture(params=["memory", "sqlite"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    given = settings(store=request.param, data_dir=tmp_path)
    async with Server(given, handlers) as server:
        yield server


@pytest_asyncio.fixture
async def wire(server: Server) -> AsyncIterator[Wire]:
    async with connected(server.url) as wire:
        yield wire


@pytest.mark.clause("2.3.14", "5.3.2")
async def test_a_quick_request_is_answered_at_once(wire: Wire) -> None:
    payload = {"a": [1, 1.5, None, "é\u2028"]}
    await wire.send("request", id="q-1", action="echo", payload=payload)
    assert await wire.receive() == {"type": "response", "request_id": "q-1", "result": payload}


@pytest.mark.clause("2.2.5")
async def test_a_message_may_come_in_fragments_with_pings_between_them(wire: Wire) -> None:
    text = json.dumps({"type": "request", "id": "q-2", "action": "echo", "payload": "größe"})

    async def fragments() -> AsyncIterator[str]:
        for start in range(0, len(text), 7):
            yield text[start : start + 7]
            await wire.socket.ping()

    await wire.socket.send(fragments(), text=True)
    assert await wire.receive() == {"type": "response", "request_id": "q-2", "result": "größe"}


@pytest.mark.clause("5.4.3", "6.1.1", "6.1.2")
async def test_a_durable_request_tells_its_whole_story(wire: Wire) -> None:
    await wire.send("request", id="d-1", action="rows", payload=3)
    messages = await wire.ended()
    assert types(messages) == [
        "acknowledgment",
        "status",
        "chunk",
        "chunk",
        "chunk",
        "complete",
    ]
    numbered = [message for message in messages if "seq" in message]
    assert [message["seq"] for message in numbered] == [1, 2, 3, 4, 5, 6]
    assert numbered[1]["status"] == "processing"
    assert [message["data"] for message in numbered[2:5]] == [[0], [1], [2]]
    assert numbered[-1]["result"] == {"rows": 3}
    # PROTOCOL 10.35: the last progress comes before the terminal event.
    assert messages[-2]["type"] == "progress"
    assert messages[-2]["percentage"] == 100


@pytest.mark.clause("5.3.3")
@pytest.mark.complaint(1)
async def test_a_slow_quick_request_is_promoted(wire: Wire) -> None:
    await wire.send("request", id="p-1", action="slow_quick")
    messages = await wire.ended()
    assert types(messages) == ["acknowledgment", "status", "complete"]
    assert messages[-1]["result"] == "after a while"


@pytest.mark.clause("10.10.2")
async def test_the_first_chunk_of_a_quick_request_promotes_it(wire: Wire) -> None:
    await wire.send("request", id="p-2", action="quick_chunk")
    messages = await wire.ended()
    assert types(messages) == ["acknowledgment", "status", "chunk", "complete"]
    assert messages[-1]["result"] == 3


@pytest.mark.clause("5.1.5", "5.1.6", "10.23.1", "10.24.1", "10.24.2")
async def test_the_same_request_again_is_a_duplicate_and_another_one_a_conflict(
    wire: Wire, server: Server
) -> None:
    await wire.send("request", id="same", action="rows", payload=1)
    first = await wire.ended()
    async with connected(server.url) as other:
        await other.send("request", id="same", action="rows", payload=1.0, resend=True)
        again = await other.ended()
        assert again[0] == first[0] | {"duplicate": True}
        assert [m for m in again if "seq" in m][1:] == [m for m in first if "seq" in m][1:]
        await other.send("request", id="same", action="rows", payload=2)
        refusal = await other.receive()
        assert refusal["error"]["code"] == "CONFLICT"
        assert "seq" not in refusal


@pytest.mark.clause("3.4.2")
async def test_somebody_elses_request_does_not_exist(wire: Wire, server: Server) -> None:
    await wire.send("request", id="mine", action="rows", payload=1)
    await wire.ended()
    async with connected(server.url, token(sub="mallory")) as other:
        await other.send("attach", request_id="mine", after_seq=0)
        assert (await other.receive())["error"]["code"] == "NOT_FOUND"


@pytest.mark.clause("1.1.4", "4.5.2")
async def test_a_log_is_read_from_any_place_after_a_drop(wire: Wire, server: Server) -> None:
    await wire.send("request", id="drop", action="rows", payload=3)
    await wire.ended()
    async with connected(server.url) as other:
        await other.send("attach", request_id="drop", after_seq=3)
        snapshot = await other.receive()
        assert snapshot["type"] == "snapshot"
        assert snapshot["request"]["last_seq"] == 6
        assert [m["seq"] for m in await other.ended() if "seq" in m] == [4, 5, 6]


@pytest.mark.clause("5.6.4")
async def test_a_running_request_is_cancelled(wire: Wire) -> None:
    await wire.send("request", id="c-1", action="wait")
    await wire.until_type("chunk")
    await wire.send("cancel", request_id="c-1", reason="enough")
    messages = await wire.ended()
    assert "snapshot" in types(messages) or (await wire.receive())["type"] == "snapshot"
    assert messages[-1]["error"]["code"] == "CANCELLED"
    assert messages[-1]["error"]["details"] == {"reason": "enough"}


@pytest.mark.clause("5.6.3")
async def test_a_waiting_request_is_cancelled_at_once(wire: Wire) -> None:
    await wire.send("request", id="c-2", action="rows", payload=1, delay_ms=3_600_000)
    await wire.until_type("acknowledgment")
    await wire.send("cancel", request_id="c-2")
    messages = await wire.until(is_terminal)
    assert messages[-1]["error"]["code"] == "CANCELLED"
    assert messages[-1]["seq"] == 2


@pytest.mark.clause("5.6.5")
async def test_a_handler_that_ignores_its_cancel_is_fenced(wire: Wire) -> None:
    await wire.send("request", id="c-3", action="deaf")
    await wire.until_type("chunk")
    await wire.send("cancel", request_id="c-3")
    assert (await wire.ended())[-1]["error"]["code"] == "CANCELLED"
    await wire.send("request", id="c-4", action="durable_echo", payload="still there")
    assert (await wire.ended())[-1]["result"] == "still there"


async def test_a_deadline_ends_a_request_running_or_waiting(wire: Wire) -> None:
    await wire.send("request", id="t-1", action="wait", deadline_ms=100)
    assert (await wire.ended())[-1]["error"]["code"] == "TIMEOUT"
    await wire.send("request", id="t-2", action="rows", payload=1, delay_ms=1, deadline_ms=2)
    end = (await wire.ended())[-1]
    assert end["type"] == "complete" or end["error"]["code"] == "TIMEOUT"


@pytest.mark.clause("5.4.6", "5.5.2", "10.19.1")
async def test_a_retry_goes_on_from_its_checkpoint(wire: Wire) -> None:
    await wire.send("request", id="r-1", action="twice")
    messages = [message for message in await wire.ended() if "seq" in message]
    assert [(m["type"], m.get("status")) for m in messages] == [
        ("acknowledgment", "queued"),
        ("status", "processing"),
        ("chunk", None),
        ("chunk", None),
        ("status", "retrying"),
        ("status", "processing"),
        ("chunk", None),
        ("complete", None),
    ]
    assert messages[5]["chunks_kept_to"] == 3
    assert messages[5]["attempt"] == 2
    assert messages[-1]["result"] == {"page": 1}


@pytest.mark.clause("8.6.1", "8.6.4", "8.6.5")
async def test_a_file_is_downloaded_by_its_owner_only(wire: Wire, server: Server) -> None:
    text = "a report " * 1000
    await wire.send("request", id="f-1", action="file", payload=text)
    result = (await wire.ended())[-1]["result"]
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    assert result == {"size": len(text), "sha256": sha256}
    url = f"{server.http_url}/v1/requests/f-1/files/report.txt"
    mine = {"Authorization": f"Bearer {token()}"}
    async with aiohttp.ClientSession() as http:
        async with http.get(url, headers=mine) as answer:
            assert answer.status == 200
            assert await answer.text() == text
            assert answer.headers["ETag"] == f'"{sha256}"'
            assert answer.content_type == "text/plain"
        async with http.get(url, headers=mine | {"Range": "bytes=2-7"}) as answer:
            assert answer.status == 206
            assert await answer.text() == "report"
        other = {"Authorization": f"Bearer {token(sub='mallory')}"}
        async with http.get(url, headers=other) as answer:
            assert answer.status == 404
            assert (await answer.json(content_type=None))["code"] == "NOT_FOUND"
        async with http.get(url) as answer:
            assert answer.status == 401


async def test_a_payload_is_checked_before_it_is_accepted(wire: Wire) -> None:
    await wire.send("request", id="v-1", action="rows", payload={"a": 1})
    refusal = await wire.receive()
    assert refusal["error"]["code"] == "VALIDATION_ERROR"
    assert refusal["error"]["details"]["pointer"] == "/payload"
    await wire.send("request", id="v-2", action="nothing")
    assert (await wire.receive())["error"]["code"] == "UNKNOWN_ACTION"


async def test_health_and_readiness(server: Server) -> None:
    async with aiohttp.ClientSession() as http:
        for path in ("/healthz", "/readyz"):
            async with http.get(server.http_url + path) as answer:
                assert answer.status == 200


async def test_many_durable_requests_are_all_answered(wire: Wire) -> None:
    for number in range(200):
        await wire.send("request", id=f"m-{number}", action="durable_echo", payload=number)
    results: dict[str, int] = {}
    while len(results) < 200:
        end = (await wire.ended())[-1]
        results[end["request_id"]] = end["result"]
    assert results == {f"m-{number}": number for number in range(200)}


@pytest.mark.clause("1.1.3", "5.4.11")
async def test_a_stopped_server_goes_on_where_it_was_when_started_again(tmp_path: Path) -> None:
    given = settings(store="sqlite", data_dir=tmp_path)
    first = Server(given, handlers)
    await first.start()
    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(connected(first.url))
        await wire.send("request", id="s-1", action="survivor")
        await wire.until(lambda message: message.get("data") == "void")
        await wire.send("request", id="s-2", action="file", payload="text")
        await wire.until_type("complete")
        await first.stop(grace=0)
        assert await wire.closed() == 1001
    async with Server(given, handlers) as second, connected(second.url) as wire:
        await wire.send("attach", request_id="s-1", after_seq=4)
        messages = await wire.ended()
        # The checkpoint was stored with seq 3; handed back, not failed.
        assert messages[-1]["result"] == {"attempt": 2, "kept_to": 3, "at": "here"}
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token()}"}) as http:
            url = f"{second.http_url}/v1/requests/s-2/files/report.txt"
            async with http.get(url) as answer:
                assert await answer.text() == "text"


async def test_a_server_without_a_key_is_refused() -> None:
    with pytest.raises(SettingsError, match="LONGCALL_JWT_SECRET"):
        Server(settings(jwt_secret=None), handlers)


async def test_a_taken_port_leaves_nothing_behind(server: Server, tmp_path: Path) -> None:
    given = settings(store="sqlite", data_dir=tmp_path / "other", port=server.port)
    with pytest.raises(OSError, match="address already in use"):
        await Server(given, handlers).start()
