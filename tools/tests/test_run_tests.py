# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

import pytest

import environment
import needs
import run_tests
from parts import Command, Part
from report import Verdict


def part(name: str, text: str = "", *, alone: bool = True, needs: tuple[str, ...] = ()) -> Part:
    command = Command((sys.executable, "-c", text))
    fast = (command,) if name == "quick" else ()
    return Part(name, f"group of {name}", (command,), needs=needs, fast=fast, alone=alone)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[Part]:
    """The parts that there are; nothing is set up for them, and Node is missing."""
    those: list[Part] = []
    monkeypatch.setattr(run_tests, "all_parts", lambda: those)
    monkeypatch.setattr(run_tests, "set_up", lambda *_, fast: [])
    monkeypatch.setattr(needs, "missing_language", lambda name: f"no {name}: install it")
    monkeypatch.delenv("CI", raising=False)
    return those


def test_all_green_is_0(parts: list[Part], capsys: pytest.CaptureFixture[str]) -> None:
    parts += [part("a", "print('=== 1 passed ===')"), part("b", "print('ok b')", alone=False)]

    assert run_tests.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "=== 1 passed ===" in lines
    assert "ok b" in lines
    assert lines[-1] == "2 passed, 0 failed, 0 skipped"


@pytest.mark.parametrize("alone", [True, False])
def test_one_red_part_is_1_and_the_others_are_run(
    parts: list[Part], capsys: pytest.CaptureFixture[str], alone: bool
) -> None:
    parts += [part("a", "raise SystemExit(1)", alone=alone), part("b", alone=alone)]

    assert run_tests.main([]) == 1
    assert capsys.readouterr().out.endswith("1 passed, 1 failed, 0 skipped\n")


def test_a_missing_language_is_a_skip_that_says_why(
    parts: list[Part], capsys: pytest.CaptureFixture[str]
) -> None:
    parts.append(part("js", "raise SystemExit('never run')", needs=("node",)))

    assert run_tests.main([]) == 0
    assert "skipped      0.0  no node: install it" in capsys.readouterr().out


def test_a_missing_language_is_a_failure_on_a_build_machine(
    parts: list[Part], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CI", "true")
    parts.append(part("js", needs=("node",)))

    assert run_tests.main([]) == 1
    assert "FAILED       0.0  no node: install it" in capsys.readouterr().out


def test_only_those_asked_for_are_run(
    parts: list[Part], capsys: pytest.CaptureFixture[str]
) -> None:
    parts += [part("a"), part("b"), part("c")]

    run_tests.main(["--only", "a,group of c"])

    assert capsys.readouterr().out.endswith("2 passed, 0 failed, 0 skipped\n")


def test_a_word_that_names_nothing_is_refused(
    parts: list[Part], capsys: pytest.CaptureFixture[str]
) -> None:
    parts.append(part("a"))

    with pytest.raises(SystemExit) as ended:
        run_tests.main(["--only", "a,nonsense"])

    assert ended.value.code == 2
    assert "no part or group is named nonsense" in capsys.readouterr().out


def test_the_fast_loop_runs_the_fast_commands_alone(
    parts: list[Part], capsys: pytest.CaptureFixture[str]
) -> None:
    parts += [part("quick"), part("slow")]

    assert run_tests.main(["--fast"]) == 0
    assert capsys.readouterr().out.endswith("1 passed, 0 failed, 0 skipped\n")


def test_what_cannot_be_set_up_is_a_row_of_the_table() -> None:
    def fail() -> None:
        raise OSError("no space left")

    result = run_tests.set_up_one("python packages", fail, Verdict.FAILED)

    assert (result.verdict, result.notes) == (Verdict.FAILED, ["no space left"])


def test_a_machine_that_cannot_install_the_fuzzer_is_told_where_that_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(profile: str) -> None:
        raise subprocess.CalledProcessError(1, ["pip", profile])

    monkeypatch.setattr(environment, "ensure", fail)
    monkeypatch.setattr(environment, "PYTHON", "false")
    assert run_tests.fuzzing_packages() == needs.missing("atheris")

    monkeypatch.setattr(environment, "ensure", lambda profile: None)
    assert run_tests.fuzzing_packages() is None


def test_what_only_others_can_have_is_a_skip_on_a_build_machine_too(
    parts: list[Part], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr(needs, "missing_vulnerabilities", lambda: "out of reach")
    parts.append(part("govulncheck", needs=(needs.VULNERABILITIES,)))
    assert run_tests.main([]) == 0
    assert "skipped      0.0  out of reach" in capsys.readouterr().out

    parts.append(part("both", needs=(needs.VULNERABILITIES, "node")))
    assert run_tests.main([]) == 1
