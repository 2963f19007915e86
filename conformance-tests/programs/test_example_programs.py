# SPDX-License-Identifier: Apache-2.0
"""The example program of each SDK, run against one server: the same bytes, and the right ones."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from longcall_conformance.referee.tokens import token_set
from longcall_conformance.runner.manifest import Manifest, make_fixture
from longcall_conformance.runner.report_figures import compare_report
from longcall_conformance.runner.server_process import ServerProcess

SUITE = Path(__file__).parent.parent
CHECKOUT = SUITE.parent
SOURCE = "sales.csv"
PAYLOAD = {"format": "csv", "report_type": "monthly", "group_by": "day", "source": SOURCE}
SECRET = secrets.token_hex(32)

PROGRAMS = {
    "python": [sys.executable, str(CHECKOUT / "sdk-python/examples/report.py")],
    "js": ["node", str(CHECKOUT / "sdk-js/examples/report.mjs")],
    "go": ["go", "run", "-C", str(CHECKOUT / "sdk-go"), "./examples/report"],
}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    manifest = Manifest.load(SUITE / "manifests" / "longcall-server.yaml")
    await make_fixture(manifest, SOURCE, tmp_path)
    process = ServerProcess(manifest, {"handlers": "demo"}, tmp_path, SECRET)
    try:
        await process.start()
        yield process
    finally:
        await process.stop()


async def output_of(program: list[str], url: str) -> str:
    """What a program prints when it runs the report as alice."""
    environment = {
        **os.environ,
        "LONGCALL_URL": url,
        "LONGCALL_TOKEN": token_set(SECRET, "programs")["alice"],
    }
    process = await asyncio.create_subprocess_exec(
        *program,
        json.dumps(PAYLOAD),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(100):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    # The last progress is always delivered: the page that the report ends with.
    assert b"page " in errors, "it showed no progress"
    return output.decode()


def installed() -> dict[str, list[str]]:
    """The programs whose language is here; with CI=true a missing one is a failure of its run."""
    if os.environ.get("CI") == "true":
        return PROGRAMS
    return {name: program for name, program in PROGRAMS.items() if shutil.which(program[0])}


@pytest.mark.slow
async def test_the_programs_print_the_same_rows_and_result_and_they_are_the_sources(
    server: ServerProcess,
) -> None:
    outputs = {name: await output_of(program, server.url) for name, program in installed().items()}
    assert set(outputs.values()) == {outputs["python"]}, "the programs differ"
    *lines, last = outputs["python"].splitlines()
    word, _, text = last.partition(" ")
    assert word == "result"
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    result: dict[str, Any] = json.loads(text)
    assert result["rows"] == len(rows)
    assert compare_report(server.fixture(SOURCE), "day", rows, result) is None
