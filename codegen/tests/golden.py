# SPDX-License-Identifier: Apache-2.0
"""What the emitters make of the schema in `fixture/`, and where that is kept.

After a wanted change: `python codegen/tests/golden.py python,docs`, then read the difference.
Files are kept with the suffix `.txt`, so that no tool takes them for sources of this repository.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from longcall_codegen.load import load_schema
from longcall_codegen.registry import load_emitters

TESTS = Path(__file__).resolve().parent
FIXTURE = TESTS / "fixture"
GOLDEN = TESTS / "golden"
CHECKOUT = TESTS.parents[1]


def emitted(name: str) -> Mapping[PurePosixPath, str]:
    """What the emitter of this name makes of the fixture; its tools are those of the checkout."""
    schema = load_schema(FIXTURE / "schema")
    (emitter,) = load_emitters([name])
    return emitter.emit(schema.bundle, schema.codes, schema.states, CHECKOUT)


def kept(name: str) -> Mapping[PurePosixPath, str]:
    """What stands in `golden/<name>/`."""
    folder = GOLDEN / name
    return {
        PurePosixPath(file.relative_to(folder).as_posix().removesuffix(".txt")): file.read_text(
            encoding="utf-8"
        )
        for file in sorted(folder.rglob("*.txt"))
    }


def keep(name: str) -> None:
    """Writes `golden/<name>/` anew."""
    for old in (GOLDEN / name).rglob("*.txt"):
        old.unlink()
    for path, text in emitted(name).items():
        file = GOLDEN / name / f"{path}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def main(names: Iterable[str]) -> None:
    """Keeps what these emitters make now."""
    for name in names:
        keep(name)


if __name__ == "__main__":
    main(sys.argv[1].split(","))
