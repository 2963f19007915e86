# SPDX-License-Identifier: Apache-2.0
"""Real server processes: signals, `kill -9`, restarts."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
from processes import serving
from wire import connected

pytestmark = pytest.mark.slow


async def test_the_ready_file_says_where_the_server_is(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        assert server.ready["event"] == "ready"
        assert server.ready["http_url"].startswith("http://127.0.0.1:")
        assert server.ready["url"].endswith("/v1/connect")
        async with connected(server.url) as wire:
            await wire.send("request", id="a", action="echo", payload=1)
            assert (await wire.receive())["result"] == 1
        server.signal(signal.SIGTERM)
        code, errors = await server.ended()
        assert code == 0
        assert all(" INFO " in line for line in errors.splitlines()), errors


@pytest.mark.clause("5.4.11", "6.8.1", "6.8.4")
async def test_sigterm_sends_clients_away_and_hands_running_requests_back(tmp_path: Path) -> None:
    async with serving(tmp_path, "--drain-grace", "200ms") as server:
        async with connected(server.url) as wire:
            await wire.send("request", id="s", action="survivor")
            await wire.until(lambda message: message.get("data") == "void")
            server.signal(signal.SIGTERM)
            assert (await wire.until_type("goaway"))[-1]["reason"]
            assert await wire.closed() == 1001
        code, errors = await server.ended()
        assert code == 0, errors
    async with serving(tmp_path) as server, connected(server.url) as wire:
        await wire.send("attach", request_id="s", after_seq=4)
        messages = await wire.ended()
        assert messages[-1]["result"] == {"attempt": 2, "kept_to": 3, "at": "here"}


@pytest.mark.clause("6.8.3")
async def test_requests_that_finish_within_the_grace_are_delivered(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, connected(server.url) as wire:
        await wire.send("request", id="q", action="slow_quick")
        await wire.until_type("status")
        server.signal(signal.SIGTERM)
        assert (await wire.ended())[-1]["result"] == "after a while"
        assert await wire.closed() == 1001
        assert (await server.ended())[0] == 0


async def test_a_quick_request_is_answered_before_the_server_goes(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, connected(server.url) as wire:
        await wire.send("request", id="q", action="two_seconds")
        await wire.send("request", id="now", action="echo", payload="it is being worked on")
        assert (await wire.receive())["request_id"] == "now"
        server.signal(signal.SIGTERM)
        assert (await wire.until_type("response"))[-1]["result"] == "after two seconds"
        assert await wire.closed() == 1001


async def test_a_process_that_can_work_no_more_ends_itself_in_good_order(tmp_path: Path) -> None:
    async with serving(tmp_path, "--lease", "3s", handlers="broken_app:handlers") as server:
        async with connected(server.url) as wire:
            await wire.send("request", id="b", action="break")
            await wire.until_type("goaway")
            assert await wire.closed() == 1001
        code, errors = await server.ended()
        assert code == 3
        assert "longcall leases has failed" in errors
        assert "start it again" in errors


async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path, "--drain-grace", "1h") as server, connected(server.url) as wire:
        await wire.send("request", id="w", action="wait")
        await wire.until_type("chunk")
        server.signal(signal.SIGTERM)
        await wire.until_type("goaway")
        server.signal(signal.SIGTERM)
        assert (await server.ended())[0] == 128 + signal.SIGTERM


@pytest.mark.clause("5.4.11", "5.4.12")
async def test_what_is_handed_back_is_due_at_once_and_has_not_failed(tmp_path: Path) -> None:
    async with serving(tmp_path, "--drain-grace", "0") as server:
        async with connected(server.url) as wire:
            await wire.send("request", id="o", action="only_once")
            await wire.until(lambda message: message.get("data") == "void")
            server.signal(signal.SIGTERM)
        assert (await server.ended())[0] == 0
        gone_at = datetime.now(UTC)
    async with serving(tmp_path) as server, connected(server.url) as wire:
        await wire.send("attach", request_id="o", after_seq=4)
        _, retrying, processing, end = await wire.ended()
        assert (retrying["status"], retrying["attempt"]) == ("retrying", 1)
        assert retrying["error"]["code"] == "UNAVAILABLE"
        assert datetime.fromisoformat(retrying["retry_at"]) <= gone_at
        assert (processing["attempt"], processing["chunks_kept_to"]) == (2, 3)
        # It has one attempt, and that one was not counted.
        assert end["result"] == {"attempt": 2, "kept_to": 3, "at": "here"}


@pytest.mark.clause("5.4.10")
async def test_a_second_signal_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    flags = ("--drain-grace", "1h", "--lease", "1h", "--concurrency", "1")
    async with serving(tmp_path, *flags) as server, connected(server.url) as wire:
        await wire.send("request", id="running", action="survivor")
        await wire.until(lambda message: message.get("data") == "void")
        await wire.send("request", id="queued", action="rows", payload=2)
        await wire.until_type("acknowledgment")
        server.signal(signal.SIGTERM)
        await wire.until_type("goaway")
        await wire.send("request", id="late", action="rows", payload=3)
        await wire.until_type("acknowledgment")
        server.signal(signal.SIGTERM)
        assert (await server.ended())[0] == 128 + signal.SIGTERM
    async with serving(tmp_path) as server, connected(server.url) as wire:
        results = {}
        for name in ("running", "queued", "late"):
            await wire.send("attach", request_id=name, after_seq=0)
            results[name] = (await wire.ended())[-1]["result"]
        assert results == {
            "running": {"attempt": 2, "kept_to": 3, "at": "here"},
            "queued": {"rows": 2},
            "late": {"rows": 3},
        }


async def test_a_handler_that_never_ends_does_not_keep_the_process(tmp_path: Path) -> None:
    async with serving(tmp_path, "--drain-grace", "0") as server, connected(server.url) as wire:
        await wire.send("request", id="n", action="never_ends")
        await wire.until_type("chunk")
        server.signal(signal.SIGTERM)
        code, errors = await server.ended()
        assert code == 0
        assert "handler never_ends of request n does not end" in errors


@pytest.mark.clause("1.1.3", "5.2.1", "5.4.10")
@pytest.mark.complaint(9)
async def test_kill_9_loses_nothing_and_costs_no_lease_time(tmp_path: Path) -> None:
    async with serving(tmp_path, "--lease", "1h") as server, connected(server.url) as wire:
        await wire.send("request", id="k", action="survivor")
        await wire.until(lambda message: message.get("data") == "void")
        # Told is stored: nothing may happen between the acknowledgment and the kill.
        await wire.send("request", id="told", action="rows", payload=2, delay_ms=50)
        await wire.until_type("acknowledgment")
        server.signal(signal.SIGKILL)
        assert (await server.ended())[0] == -signal.SIGKILL
    async with serving(tmp_path, "--lease", "1h") as server, connected(server.url) as wire:
        await wire.send("attach", request_id="k", after_seq=4)
        messages = [message for message in await wire.ended() if "seq" in message]
        assert [(m["type"], m.get("status")) for m in messages] == [
            ("status", "retrying"),
            ("status", "processing"),
            ("complete", None),
        ]
        assert messages[1]["chunks_kept_to"] == 3
        assert messages[-1]["result"] == {"attempt": 2, "kept_to": 3, "at": "here"}
        await wire.send("attach", request_id="told", after_seq=0)
        assert (await wire.ended())[-1]["result"] == {"rows": 2}
