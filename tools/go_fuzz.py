# SPDX-License-Identifier: Apache-2.0
"""Runs every fuzz target of the Go SDK for a while, one after the other.

usage: go_fuzz.py [--seconds N] [--jobs N]    (N seconds over all targets)

A finding is written into `testdata/fuzz` of its package by `go test`, and fails the run; with its
defect it is committed, and a test from then on. What is merely interesting stays in Go's cache.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sources import ROOT

SDK = ROOT / "sdk-go"
# A target that is minimised for a minute, as Go does by default, is not run meanwhile.
MINIMISE = "20x"


def targets(folder: Path) -> Iterator[tuple[str, str]]:
    """Package and name of each target of a module. Raises `CalledProcessError`."""
    every = ("go", "list", "-f", "{{.ImportPath}}", "./...")
    for package in run(folder, every).split():
        listed = run(folder, ("go", "test", "-list", "^Fuzz", package))
        yield from ((package, word) for word in listed.split() if word.startswith("Fuzz"))


def run(folder: Path, command: Sequence[str]) -> str:
    """What a command prints."""
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def main(words: Sequence[str] | None = None, folder: Path = SDK) -> int:
    """1 if a target found something, or if there is none."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(words)
    found = list(targets(folder))
    each = max(1, options.seconds // max(1, len(found)))
    failed = []
    for package, name in found:
        print(f"{name}: {each} s", flush=True)
        command = ("go", "test", "-run", "^$", "-fuzz", f"^{name}$", "-fuzztime", f"{each}s")
        bounds = ("-fuzzminimizetime", MINIMISE, "-parallel", str(options.jobs))
        if subprocess.run((*command, *bounds, package), cwd=folder, check=False).returncode:
            failed.append(name)
    print(f"targets: {len(found)}, with a finding: {', '.join(failed) or 'none'}")
    return bool(failed or not found)


if __name__ == "__main__":
    sys.exit(main())
