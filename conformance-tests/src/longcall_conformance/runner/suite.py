# SPDX-License-Identifier: Apache-2.0
"""The drivers of a checkout: `drivers.yaml` says how each is built and started."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .case import load_yaml
from .drivers import DriverCommand
from .lint import CaseRefused


@dataclass(frozen=True)
class Suite:
    """Drivers that can be started, and why others cannot."""

    drivers: tuple[DriverCommand, ...]
    skipped: tuple[str, ...]


class BuildFailed(Exception):
    """A driver could not be built; the text is what the build said."""


def load_suite(path: Path, names: Sequence[str] = ()) -> Suite:
    """Reads `drivers.yaml` and builds what is in it: all, or those of the given names.

    Raises `BuildFailed`, and `CaseRefused` when the file is wrong or, with CI=true, a tool is
    missing.
    """
    drivers: list[DriverCommand] = []
    skipped: list[str] = []
    every = load_yaml(path)
    for name in set(names) - set(every):
        raise CaseRefused(f"{path} has no driver {name}, but {', '.join(every)}")
    for name, entry in every.items():
        if names and name not in names:
            continue
        unknown = set(entry) - {"needs", "build", "command"}
        if unknown or "command" not in entry:
            raise CaseRefused(f"{path}: {name} has command, needs and build, nothing else")
        absent = [tool for tool in entry.get("needs", "python").split() if not _is_here(tool)]
        if absent:
            if os.environ.get("CI") == "true":
                what = " and ".join(absent)
                raise CaseRefused(f"the driver {name} needs {what}, which is not on this machine")
            skipped.append(f"{name}: {' and '.join(absent)} is not on this machine")
            continue
        for command in entry.get("build", ()):
            _build(name, command, path.parent)
        command = entry["command"].replace("{python}", shlex.quote(sys.executable))
        drivers.append(DriverCommand(name, command))
    return Suite(tuple(drivers), tuple(skipped))


def _is_here(tool: str) -> bool:
    return tool == "python" or shutil.which(tool) is not None


def _build(name: str, command: str, folder: Path) -> None:
    done = subprocess.run(
        shlex.split(command), cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BuildFailed(f"{name}: {command}\n{done.stdout[-2_000:]}{done.stderr[-2_000:]}")
