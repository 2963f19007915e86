# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of operators' commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from backup_harness import Folders
from operator_harness import DataFolder, without_environment


@pytest.fixture
def folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Folders:
    without_environment(monkeypatch)
    return lambda name: DataFolder(tmp_path / name, capsys)
