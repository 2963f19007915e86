# SPDX-License-Identifier: Apache-2.0
"""The oldest versions that a package claims to work with."""

import re
import tomllib

import pytest

from floors import floors
from sources import ROOT


def test_floors_are_what_the_package_itself_says() -> None:
    project = {
        "dependencies": ["pydantic>=2.14", "websockets>=16"],
        "optional-dependencies": {"cli": ["rich>=13"], "other": ["never>=1"]},
    }
    assert list(floors(project, ["cli"])) == ["pydantic==2.14", "websockets==16", "rich==13"]


@pytest.mark.parametrize("wanted", ["pydantic", "pydantic~=2.14", "pydantic>=2.14,<3"])
def test_dependency_without_a_floor_is_an_error(wanted: str) -> None:
    with pytest.raises(ValueError, match=re.escape(wanted)):
        list(floors({"dependencies": [wanted]}, []))


def test_the_python_sdk_needs_two_packages_and_has_floors_for_all() -> None:
    project = tomllib.loads((ROOT / "sdk-python" / "pyproject.toml").read_text())["project"]
    assert [one.partition("==")[0] for one in floors(project, [])] == ["pydantic", "websockets"]
    assert list(floors(project, project["optional-dependencies"]))
