# SPDX-License-Identifier: Apache-2.0
"""Lints the staged files, as they stand in the working tree, before they are committed.

Installed by `make hooks`; a commit in a hurry goes by it with `git commit --no-verify`.
"""

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import check_licences
import check_paths
from environment import ROOT, VENV
from execution import run_command
from parts import Command, biome
from sources import staged

RUFF = VENV / "bin" / "ruff"
BIOME_SUFFIXES = frozenset({".ts", ".tsx", ".mts", ".js", ".mjs"})


def main() -> int:
    """1 if a staged file breaks a rule."""
    paths = [path for path in staged() if (ROOT / path).is_file()]
    problems = check_licences.problems(ROOT, paths) + check_paths.problems(ROOT, paths)
    for problem in problems:
        print(problem)
    failures = [why for command in linters(paths) if (why := run_command(command, show))]
    return int(bool(problems or failures))


def show(line: str) -> None:
    """What a linter says, as it says it."""
    print(line, end="", flush=True)


def linters(paths: Sequence[Path]) -> Iterator[Command]:
    """The linters' command lines for these files, of the languages that are installed here."""
    if (python := [str(path) for path in paths if path.suffix == ".py"]) and RUFF.exists():
        yield Command((str(RUFF), "check", "--quiet", *python))
        yield Command((str(RUFF), "format", "--quiet", "--check", *python))
    if (go := [str(path) for path in paths if path.suffix == ".go"]) and shutil.which("gofmt"):
        yield Command(("gofmt", "-l", *go), quiet=True)
    for command in biome("check", "--no-errors-on-unmatched"):
        if scripts := [path for path in paths if is_script_of(command.cwd, path)]:
            yield replace(command, argv=(*command.argv, *(str(ROOT / path) for path in scripts)))


def is_script_of(folder: Path, path: Path) -> bool:
    """Whether a path is a script of this npm folder."""
    return path.suffix in BIOME_SUFFIXES and (ROOT / path).is_relative_to(folder)


if __name__ == "__main__":
    sys.exit(main())
