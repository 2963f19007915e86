# SPDX-License-Identifier: Apache-2.0
"""Which drivers of a checkout can be played on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from longcall_conformance.runner.lint import CaseRefused
from longcall_conformance.runner.suite import load_suite


@pytest.fixture
def drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two drivers, of which one needs what nobody has."""
    monkeypatch.delenv("CI", raising=False)
    path = tmp_path / "drivers.yaml"
    path.write_text(
        "here: {needs: python, command: '{python} driver.py'}\n"
        "page: {needs: python no-such-browser no-such-screen, build: [false], command: launch}\n"
    )
    return path


def test_what_a_driver_lacks_is_named_and_nothing_of_it_is_built(drivers: Path) -> None:
    suite = load_suite(drivers)
    assert [driver.name for driver in suite.drivers] == ["here"]
    assert suite.skipped == ("page: no-such-browser and no-such-screen is not on this machine",)


def test_on_a_build_machine_that_is_an_error(
    drivers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(CaseRefused, match="page needs no-such-browser and no-such-screen"):
        load_suite(drivers)
