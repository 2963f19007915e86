# SPDX-License-Identifier: Apache-2.0
"""The command `longcall` against the reference server: a day in its life, in a terminal and not."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shlex
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from demo_server import DemoServer, demo_server

pytestmark = pytest.mark.slow

LONGCALL = (sys.executable, "-m", "longcall.cli")
PATIENCE = 60.0


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[DemoServer]:
    async with demo_server(tmp_path / "server") as running:
        yield running


@asynccontextmanager
async def started(*words: str, server: DemoServer) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *words, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=server.environment
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def in_a_terminal(*words: str) -> tuple[str, ...]:
    """What runs a command in a terminal, of which standard input and output are the other end."""
    return (
        "script",
        "--quiet",
        "--return",
        "--command",
        shlex.join((*LONGCALL, *words)),
        "/dev/null",
    )


async def done(*words: str, server: DemoServer, exit: int = 0) -> list[dict[str, Any]]:
    """The lines of a command with `--json`."""
    async with started(*LONGCALL, *words, "--json", server=server) as process:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    assert process.returncode == exit, err.decode()
    return [json.loads(line) for line in out.splitlines()]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def until(process: Process, words: str) -> str:
    """What a terminal shows until it has shown these words."""
    assert process.stdout is not None
    shown = b""
    async with asyncio.timeout(PATIENCE):
        while words.encode() not in shown:
            more = await process.stdout.read(65536)
            assert more, shown.decode()
            shown += more
    return shown.decode()


async def test_two_bars_move_beside_each_other_and_both_results_are_shown(
    server: DemoServer,
) -> None:
    payloads = [json.dumps({"words": words, "words_per_second": 100}) for words in (150, 151)]
    words = in_a_terminal("call", "stream_text", *payloads)
    async with started(*words, server=server) as process:
        async with asyncio.timeout(PATIENCE):
            out, _ = await process.communicate()
    shown = out.decode()
    assert process.returncode == 0, shown
    for label in ("stream_text 1", "stream_text 2"):
        assert label in shown
    assert re.search(r"\d+ %", shown)
    assert {'"words"', "150", "151"} <= set(
        re.sub(r"\x1b\[[\d;?]*[a-zA-Z]|[:,]", " ", shown).split()
    )


async def test_who_lets_go_comes_back_after_the_server_was_killed(server: DemoServer) -> None:
    payload = json.dumps({"words": 600, "words_per_second": 200})
    words = in_a_terminal("call", "stream_text", payload, "--url", server.url)
    async with started(*words, server=server) as process:
        await until(process, "chunks")
        assert process.stdin is not None
        process.stdin.write(b"\x03")
        shown = await until(process, "come back: ") + await until(process, "\n")
        async with asyncio.timeout(PATIENCE):
            await process.wait()
    assert process.returncode == 130
    found = re.search(r"come back: longcall (watch \S+ --url \S+)", shown)
    assert found is not None, shown
    await server.process.kill("kill9")
    await server.process.start()
    lines = await done(*shlex.split(found[1]), "--chunks", server=server)
    chunks: dict[int, str] = {}
    for line in lines[:-1]:
        if line["type"] == "chunk":
            assert line["seq"] not in chunks, "no event comes twice"
            chunks[line["seq"]] = line["data"]["text"]
        elif line["status"] == "processing":
            chunks = {seq: text for seq, text in chunks.items() if seq <= line["chunks_kept_to"]}
    result = lines[-1]["result"]
    assert (lines[-1]["type"], len(chunks)) == ("result", 600)
    assert hashlib.sha256("".join(chunks.values()).encode()).hexdigest() == result["sha256"]


async def test_submit_list_watch_cancel_result_and_download(
    server: DemoServer, tmp_path: Path
) -> None:
    long = json.dumps({"words": 10_000, "words_per_second": 10})
    report = json.dumps({"format": "csv", "report_type": "annual"})
    (endless,) = await done("submit", "stream_text", long, "--metadata", "why=test", server=server)
    (wanted,) = await done("submit", "generate_report", report, server=server)
    assert (endless["type"], endless["stored"], wanted["stored"]) == ("submitted", True, True)

    listed = await done("list", "--action", "stream_text", server=server)
    assert [line["id"] for line in listed] == [endless["id"]]

    ids = (endless["id"], wanted["id"])
    watching = asyncio.create_task(
        done("watch", *ids, "--download", str(tmp_path), server=server, exit=3)
    )
    (taken,) = await done("cancel", endless["id"], "--reason", "enough", server=server)
    assert taken["type"] == "cancel_requested"
    outcomes = {line["index"]: line for line in await watching}
    assert outcomes[0]["outcome"] == "cancelled"
    assert outcomes[0]["error"]["details"] == {"reason": "enough"}
    result, file = outcomes[1]["result"], outcomes[1]["download"]
    assert digest(Path(file["path"])) == file["sha256"] == result["sha256"]

    (again,) = await done("result", wanted["id"], server=server)
    assert again["result"] == result
    (failed,) = await done("result", endless["id"], server=server, exit=3)
    assert failed["error"]["code"] == "CANCELLED"
    (decoded,) = await done("token", "decode", server=server)
    assert decoded["claims"]["sub"]
