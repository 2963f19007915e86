# SPDX-License-Identifier: Apache-2.0
"""Every source file names its licence; every release unit carries the licence's text.

usage: check_licences.py [FILE...]    (without a file: everything that git tracks)
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from sources import ROOT, is_source, text_lines, tracked

IDENTIFIER = "SPDX-License-Identifier: Apache-2.0"
COMMENTS = (f"# {IDENTIFIER}", f"// {IDENTIFIER}")

# Folders that are released by themselves, each with its own copy of the licence.
RELEASE_UNITS = ("server", "sdk-python", "sdk-js", "sdk-go", "conformance-tests")


def problems(root: Path, paths: Sequence[Path]) -> list[str]:
    """One line for each file of `paths` that breaks the rule."""
    headless = [
        f"{path}:1: the first line (after a #! line) must be a comment `{IDENTIFIER}`"
        for path in paths
        if is_source(root, path) and not names_licence(root, path)
    ]
    return headless + licence_copies(root)


def names_licence(root: Path, path: Path) -> bool:
    """Whether the first line, or the one after `#!`, says so; a file of nothing need not."""
    lines = list(text_lines(root, path))
    if lines and lines[0].startswith("#!"):
        lines = lines[1:]
    return not any(lines) or lines[0].rstrip() in COMMENTS


def licence_copies(root: Path) -> list[str]:
    """One line for each release unit whose LICENSE is missing or not the root's."""
    text = (root / "LICENSE").read_bytes()
    copies = [root / unit / "LICENSE" for unit in RELEASE_UNITS if (root / unit).is_dir()]
    return [
        f"{copy.relative_to(root)}: must be a copy of LICENSE"
        for copy in copies
        if not copy.is_file() or copy.read_bytes() != text
    ]


def main(arguments: Sequence[str]) -> int:
    """Prints what is wrong; 1 if anything is."""
    paths = [Path(argument) for argument in arguments] or tracked()
    found = problems(ROOT, paths)
    for problem in found:
        print(problem)
    print(f"licences: {len(paths)} files, {len(found)} problems")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
