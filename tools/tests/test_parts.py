# SPDX-License-Identifier: Apache-2.0
import configparser

import pytest

from environment import PACKAGES, ROOT
from parts import FUZZ, PYTHON_PACKAGES, SIMULATION, TOX_ENVIRONMENTS, all_parts
from sources import tracked


def test_no_two_parts_bear_one_name() -> None:
    names = [part.name for part in all_parts()]

    assert len(names) == len(set(names))


def test_no_python_package_is_left_out() -> None:
    folders = {
        path.parent.as_posix()
        for path in tracked()
        if path.name == "pyproject.toml" and path.parent.parts
    }

    assert folders == set(PYTHON_PACKAGES)
    assert folders == set(TOX_ENVIRONMENTS.values())
    assert folders == set(PACKAGES["dev"])


def test_no_python_file_goes_untyped() -> None:
    roots = [
        ROOT / word
        for part in all_parts()
        if part.name == "mypy"
        for command in part.commands
        for word in command.argv[3:]
    ]

    assert [
        str(path)
        for path in tracked()
        if path.suffix == ".py" and not any((ROOT / path).is_relative_to(root) for root in roots)
    ] == []


def test_tox_has_the_environments_that_are_run() -> None:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "tox.ini")

    assert settings["tox"]["env_list"].replace(" ", "").split(",") == list(TOX_ENVIRONMENTS)
    for name, folder in TOX_ENVIRONMENTS.items():
        assert f"{folder}/tests" in settings[f"testenv:{name}"]["commands"].split()


@pytest.mark.parametrize(("name", "folder"), [("simulation", SIMULATION), ("fuzz", FUZZ)])
def test_a_folder_with_a_part_of_its_own_is_run_once(name: str, folder: str) -> None:
    parts = [part for part in all_parts() for command in part.commands if folder in command.argv]

    assert [part.name for part in parts] == [name]
    assert f"--ignore {folder} " in (ROOT / "tox.ini").read_text()


def test_the_fast_loop_leaves_out_what_is_slow() -> None:
    fast = [command for part in all_parts() for command in part.fast]
    pytest_runs = [command for command in fast if "-m" in command.argv]

    assert len(pytest_runs) == 1 + len(TOX_ENVIRONMENTS)
    assert all("not slow" in command.argv for command in pytest_runs)
    assert not any("-race" in command.argv or "tox" in command.argv[0] for command in fast)
