# SPDX-License-Identifier: Apache-2.0
"""Lets the formatters have their way, in every language that is installed here."""

import subprocess
import sys

from environment import ROOT, ensure, say
from needs import missing_language
from parts import Command, biome, go_modules, run


def main() -> int:
    """1 if a formatter failed."""
    ensure("dev")
    commands = [run("ruff", "check", "--fix-only", "--quiet", "."), run("ruff", "format", ".")]
    commands += of_language("node", list(biome("check", "--write")))
    commands += of_language("go", [Command(("gofmt", "-w", "."), one) for one in go_modules()])
    failed = False
    for command in commands:
        say(f"{' '.join(command.argv[:3])} in {command.cwd.relative_to(ROOT)}")
        failed |= subprocess.run(command.argv, cwd=command.cwd, check=False).returncode != 0
    return int(failed)


def of_language(name: str, commands: list[Command]) -> list[Command]:
    """The commands, or none of them with the reason said."""
    if reason := missing_language(name):
        say(f"left out: {reason}")
        return []
    return commands


if __name__ == "__main__":
    sys.exit(main())
