# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed: the names, their checks, and where their corpora stand."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

TARGETS: Final = {"codec": "fuzz.codec_target", "session": "fuzz.session_target"}
"""Name -> the module whose `check` judges an input."""

FOLDER: Final = Path(__file__).parent
FOUND: Final = FOLDER / "found"
"""What runs leave behind; git does not see it."""

Check = Callable[[bytes], None]


def check_of(target: str) -> Check:
    """The check of a target."""
    check: Check = import_module(TARGETS[target]).check
    return check


def corpus(target: str) -> Path:
    """The folder of the committed inputs."""
    return FOLDER / "corpus" / target


def corpus_files(target: str) -> list[Path]:
    """The committed inputs."""
    return sorted(corpus(target).iterdir())


def replay_line(target: str, file: Path) -> str:
    """The command that plays one input again, from the root of the checkout."""
    where = file.relative_to(FOLDER.parent)
    return f"cd server/tests && ../../.venv/bin/python -m fuzz replay {target} {where}"
