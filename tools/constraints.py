# SPDX-License-Identifier: Apache-2.0
"""Writes requirements/constraints.txt anew: the newest versions that all packages agree on.

usage: constraints.py
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from environment import CONSTRAINTS, PACKAGES, pip, say, targets

HEAD = """\
# Versions of every Python package that is installed here, by people and by machines.
# Written by `make constraints`; do not edit by hand.
"""


def main() -> int:
    """Resolves in an empty environment of its own, so that nothing old is kept by accident."""
    with tempfile.TemporaryDirectory(prefix="longcall-constraints-") as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        say(f"resolving {', '.join(PACKAGES['fuzz'])}")
        pip("install", *targets("fuzz"), python=python, constrained=False)
        frozen = subprocess.run(
            [python, "-m", "pip", "freeze", "--exclude-editable"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    CONSTRAINTS.write_text(HEAD + frozen)
    say(f"{len(frozen.splitlines())} versions in {CONSTRAINTS.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
