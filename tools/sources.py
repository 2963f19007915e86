# SPDX-License-Identifier: Apache-2.0
"""The files of this repository as git sees them: which are sources, which are generated."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

SOURCE_SUFFIXES = frozenset(
    {".py", ".ts", ".tsx", ".mts", ".cts", ".js", ".mjs", ".cjs", ".jsx", ".go", ".sh"}
)


def tracked(root: Path = ROOT) -> list[Path]:
    """Paths, relative to `root`, of all files that are committed or about to be; sorted."""
    listing = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = {Path(name) for name in listing.split("\0") if name}
    return sorted(name for name in names if (root / name).is_file())


def staged(root: Path = ROOT) -> list[Path]:
    """Paths of the files that the next commit adds or changes; sorted."""
    listing = git(root, "diff", "--cached", "--name-only", "-z", "--diff-filter=ACMR")
    return sorted(Path(name) for name in listing.split("\0") if name)


def generated(root: Path, paths: list[Path]) -> set[Path]:
    """Those of `paths` that .gitattributes marks as `linguist-generated`."""
    marked = git(
        root,
        *("check-attr", "-z", "--stdin", "linguist-generated"),
        given="\0".join(path.as_posix() for path in paths),
    ).split("\0")
    values = zip(marked[0::3], marked[2::3], strict=False)
    return {Path(name) for name, value in values if value in {"set", "true"}}


def is_source(root: Path, path: Path) -> bool:
    """Whether people write programs in it: by its suffix, or by a `#!` line if it has none."""
    if path.suffix:
        return path.suffix in SOURCE_SUFFIXES
    with (root / path).open("rb") as file:
        return file.read(2) == b"#!"


def text_lines(root: Path, path: Path) -> Iterator[str]:
    """The lines of a text file, without their ends; none of a binary file."""
    data = (root / path).read_bytes()
    if b"\0" not in data[:8192]:
        yield from data.decode("utf-8", errors="replace").splitlines()


def git(root: Path, *arguments: str, given: str | None = None) -> str:
    """What `git ARGUMENTS` prints, run in `root`; raises CalledProcessError if it fails."""
    return subprocess.run(
        ["git", *arguments], cwd=root, input=given, capture_output=True, text=True, check=True
    ).stdout
