# SPDX-License-Identifier: Apache-2.0
"""The command `longcall`: call an action, watch it, come back to it. Exit codes: `exits`."""

from __future__ import annotations

import importlib.util
import os
import sys

NEEDS = ("rich", "argcomplete")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    if missing := [name for name in NEEDS if importlib.util.find_spec(name) is None]:
        print(
            f"longcall: the command line needs {' and '.join(missing)}: "
            "pip install 'longcall[cli]'",
            file=sys.stderr,
        )
        return 2
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Who read our output has gone; nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(arguments: list[str] | None) -> int:
    # They import what may not be there; and what is imported here can be interrupted quietly.
    from . import completion  # noqa: PLC0415
    from .arguments import parser  # noqa: PLC0415

    if arguments is None:
        completion.answer()
    options = parser().parse_args(arguments)
    if options.command == "completion":
        print(completion.script(options.shell))
        return 0
    from .commands import run  # noqa: PLC0415

    return run(options)
