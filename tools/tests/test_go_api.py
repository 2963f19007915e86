# SPDX-License-Identifier: Apache-2.0
"""The file of Go's public API: that a change of it is seen."""

import shutil
from pathlib import Path

import pytest

import go_api

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed")

SOURCE = """
// Package longcall is one.
package longcall

// Answer answers.
func Answer() int { return 42 }

func hidden() {}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(go_api, "PACKAGES", {Path(): Path()})
    folder = tmp_path / "sdk-go"
    folder.mkdir()
    (folder / "go.mod").write_text("module example.com/longcall\n\ngo 1.24\n")
    (folder / "longcall.go").write_text(SOURCE)
    return tmp_path


@pytest.mark.slow
def test_what_is_committed_is_compared_and_a_change_is_shown(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go_api.main(["check"], root) == 1
    assert go_api.main(["generate"], root) == 0
    assert go_api.main(["check"], root) == 0
    source = root / "sdk-go" / "longcall.go"
    source.write_text(SOURCE.replace("hidden() {}", "hidden() { Answer() }"))
    assert go_api.main(["check"], root) == 0
    capsys.readouterr()
    source.write_text(SOURCE.replace("Answer() int", "Answer(n int) int"))
    assert go_api.main(["check"], root) == 1
    shown = capsys.readouterr().out
    assert "-func Answer() int\n+func Answer(n int) int" in shown
    assert "hidden" not in shown
