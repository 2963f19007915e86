# SPDX-License-Identifier: Apache-2.0
"""Installs the oldest versions that a package claims to work with, beside it.

usage: floors.py FOLDER [EXTRA…]    (in the environment that is to have them)

What is oldest is read from the package's own pyproject.toml, so that nothing can differ from it.
"""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

FLOOR = re.compile(r"([A-Za-z0-9._-]+)>=([0-9.]+)")


def floors(project: dict[str, Any], extras: Sequence[str]) -> Iterator[str]:
    """Each dependency at its floor; raises ValueError for one that names none."""
    wanted = [*project["dependencies"]]
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    for one in wanted:
        found = FLOOR.fullmatch(one)
        if found is None:
            raise ValueError(f"{one} is no `name>=version`")
        yield f"{found[1]}=={found[2]}"


def main(arguments: Sequence[str]) -> int:
    """Installs them; the newest, which the constraints name, give way."""
    folder, *extras = arguments
    project = tomllib.loads((Path(folder) / "pyproject.toml").read_text())["project"]
    oldest = list(floors(project, extras))
    print("floors:", *oldest)
    environment = {key: value for key, value in os.environ.items() if key != "PIP_CONSTRAINT"}
    command = [sys.executable, "-m", "pip", "install", "--quiet", *oldest]
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
