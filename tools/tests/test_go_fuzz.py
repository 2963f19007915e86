# SPDX-License-Identifier: Apache-2.0
"""The run of Go's fuzz targets: that all are run, and that a finding fails it."""

import shutil
from pathlib import Path

import pytest

import go_fuzz

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed"),
]

GOOD = """
package a

import "testing"

func FuzzGood(f *testing.F) { f.Fuzz(func(t *testing.T, text string) {}) }
"""
BAD = """
package a

import "testing"

func FuzzBad(f *testing.F) {
	f.Fuzz(func(t *testing.T, n int) {
		if n != 0 {
			t.Fatal(n)
		}
	})
}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "go.mod").write_text("module example.com/a\n\ngo 1.24\n")
    (tmp_path / "good_test.go").write_text(GOOD)
    return tmp_path


def test_a_finding_fails_and_is_kept(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert go_fuzz.main(["--seconds", "1"], folder) == 0
    (folder / "bad_test.go").write_text(BAD)
    assert go_fuzz.main(["--seconds", "2"], folder) == 1
    assert "targets: 2, with a finding: FuzzBad" in capfd.readouterr().out
    assert list((folder / "testdata" / "fuzz" / "FuzzBad").iterdir())


def test_a_run_of_no_target_is_no_success(folder: Path) -> None:
    (folder / "good_test.go").unlink()
    (folder / "a.go").write_text("package a\n")
    assert go_fuzz.main(["--seconds", "1"], folder) == 1
