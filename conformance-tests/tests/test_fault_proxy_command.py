# SPDX-License-Identifier: Apache-2.0
"""`longcall-conformance proxy` as a process: it says when it listens and what it did."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from longcall_conformance.referee.connection import Ended
from longcall_conformance.referee.raw_client import open_connection
from longcall_conformance.referee.scripted_server import ScriptedServer

pytestmark = pytest.mark.slow
JsonObject = dict[str, Any]


@asynccontextmanager
async def scripted() -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer([])
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def proxy(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "longcall_conformance", "proxy", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line(process: asyncio.subprocess.Process) -> JsonObject:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        return dict(json.loads(await process.stdout.readline()))


async def test_it_reports_at_a_signal_and_at_the_end(tmp_path: Path) -> None:
    rules, kept = tmp_path / "rules.yaml", tmp_path / "report.json"
    rules.write_text(
        "rules:\n"
        "  - {name: twice, direction: to_server, type: request, fault: duplicate}\n"
        "  - {name: end, direction: to_client, type: response, fault: reset}\n"
    )
    async with scripted() as server:
        options = ("--to", server.url, "--rules", str(rules), "--seed", "7", "--report", str(kept))
        async with proxy("--listen", "127.0.0.1:0", *options) as process:
            ready = await line(process)
            assert ready["ready"] is True
            client = await open_connection(ready["url"], "c", [])
            peer = await server.accept()
            client.send({"type": "request", "id": "a"})
            assert [(await peer.receive())["id"] for _ in range(2)] == ["a", "a"]

            process.send_signal(signal.SIGUSR1)
            report = (await line(process))["report"]
            assert (report["seed"], report["rules"]) == (7, {"twice": 1, "end": 0})
            assert report["failed"] == ["end never fired"]

            peer.send({"type": "response"})
            with pytest.raises(Ended):
                await client.receive()
            process.send_signal(signal.SIGTERM)
            report = (await line(process))["report"]
            async with asyncio.timeout(60):
                assert await process.wait() == 0
            assert report["passed"]
            assert [fault["rule"] for fault in report["faults"]] == ["twice", "end"]
            assert json.loads(kept.read_text()) == report
            await client.close()


async def test_a_rule_that_never_fired_is_exit_code_1(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: [{name: never, direction: to_client, fault: drop}]")
    async with proxy("--to", "ws://127.0.0.1:9/x", "--rules", str(rules)) as process:
        assert (await line(process))["url"].endswith("/x")
        process.send_signal(signal.SIGINT)
        assert (await line(process))["report"]["failed"] == ["never never fired"]
        async with asyncio.timeout(60):
            assert await process.wait() == 1


async def test_what_is_wrong_with_its_use_is_said_with_exit_code_2(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: [{name: a, direction: up, fault: drop}]")
    for arguments, text in (
        (("--to", "ws://127.0.0.1:9/", "--rules", str(rules)), "at /rules/0/direction"),
        (("--to", "http://127.0.0.1:9/"), "is no ws:// address"),
        (("--to", "ws://127.0.0.1:9/", "--listen", "here"), "here is not HOST:PORT"),
    ):
        async with proxy(*arguments) as process:
            async with asyncio.timeout(60):
                _, said = await process.communicate()
            assert process.returncode == 2
            assert text in said.decode()
