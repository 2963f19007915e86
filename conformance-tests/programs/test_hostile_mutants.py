# SPDX-License-Identifier: Apache-2.0
"""The hostile can fail: a server with a defect is found out, by the finding that it deserves."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

HOSTILE = Path(__file__).parent.parent / "hostile" / "hostile.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mutant", "finding", "mutations"),
    [
        ("closes", "survival: connection ", 2_000),
        ("breaks", "no INTERNAL_ERROR: connection ", 2_000),
        ("leaks", "memory: it grew by ", 4_000),
        ("mixes", "honest clients: error: ", 12_000),
        ("swallows", "every bad message is answered: connection ", 2_000),
    ],
)
async def test_a_defect_of_the_server_is_found(
    tmp_path: Path, mutant: str, finding: str, mutations: int
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(HOSTILE), "--handlers", mutant, "--out", str(tmp_path)),
        *("--mutations", str(mutations), "--connections", "20", "--seed", "3"),
        stdout=asyncio.subprocess.PIPE,
    )
    said = (await process.communicate())[0].decode()
    assert finding in said, said
    assert process.returncode == 1
