# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

import environment
from environment import ensure, fingerprint, is_current, stamp, works


@pytest.fixture
def pip_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """A checkout whose pip only remembers what it was asked for."""
    requirements = tmp_path / "requirements"
    requirements.mkdir()
    for name in ("constraints.txt", "dev.txt", "test.txt", "fuzz.txt"):
        (requirements / name).write_text("")
    for folder in environment.PACKAGES["dev"]:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "pyproject.toml").write_text("[project]\n")
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(environment, "PYTHON", tmp_path / ".venv" / "bin" / "python")
    monkeypatch.setattr(environment, "CONSTRAINTS", requirements / "constraints.txt")
    monkeypatch.setattr(
        environment, "DEV_REQUIREMENTS", (requirements / "dev.txt", requirements / "test.txt")
    )
    monkeypatch.setattr(environment, "FUZZ_REQUIREMENTS", requirements / "fuzz.txt")

    def create(folder: Path, **_: bool) -> None:
        (folder / "bin").mkdir(parents=True, exist_ok=True)
        (folder / "bin" / "python").touch()

    monkeypatch.setattr("venv.create", create)
    monkeypatch.setattr(environment, "works", Path.exists)
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(environment, "pip", lambda *arguments: calls.append(arguments))
    return calls


def test_the_second_time_nothing_is_installed(pip_calls: list[tuple[str, ...]]) -> None:
    ensure("demo")
    ensure("demo")

    assert len(pip_calls) == 1


def test_an_environment_whose_python_is_gone_is_made_anew(
    pip_calls: list[tuple[str, ...]],
) -> None:
    ensure("demo")
    environment.PYTHON.unlink()
    ensure("demo")

    assert environment.PYTHON.exists()
    assert len(pip_calls) == 2


def test_what_holds_everything_holds_the_demo(pip_calls: list[tuple[str, ...]]) -> None:
    ensure("dev")
    ensure("demo")
    assert len(pip_calls) == 1


def test_what_holds_the_fuzzers_holds_everything(pip_calls: list[tuple[str, ...]]) -> None:
    ensure("fuzz")
    ensure("dev")
    assert len(pip_calls) == 1


def test_the_fuzzers_are_installed_on_top_of_everything_else(
    pip_calls: list[tuple[str, ...]],
) -> None:
    ensure("dev")
    ensure("fuzz")

    first, second = pip_calls
    assert second[:-2] == first
    assert second[-1].endswith("fuzz.txt")


def test_the_demo_does_not_hold_everything(pip_calls: list[tuple[str, ...]]) -> None:
    ensure("demo")
    ensure("dev")
    assert len(pip_calls) == 2


@pytest.mark.parametrize("changed", ["server/pyproject.toml", "requirements/constraints.txt"])
def test_a_changed_file_makes_a_new_installation(
    pip_calls: list[tuple[str, ...]], changed: str
) -> None:
    ensure("demo")
    (environment.ROOT / changed).write_text("changed\n")
    ensure("demo")

    assert len(pip_calls) == 2


def test_a_failed_installation_is_not_taken_for_a_finished_one(
    pip_calls: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure("demo")
    (environment.ROOT / "server" / "pyproject.toml").write_text("changed\n")

    def fail(*arguments: str) -> None:
        raise OSError("no network")

    monkeypatch.setattr(environment, "pip", fail)
    with pytest.raises(OSError, match="no network"):
        ensure("demo")

    assert not is_current("demo")
    assert not stamp("demo").exists()


def test_all_packages_come_in_one_command_so_that_none_is_looked_up_elsewhere(
    pip_calls: list[tuple[str, ...]],
) -> None:
    ensure("dev")

    (arguments,) = pip_calls
    editable = [
        Path(arguments[at + 1]) for at, word in enumerate(arguments) if word == "--editable"
    ]
    folders = [str(path.relative_to(environment.ROOT)).split("[")[0] for path in editable]
    assert folders == list(environment.PACKAGES["dev"])


def test_an_environment_for_another_folder_is_another_environment(
    pip_calls: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint("demo")
    monkeypatch.setattr(environment, "PYTHON", environment.ROOT / "elsewhere" / "python")

    assert fingerprint("demo") != before


def test_a_python_that_is_not_there_does_not_work(tmp_path: Path) -> None:
    assert not works(tmp_path / "python")


def test_every_version_is_pinned_and_no_address_is_named() -> None:
    lines = environment.CONSTRAINTS.read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]

    assert pins
    assert all(pin.count("==") == 1 and "/" not in pin for pin in pins)
