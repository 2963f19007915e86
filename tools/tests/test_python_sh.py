# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from environment import ROOT

WriteProgram = Callable[[str, str], Path]


def python_sh(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["/bin/sh", ROOT / "tools" / "python.sh", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHON", raising=False)


def test_without_any_python_it_says_what_to_install(program: WriteProgram) -> None:
    done = python_sh("-V")

    assert done.returncode == 1
    assert done.stderr.startswith("missing: Python 3.11 or newer")


def test_a_python_that_is_too_old_is_not_taken_and_its_version_is_told(
    program: WriteProgram,
) -> None:
    program("python3", 'if [ "$1" = --version ]; then echo Python 3.9.2; else exit 1; fi')

    done = python_sh("-V")

    assert done.returncode == 1
    assert "(found: Python 3.9.2)" in done.stderr


def test_a_newer_python_is_found_beside_an_old_one(program: WriteProgram) -> None:
    program("python3", "exit 1")
    program("python3.12", f'exec {sys.executable} "$@"')

    done = python_sh("-c", "print('ran')")

    assert (done.returncode, done.stdout) == (0, "ran\n")


def test_a_python_without_venv_is_told_which_package_has_it(program: WriteProgram) -> None:
    program("python3", 'case "$2" in *ensurepip*) exit 1;; esac')

    done = python_sh("-V")

    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr


def test_the_python_that_was_chosen_is_the_one_taken(
    program: WriteProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("python3", "echo wrong")
    monkeypatch.setenv("PYTHON", sys.executable)

    assert python_sh("-c", "print('chosen')").stdout == "chosen\n"
