# SPDX-License-Identifier: Apache-2.0
"""The command `longcall-codegen`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .drift import emit_all, find_drift, repair
from .errors import CodegenError
from .registry import EMITTERS, load_emitters

_DIFFERS = 1
_FAILED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns 0, 1 when `check` found a difference, 2 when it could not run."""
    options = _parser().parse_args(arguments)
    try:
        root = _find_root(options.root)
        emitters = load_emitters(options.only)
        files = emit_all(emitters, root)
        drifts = find_drift(files, emitters, root)
        if options.command == "generate":
            repair(drifts, files, root)
    except CodegenError as error:
        print(f"longcall-codegen: {error}", file=sys.stderr)
        return _FAILED
    for drift in drifts:
        print(f"{drift.kind}: {drift.path}")
    if options.command == "generate":
        print(f"{len(files)} files are as generated")
        return 0
    if drifts:
        print("The checkout differs from its schema: run `make generate`.", file=sys.stderr)
        return _DIFFERS
    print(f"{len(files)} files are as generated")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="longcall-codegen",
        description="Generates models, code tables, state tables and reference pages from schema/.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for command, text in (
        ("generate", "write the generated files"),
        ("check", "compare the generated files with the checkout; exit 1 if any differs"),
    ):
        subparser = commands.add_parser(command, help=text, description=text)
        subparser.add_argument(
            "--only",
            type=lambda words: words.split(","),
            default=list(EMITTERS),
            metavar="A,B",
            help=f"only these, of {', '.join(EMITTERS)} (default: all)",
        )
        subparser.add_argument(
            "--root",
            type=Path,
            help="the checkout (default: the nearest folder upward that has schema/VERSION)",
        )
    return parser


def _find_root(given: Path | None) -> Path:
    candidates = [given.resolve()] if given else [Path.cwd(), *Path.cwd().parents]
    for candidate in candidates:
        if (candidate / "schema" / "VERSION").is_file():
            return candidate
    raise CodegenError(f"{candidates[0]}: no checkout with schema/VERSION here")


if __name__ == "__main__":
    sys.exit(main())
