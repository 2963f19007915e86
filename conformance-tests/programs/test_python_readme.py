# SPDX-License-Identifier: Apache-2.0
"""What the README of the Python SDK shows is what a reader gets: each example is run."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from demo_server import SUITE, DemoServer, demo_server

README = SUITE.parent / "sdk-python" / "README.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.DOTALL | re.MULTILINE)
ADDRESS, TOKEN = '"ws://127.0.0.1:8765"', 'token="…"'

# What a reader has around an example that shows a part of a program.
AROUND = """\
import asyncio
import os
from dataclasses import dataclass
from typing import Any

import longcall
from longcall import Action, Chunk, Progress, Status, connect
from pydantic import JsonValue

Row = list[dict[str, JsonValue]]
URL = os.environ["LONGCALL_URL"]


@dataclass
class ReportParams:
    format: str
    report_type: str = "monthly"


@dataclass
class Report:
    file: str
    rows: int


generate_report = Action[ReportParams, Report, Row]("generate_report")
resize = Action[str]("echo_async")
images = ["one.png", "two.png"]


def fetch_token(reason: str = "connect") -> str:
    return os.environ["LONGCALL_TOKEN"]

"""
ROWS_OF = """
async def rows_of(url: str) -> JsonValue:
    async with connect(url) as client:
        result = await client.call("generate_report")
        assert isinstance(result, dict)
        return result["rows"]
"""
BEFORE = """
async def before() -> str:
    async with connect(URL, fetch_token) as client:
        handle = await client.submit(generate_report, ReportParams(format="csv"))
        await handle
        return handle.id


id = asyncio.run(before())
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[DemoServer]:
    async with demo_server(tmp_path / "server") as running:
        yield running


def runner_of(program: Path) -> tuple[str, ...]:
    """How an example is run: one that is a test, as a reader would."""
    is_test = "def test_" in program.read_text("utf-8")
    return ("-m", "pytest", "-q", "-o", "asyncio_mode=auto") if is_test else ()


async def output_of(program: Path, server: DemoServer) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *runner_of(program),
        program.name,
        cwd=program.parent,
        env=server.environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(100):
        output, errors = await process.communicate()
    assert process.returncode == 0, (output + errors).decode()
    return output.decode()


def whole(example: str) -> str:
    """A program around an example that shows a part of one."""
    if "import asyncio" in example:
        return example
    imports = "".join(re.findall(r"^(?:from|import) .*\n", example, re.MULTILINE))
    rest = re.sub(r"^(?:from|import) .*\n", "", example, flags=re.MULTILINE).strip("\n")
    rest = rest.replace(ADDRESS, "URL")
    if "def test_" in rest:
        return f"{AROUND}{imports}{ROWS_OF}\n\n{rest}\n"
    if not re.search(r"^(?:await|async) | await ", rest, re.MULTILINE):
        return f"{AROUND}{imports}{BEFORE}\n{rest}\n"
    return (
        f"{AROUND}{imports}{BEFORE}\n\nasync def main() -> None:\n"
        f"    async with connect(URL, fetch_token) as client:\n{textwrap.indent(rest, ' ' * 8)}\n\n"
        "\nasyncio.run(main())\n"
    )


def test_the_first_example_is_short() -> None:
    lines = EXAMPLES[0].splitlines()
    assert len(lines) <= 15
    assert "await client.call(" in EXAMPLES[0]


@pytest.mark.slow
async def test_the_first_example_prints_progress_and_the_report(
    server: DemoServer, tmp_path: Path
) -> None:
    example = EXAMPLES[0]
    for placeholder in (ADDRESS, TOKEN):
        assert example.count(placeholder) == 1
    program = tmp_path / "first.py"
    text = example.replace(ADDRESS, repr(server.url)).replace(TOKEN, f"token={server.token!r}")
    program.write_text(text, encoding="utf-8")
    *progress, report = (await output_of(program, server)).splitlines()
    assert re.match(r"\d+(\.\d+)? \S", progress[-1])
    assert re.search(r"'rows': 1461\b", report)


@pytest.mark.slow
async def test_every_other_example_runs(server: DemoServer, tmp_path: Path) -> None:
    assert len(EXAMPLES) > 1
    for number, example in enumerate(EXAMPLES[1:], 1):
        program = tmp_path / f"example_{number}.py"
        program.write_text(whole(example), encoding="utf-8")
        await output_of(program, server)
    assert (tmp_path / "report.csv").stat().st_size > 1000, "no example downloads the report"


@pytest.mark.slow
def test_every_example_has_the_types_that_it_should(tmp_path: Path) -> None:
    for number, example in enumerate(EXAMPLES):
        (tmp_path / f"example_{number}.py").write_text(whole(example), encoding="utf-8")
    options = ("--strict", "--allow-untyped-defs", "--allow-untyped-calls", "--no-incremental")
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *sorted(map(str, tmp_path.glob("*.py")))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
