# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from pathlib import Path

import pytest

import node

WriteProgram = Callable[[str, str], Path]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One npm folder."""
    folder = tmp_path / "sdk"
    (folder / "node_modules").mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        (folder / name).write_text("{}")
    monkeypatch.setattr(node, "ROOT", tmp_path)
    monkeypatch.setattr(node, "npm_folders", lambda: [folder])
    return folder


def test_what_is_locked_is_installed_once_and_anew_when_it_changed(
    folder: Path, program: WriteProgram
) -> None:
    program("npm", "echo x >>calls")

    def calls() -> int:
        assert node.ensure() is None
        return len((folder / "calls").read_text().splitlines())

    assert (calls(), calls()) == (1, 1)
    (folder / "package-lock.json").write_text("{ }")
    assert calls() == 2


def test_a_failed_installation_is_told_and_tried_again(folder: Path, program: WriteProgram) -> None:
    program("npm", "exit 1")
    assert node.ensure() == "npm ci failed in sdk"

    program("npm", "")
    assert node.ensure() is None
