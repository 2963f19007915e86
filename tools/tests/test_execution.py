# SPDX-License-Identifier: Apache-2.0
import sys
from pathlib import Path

import pytest

import execution
from environment import VENV
from execution import run_command, run_part
from parts import Command, Part
from report import Verdict


def code(text: str, *, quiet: bool = False) -> Command:
    return Command((sys.executable, "-c", text), quiet=quiet)


def part(*commands: Command) -> Part:
    return Part("one", "test", commands)


def test_a_part_passes_if_all_its_commands_do() -> None:
    shown: list[str] = []

    result = run_part(part(code("print('=== 1 passed ===')"), code("")), shown.append)

    assert (result.verdict, list(result.notes)) == (Verdict.PASSED, [])
    assert shown == ["=== 1 passed ===\n"]


def test_a_failed_command_fails_its_part_and_the_next_one_is_run_all_the_same() -> None:
    shown: list[str] = []

    result = run_part(part(code("raise SystemExit(3)"), code("print('ran')")), shown.append)

    assert result.verdict is Verdict.FAILED
    assert result.notes[0].endswith("exit code 3")
    assert shown == ["ran\n"]


def test_output_and_errors_come_line_by_line_with_their_ends() -> None:
    shown: list[str] = []

    run_command(
        code("import sys; print('a'); sys.stdout.flush(); sys.stderr.write('b')"), shown.append
    )

    assert shown == ["a\n", "b\n"]


def test_a_program_that_is_not_there_is_a_failure_with_its_name() -> None:
    reason = run_command(Command(("no-such-program", "--all")), print)

    assert reason == "no-such-program --all: No such file or directory"


def test_a_quiet_command_fails_by_saying_anything() -> None:
    assert run_command(code("", quiet=True), print) is None
    reason = run_command(code("print('a.go')", quiet=True), print)
    assert reason is not None
    assert reason.endswith("names files, see above")


def test_a_part_with_nothing_to_run_is_no_pass() -> None:
    assert run_part(part(), print).verdict is Verdict.FAILED


def test_a_command_that_hangs_is_killed_with_all_that_it_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(execution, "COMMAND_SECONDS", 0.5)
    # The child holds the pipe: reading ends only if it is killed as well.
    hang = "import signal; signal.pause()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hang!r}])"

    reason = run_command(code(parent), print)

    assert reason is not None
    assert reason.endswith("exit code -9")


def test_commands_find_our_programs_first_and_print_plainly() -> None:
    shown: list[str] = []

    run_command(
        code("import os; print(os.environ['PATH']); print(os.environ['NO_COLOR'])"), shown.append
    )

    assert Path(shown[0].split(":")[0]) == VENV / "bin"
    assert shown[1] == "1\n"
