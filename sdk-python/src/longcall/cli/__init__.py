# SPDX-License-Identifier: Apache-2.0
"""The command `longcall`: call an action, watch it, come back to it. Exit codes: `exits`."""

from __future__ import annotations

import importlib.util
import sys

from .exits import Exit


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    if importlib.util.find_spec("rich") is None:
        print(
            "longcall: the command line needs one more package: pip install 'longcall[cli]'",
            file=sys.stderr,
        )
        return Exit.USAGE
    from .program import run  # noqa: PLC0415 - it imports rich, which may not be there

    return run(arguments)
