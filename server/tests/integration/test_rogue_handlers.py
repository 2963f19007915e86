# SPDX-License-Identifier: Apache-2.0
"""Whatever a handler does, its caller is told as PROTOCOL.md says, and the server serves on."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import rogue_app
from process_ends import ended
from wire import Message, Wire, connected, settings

from longcall_server.server import Server

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

KINDS = ("coroutine", "thread", "process")


@pytest.fixture(scope="module")
def gate() -> Iterator[None]:
    rogue_app.gate.clear()
    yield
    rogue_app.gate.set()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(gate: None) -> AsyncIterator[Server]:
    # One process and one thread: a place that were lost would be missed by the next request.
    async with Server(settings(processes=1, threads=1), rogue_app.handlers) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def wire(server: Server, request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    async with connected(server.url) as wire:
        yield wire
        # After each test, whatever it did: all three kinds still answer.
        for kind in KINDS:
            id = f"after {request.node.name} {kind}"[:120].replace(" ", "-")
            assert await result(wire, f"echo_{kind}", id, "still there") == "still there"


async def events(wire: Wire, action: str, id: str, payload: object = None) -> list[Message]:
    await wire.send("request", id=clean(id), action=action, payload=payload)
    return [m for m in await wire.until(is_end) if m["type"] != "progress"]


async def result(wire: Wire, action: str, id: str, payload: object = None) -> object:
    return (await events(wire, action, id, payload))[-1]["result"]


def is_end(message: Message) -> bool:
    return message["type"] in ("complete", "response", "error")


def clean(id: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in id)[:120]


@pytest.mark.clause("7.2.3", "7.2.4")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", rogue_app.RAISED)
async def test_whatever_is_raised_is_an_internal_error(
    wire: Wire, kind: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    log = await events(wire, f"raise_{kind}", f"raise {kind} {name}", name)
    assert [m["type"] for m in log] == ["acknowledgment", "status", "error"]
    error = log[-1]["error"]
    assert (error["code"], error["retryable"]) == ("INTERNAL_ERROR", False)
    assert error["message"] == "The handler failed unexpectedly."
    # The text stays here.
    assert error["details"]["incident_id"] in caplog.text
    assert ("the password is 1234" in caplog.text) == (name == "Exception")


@pytest.mark.clause("7.2.1", "7.2.2")
@pytest.mark.parametrize("kind", KINDS)
async def test_a_handler_error_of_odd_types_is_told_as_text(wire: Wire, kind: str) -> None:
    action = f"handler_error_{kind}"
    error = (await events(wire, action, action, {"a": [1]}))[-1]["error"]
    assert error == {
        "code": "HANDLER_ERROR",
        "message": "None",
        "retryable": False,
        "details": {"code": "404", "details": {"a": [1]}},
    }


@pytest.mark.parametrize("kind", KINDS)
async def test_a_result_that_is_no_json_is_not_tried_again(wire: Wire, kind: str) -> None:
    log = await events(wire, f"lock_{kind}", f"lock {kind}")
    assert [m["type"] for m in log] == ["acknowledgment", "status", "error"]
    assert log[-1]["error"]["code"] == "INTERNAL_ERROR"


@pytest.mark.clause("6.5.2", "10.44.2")
@pytest.mark.parametrize("kind", KINDS)
async def test_a_result_that_is_too_large_says_both_sizes(wire: Wire, kind: str) -> None:
    error = (await events(wire, f"much_{kind}", f"much {kind}"))[-1]["error"]
    assert error["code"] == "PAYLOAD_TOO_LARGE"
    assert error["details"]["limit"] == 1_048_576 < error["details"]["size"]


@pytest.mark.clause("5.7.1")
@pytest.mark.parametrize("kind", [*(f"deaf_{kind}" for kind in KINDS), "locked"])
async def test_a_handler_that_never_returns_ends_with_timeout_at_its_deadline(
    wire: Wire, kind: str
) -> None:
    await wire.send("request", id=f"timeout-{kind}", action=kind, deadline_ms=2_000)
    log = await wire.ended()
    assert [m["type"] for m in log] == ["acknowledgment", "status", "chunk", "error"]
    assert log[-1]["error"]["code"] == "TIMEOUT"


@pytest.mark.clause("5.6.5", "10.14.6")
@pytest.mark.parametrize("kind", [*(f"deaf_{kind}" for kind in KINDS), "locked"])
async def test_a_handler_that_ignores_its_cancel_is_cancelled_after_the_grace(
    wire: Wire, kind: str
) -> None:
    await wire.send("request", id=f"cancel-{kind}", action=kind)
    pid = (await wire.until_type("chunk"))[-1]["data"]
    async with ended(pid) if pid != os.getpid() else nothing() as gone:
        await wire.send("cancel", request_id=f"cancel-{kind}", reason="enough")
        end = (await wire.ended())[-1]
        assert end["error"]["code"] == "CANCELLED"
        assert end["error"]["details"] == {"reason": "enough"}
        # A process is killed, so that its place is free again; the teardown asks for it.
        await gone.wait()


@pytest.mark.clause("5.4.5", "5.4.6", "5.5.2", "10.19.1")
@pytest.mark.parametrize(
    "how", ["exit", "segfault", "killed", "with a fork", "channel closed", "garbage"]
)
async def test_a_crash_of_its_process_costs_a_request_one_attempt(
    wire: Wire, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    log = await events(wire, "crash", f"crash {how}", {"how": how, "attempts": 1})
    assert [(m["type"], m.get("status"), m.get("attempt")) for m in log] == [
        ("acknowledgment", "queued", None),
        ("status", "processing", 1),
        ("chunk", None, 1),
        ("chunk", None, 1),
        ("status", "retrying", 1),
        ("status", "processing", 2),
        ("complete", None, None),
    ]
    assert log[4]["error"]["code"] == "INTERNAL_ERROR"
    assert log[4]["error"]["details"]["incident_id"] in caplog.text
    assert "ProcessDied: the process" in caplog.text
    assert log[5]["chunks_kept_to"] == 4
    assert log[-1]["result"] == {"attempt": 2, "checkpoint": {"attempt": 1}}


@pytest.mark.clause("5.4.5", "5.4.8")
async def test_crashes_count_against_the_attempts_of_the_policy(wire: Wire) -> None:
    log = await events(wire, "crash", "crash always", {"how": "exit"})
    assert [m.get("attempt") for m in log if m["type"] == "status"] == [1, 1, 2]
    assert log[-1]["type"] == "error"
    assert log[-1]["error"]["code"] == "INTERNAL_ERROR"


async def test_a_crash_harms_no_other_process() -> None:
    async with (
        Server(settings(processes=2), rogue_app.handlers) as server,
        connected(server.url) as wire,
    ):
        await wire.send("request", id="bystander", action="deaf_process")
        await wire.until_type("chunk")
        assert await result(wire, "crash", "crasher", {"how": "killed", "attempts": 1})
        await wire.send("attach", request_id="bystander", after_seq=0)
        snapshot = (await wire.until_type("snapshot"))[-1]
        assert snapshot["request"]["status"] == "processing"
        assert snapshot["request"]["attempt"] == 1


@pytest.mark.parametrize("action", ["deaf_process", "locked"])
async def test_a_process_that_computes_delays_no_other_request(wire: Wire, action: str) -> None:
    await wire.send("request", id=f"busy-{action}", action=action)
    await wire.until_type("chunk")
    for number in range(20):
        assert await result(wire, "echo_coroutine", f"q-{action}-{number}", number) == number
        assert await result(wire, "echo_thread", f"t-{action}-{number}", number) == number
    await wire.send("cancel", request_id=f"busy-{action}")
    # It was still running all the while.
    assert (await wire.ended())[-1]["error"]["code"] == "CANCELLED"


async def test_a_process_has_a_session_and_a_channel_of_its_own_and_nothing_else(
    wire: Wire,
) -> None:
    found = await result(wire, "surroundings", "surroundings")
    assert isinstance(found, dict)
    assert found["parent"] == os.getpid()
    assert found["session"] == found["pid"] != os.getpid()
    assert found["sockets"] == [""]  # unnamed: the channel. None listens, none is a client's.
    assert found["main"] is True


async def test_what_a_killed_process_has_started_is_killed_with_it(wire: Wire) -> None:
    await wire.send("request", id="parent", action="parent")
    pid = (await wire.until_type("chunk"))[-1]["data"]
    async with ended(pid) as gone:
        await wire.send("cancel", request_id="parent")
        assert (await wire.ended())[-1]["error"]["code"] == "CANCELLED"
        await gone.wait()


async def test_what_a_process_has_started_obeys_signals_as_ever(wire: Wire) -> None:
    codes = await result(wire, "ends_what_it_starts", "ends-what-it-starts")
    assert codes == [-signal.SIGTERM, -signal.SIGTERM]


@pytest.mark.clause("10.10.2")
async def test_the_first_chunk_of_a_quick_request_in_a_process_promotes_it(wire: Wire) -> None:
    log = await events(wire, "quick_process", "quick-process")
    assert [m["type"] for m in log] == ["acknowledgment", "status", "chunk", "complete"]
    assert log[-1]["result"] == 3


async def test_signals_for_the_whole_service_do_not_end_a_process(wire: Wire) -> None:
    assert await result(wire, "signalled", "signalled") == "still here"


async def test_processes_are_used_again(wire: Wire) -> None:
    pids = set()
    for number in range(3):
        found = await result(wire, "surroundings", f"again-{number}")
        assert isinstance(found, dict)
        pids.add(found["pid"])
    assert len(pids) == 1


@pytest.mark.clause("5.4.11", "5.4.12")
async def test_a_stopped_server_hands_back_what_its_processes_ran_and_leaves_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = settings(store="sqlite", data_dir=tmp_path, processes=2)
    first = Server(given, rogue_app.handlers)
    await first.start()
    async with connected(first.url) as wire:
        idle = await result(wire, "surroundings", "idle")
        assert isinstance(idle, dict)
        await wire.send("request", id="s", action="survivor_process")
        pid = (await wire.until_type("chunk"))[-1]["data"]
        await wire.send("request", id="s-2", action="survivor_process")
        other = (await wire.until(lambda m: m.get("request_id") == "s-2" and "data" in m))[-1]
        async with ended(pid) as gone, ended(other["data"]) as other_gone:
            await first.stop(grace=0)
            assert gone.is_set()
            assert other_gone.is_set()
    assert first.running_handlers == 0
    async with Server(given, rogue_app.handlers) as second, connected(second.url) as wire:
        await wire.send("attach", request_id="s", after_seq=4)
        # The checkpoint was stored with seq 3; handed back, not failed.
        assert (await wire.ended())[-1]["result"] == {"attempt": 2, "kept_to": 3, "at": "here"}
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR], caplog.text


class nothing:
    """Nothing has to end."""

    async def __aenter__(self) -> asyncio.Event:
        event = asyncio.Event()
        event.set()
        return event

    async def __aexit__(self, *_: object) -> None: ...
