# SPDX-License-Identifier: Apache-2.0
"""Servers and workers as processes of their own on one data folder.

Polls and leases last an hour here unless a test says otherwise: what happens at all happens because
the processes ring each other.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from processes import HERE, Process, serving, working
from wire import Message, Wire, connected, token

pytestmark = pytest.mark.slow
APP = "integration_app:handlers"
NEVER = ("--poll", "1h", "--lease", "1h")


def gateway(folder: Path, *flags: str) -> AbstractAsyncContextManager[Process]:
    """A server that leaves durable requests to others."""
    return serving(folder, "--no-worker", *NEVER, *flags)


def worker(folder: Path, *flags: str) -> AbstractAsyncContextManager[Process]:
    """A worker that waits for the bell."""
    return working(folder, *NEVER, *flags)


async def story(wire: Wire, action: str, payload: Any = None, id: str = "a") -> list[Message]:
    """A request from its acknowledgment to its end."""
    await wire.send("request", id=id, action=action, payload=payload)
    return await wire.ended()


def numbered(messages: list[Message]) -> list[Message]:
    """The events of the log, whose numbers have no gap."""
    events = [message for message in messages if "seq" in message]
    first = events[0]["seq"]
    assert [event["seq"] for event in events] == list(range(first, first + len(events)))
    return events


@pytest.mark.parametrize("worker_first", [True, False])
async def test_a_request_runs_in_another_process_and_tells_its_whole_story(
    tmp_path: Path, worker_first: bool
) -> None:
    first, second = (worker, gateway) if worker_first else (gateway, worker)
    async with first(tmp_path) as one, second(tmp_path) as other:
        working, serving = (one, other) if worker_first else (other, one)
        async with connected(serving.url) as wire:
            assert (await story(wire, "pid"))[-1]["result"] == working.pid
            messages = await story(wire, "rows", 3, id="b")
            types = [message["type"] for message in numbered(messages)]
            assert types == ["acknowledgment", "status", "chunk", "chunk", "chunk", "complete"]
            assert messages[-2]["type"] == "progress"
            assert messages[-2]["percentage"] == 100


async def test_what_was_accepted_before_any_worker_runs_when_one_comes(tmp_path: Path) -> None:
    async with gateway(tmp_path) as server, connected(server.url) as wire:
        await wire.send("request", id="a", action="pid")
        await wire.until_type("acknowledgment")
        async with worker(tmp_path) as late:
            assert (await wire.ended())[-1]["result"] == late.pid


@pytest.mark.clause("5.6.4", "10.14.6")
@pytest.mark.parametrize("size", [10, 100_000])
async def test_live_progress_and_a_cancel_go_from_process_to_process(
    tmp_path: Path, size: int
) -> None:
    details = {"rows": "x" * size}
    async with gateway(tmp_path) as server, worker(tmp_path), connected(server.url) as wire:
        await wire.send("request", id="a", action="half", payload=details)
        progress = (await wire.until_type("progress"))[-1]
        assert (progress["percentage"], progress["details"]) == (50, details)
        await wire.send("cancel", request_id="a", reason="enough")
        end = (await wire.ended())[-1]
        assert end["error"]["code"] == "CANCELLED"
        assert end["error"]["details"] == {"reason": "enough"}


async def test_a_file_of_a_worker_is_downloaded_from_the_server(tmp_path: Path) -> None:
    async with gateway(tmp_path) as server, worker(tmp_path), connected(server.url) as wire:
        assert (await story(wire, "file", "a report"))[-1]["result"]["size"] == 8
        url = f"{server.ready['http_url']}/v1/requests/a/files/report.txt"
        headers = {"Authorization": f"Bearer {token()}"}
        async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as answer:
            assert (answer.status, await answer.text()) == (200, "a report")


async def test_quick_requests_need_no_worker_not_even_when_they_are_promoted(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as server, connected(server.url) as wire:
        assert (await story_of_quick(wire, "echo", 1))["result"] == 1
        messages = numbered(await story(wire, "slow_quick"))
        assert messages[-1]["result"] == "after a while"
        assert [message.get("attempt") for message in messages] == [None, 1, None]


async def story_of_quick(wire: Wire, action: str, payload: Any) -> Message:
    await wire.send("request", id="q", action=action, payload=payload)
    return (await wire.until_type("response"))[-1]


@pytest.mark.clause("5.4.11")
async def test_a_promoted_request_of_a_server_that_goes_is_finished_by_a_worker(
    tmp_path: Path,
) -> None:
    async with worker(tmp_path):
        async with gateway(tmp_path, "--drain-grace", "0") as server:
            async with connected(server.url) as wire:
                await wire.send("request", id="a", action="quick_survivor")
                await wire.until_type("chunk")
                server.signal(signal.SIGTERM)
                assert await wire.closed() == 1001
            assert (await server.ended())[0] == 0
        async with gateway(tmp_path) as server, connected(server.url) as wire:
            await wire.send("attach", request_id="a", after_seq=0)
            events = numbered(await wire.ended())
            assert events[-1]["result"] == {"attempt": 2, "at": "here"}


@pytest.mark.clause("5.4.1")
async def test_many_workers_share_many_requests_and_none_is_run_twice(tmp_path: Path) -> None:
    few = ("--concurrency", "2")
    async with (
        gateway(tmp_path) as server,
        worker(tmp_path, *few) as one,
        worker(tmp_path, *few) as two,
        connected(server.url) as wire,
    ):
        for number in range(100):
            await wire.send("request", id=f"r-{number}", action="pid")
        results: dict[str, int] = {}
        while len(results) < 100:
            for message in await wire.ended():
                assert message.get("attempt", 1) == 1
                if message["type"] == "complete":
                    results[message["request_id"]] = message["result"]
        where = Counter(results.values())
        assert set(where) <= {one.pid, two.pid}


@pytest.mark.clause("5.4.10", "1.1.3")
async def test_a_worker_that_was_killed_costs_no_lease_time_when_it_comes_back(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as server, connected(server.url) as wire:
        async with worker(tmp_path) as first:
            await wire.send("request", id="a", action="survivor")
            before = await wire.until(lambda message: message.get("data") == "void")
            first.signal(signal.SIGKILL)
            assert (await first.ended())[0] == -signal.SIGKILL
        async with worker(tmp_path):
            events = numbered(before + await wire.ended())
    assert [(m["type"], m.get("status")) for m in events] == [
        ("acknowledgment", "queued"),
        ("status", "processing"),
        ("chunk", None),
        ("chunk", None),
        ("status", "retrying"),
        ("status", "processing"),
        ("complete", None),
    ]
    assert events[-1]["result"] == {"attempt": 2, "kept_to": 3, "at": "here"}


async def test_a_worker_that_is_killed_is_noticed_by_another_before_its_lease_ends(
    tmp_path: Path,
) -> None:
    often = ("--poll", "100ms")
    async with (
        gateway(tmp_path) as server,
        connected(server.url) as wire,
        worker(tmp_path) as first,
    ):
        await wire.send("request", id="a", action="survivor")
        before = await wire.until(lambda message: message.get("data") == "void")
        async with worker(tmp_path, *often):
            first.signal(signal.SIGKILL)
            events = numbered(before + await wire.ended())
    assert events[-1]["result"] == {"attempt": 2, "kept_to": 3, "at": "here"}


@pytest.mark.clause("1.1.3", "1.1.4")
async def test_workers_go_on_while_the_server_is_dead(tmp_path: Path) -> None:
    async with worker(tmp_path):
        async with gateway(tmp_path) as server, connected(server.url) as wire:
            await wire.send("request", id="a", action="a_second")
            await wire.until_type("chunk")
            server.signal(signal.SIGKILL)
            await server.ended()
        async with gateway(tmp_path) as server, connected(server.url) as wire:
            await wire.send("attach", request_id="a", after_seq=3)
            events = numbered(await wire.ended())
    assert [(event["type"], event["result"]) for event in events] == [("complete", 1)]


@pytest.mark.clause("5.4.11")
async def test_a_worker_drains_on_sigterm_and_hands_back(tmp_path: Path) -> None:
    async with gateway(tmp_path) as server, connected(server.url) as wire:
        async with worker(tmp_path, "--drain-grace", "200ms") as first:
            await wire.send("request", id="a", action="survivor")
            await wire.until(lambda message: message.get("data") == "void")
            first.signal(signal.SIGTERM)
            code, errors = await first.ended()
            assert code == 0, errors
            assert all(" INFO " in line for line in errors.splitlines()), errors
            handed_back = (await wire.until_type("status"))[-1]
            assert (handed_back["status"], handed_back["error"]["code"]) == (
                "retrying",
                "UNAVAILABLE",
            )
        async with worker(tmp_path):
            assert (await wire.ended())[-1]["result"] == {"attempt": 2, "kept_to": 3, "at": "here"}


async def test_a_worker_lets_requests_finish_within_its_grace(tmp_path: Path) -> None:
    async with (
        gateway(tmp_path) as server,
        connected(server.url) as wire,
        worker(tmp_path) as first,
    ):
        await wire.send("request", id="a", action="a_second")
        await wire.until_type("chunk")
        first.signal(signal.SIGTERM)
        assert (await wire.ended())[-1]["result"] == 1
        assert (await first.ended())[0] == 0


async def test_a_second_signal_ends_a_worker_at_once(tmp_path: Path) -> None:
    async with (
        gateway(tmp_path) as server,
        connected(server.url) as wire,
        worker(tmp_path, "--drain-grace", "1h") as first,
    ):
        await wire.send("request", id="a", action="wait")
        await wire.until_type("chunk")
        first.signal(signal.SIGTERM)
        assert b"a second signal ends at once" in await first.said()
        first.signal(signal.SIGTERM)
        assert (await first.ended())[0] == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("worker", APP, "--store", "memory"), 2, "use --store sqlite"),
        (("serve", APP, "--no-worker", "--dev", "--store", "memory"), 2, "use --store sqlite"),
        (("worker", "no_such_module:handlers"), 2, "no module 'no_such_module'"),
        (("worker", APP, "--port", "1"), 2, "unrecognized arguments: --port"),
        (("worker", APP, "--data-dir", "/dev/null/x"), 1, "/dev/null"),
    ],
)
async def test_what_cannot_work_says_why(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    program = (sys.executable, "-W", "error", "-m", "longcall_server", *arguments)
    environment = os.environ | {"LONGCALL_DATA_DIR": str(tmp_path)}
    done = await asyncio.to_thread(
        subprocess.run, program, cwd=HERE, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


async def test_a_data_folder_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bell").mkdir()
    (tmp_path / "bell").chmod(0o777)
    await test_what_cannot_work_says_why(tmp_path, ("worker", APP), 1, "its mode must be 0700")
