# SPDX-License-Identifier: Apache-2.0
"""Processes of the pool under real server processes: `kill -9`, standard output."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from process_ends import ended
from processes import serving
from wire import connected

pytestmark = pytest.mark.slow
ROGUE = "rogue_app:handlers"


@pytest.mark.parametrize("action", ["survivor_process", "locked"])
async def test_processes_of_the_pool_end_with_a_server_that_is_killed(
    tmp_path: Path, action: str
) -> None:
    async with (
        serving(tmp_path, "--processes", "2", handlers=ROGUE) as server,
        connected(server.url) as wire,
    ):
        await wire.send("request", id="idle", action="surroundings")
        answer = (await wire.until_type("response", "complete"))[-1]
        idle = answer["result"]["pid"]
        await wire.send("request", id="p", action=action)
        busy = (await wire.until_type("chunk"))[-1]["data"]
        await wire.send("request", id="p-2", action=action)
        other = (await wire.until(lambda m: m.get("request_id") == "p-2" and "data" in m))[-1]
        assert idle in (busy, other["data"])
        async with ended(busy) as one_gone, ended(other["data"]) as other_gone:
            server.signal(signal.SIGKILL)
            await one_gone.wait()
            await other_gone.wait()
        assert (await server.ended())[0] == -signal.SIGKILL


@pytest.mark.clause("5.4.10", "5.5.2")
async def test_what_a_process_ran_goes_on_after_kill_9(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, "--lease", "1h", handlers=ROGUE) as server,
        connected(server.url) as wire,
    ):
        await wire.send("request", id="k", action="survivor_process")
        await wire.until(lambda message: message.get("data") == "void")
        server.signal(signal.SIGKILL)
        await server.ended()
    async with (
        serving(tmp_path, handlers=ROGUE) as server,
        connected(server.url) as wire,
    ):
        await wire.send("attach", request_id="k", after_seq=4)
        end = (await wire.ended())[-1]
        assert end["result"] == {"attempt": 2, "kept_to": 3, "at": "here"}


async def test_what_a_process_prints_is_printed_by_the_server(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, "--processes", "1", handlers=ROGUE) as server,
        connected(server.url) as wire,
    ):
        await wire.send("request", id="o", action="talkative")
        assert (await wire.until_type("complete"))[-1]["result"] is None
        await wire.send("request", id="s", action="signalled")
        await wire.until_type("complete")
        server.signal(signal.SIGTERM)
        code, output, errors = await server.output()
    assert code == 0
    assert "printed" in output.splitlines()
    assert "written to standard error" in errors.splitlines()
    assert any(line.endswith("WARNING rogue_app: logged: 42") for line in errors.splitlines())
