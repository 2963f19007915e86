# SPDX-License-Identifier: Apache-2.0
"""Puts the tools on the path, and gives a checkout to plant defects in."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOOLS))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """An empty repository with a licence."""
    # A hook runs tests with git's own variables set: they would lead back to the real checkout.
    environment = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
    subprocess.run(["git", "init", "--quiet", tmp_path], env=environment, check=True)
    (tmp_path / "LICENSE").write_text("the licence\n")
    return tmp_path


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Writes a program into a folder that is all of PATH; `program(name, shell_text)`."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def write(name: str, text: str) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    return write
