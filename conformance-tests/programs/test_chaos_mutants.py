# SPDX-License-Identifier: Apache-2.0
"""Chaos can fail: a server with a defect is found out, by the finding that it deserves."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).parent.parent / "chaos" / "chaos.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mutant", "mode", "finding"),
    [
        ("repeats", "kill", "observations: twice: "),
        ("voids_all", "kill", "observations: chunks: "),
        ("abandons", "kill", "observations: lost: "),
        ("loses", "kill", "NOT_FOUND"),
        ("counts", "term", "ended with UNAVAILABLE"),
    ],
)
async def test_a_defect_of_the_server_is_found(
    tmp_path: Path, mutant: str, mode: str, finding: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(CHAOS), mode, "--handlers", mutant, "--out", str(tmp_path)),
        *("--rounds", "2", "--clients", "20", "--seed", "3", "--patience", "8"),
        stdout=asyncio.subprocess.PIPE,
    )
    said = (await process.communicate())[0].decode()
    assert finding in said, said
    assert process.returncode == 1
