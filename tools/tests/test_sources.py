# SPDX-License-Identifier: Apache-2.0
import subprocess
from pathlib import Path

from sources import staged, text_lines, tracked


def test_tracked_are_committed_and_new_files_but_not_ignored_or_deleted_ones(
    checkout: Path,
) -> None:
    for name in (".gitignore", "committed.py", "deleted.py", "new.py", "ignored.log"):
        (checkout / name).write_text("*.log\n")
    subprocess.run(["git", "add", "committed.py", "deleted.py"], cwd=checkout, check=True)
    (checkout / "deleted.py").unlink()

    names = [path.name for path in tracked(checkout)]

    assert names == [".gitignore", "LICENSE", "committed.py", "new.py"]


def test_staged_are_the_files_of_the_next_commit_only(checkout: Path) -> None:
    for name in ("staged.py", "of two words.py", "left.py"):
        (checkout / name).write_text("x = 1\n")
    subprocess.run(["git", "add", "staged.py", "of two words.py"], cwd=checkout, check=True)

    assert staged(checkout) == [Path("of two words.py"), Path("staged.py")]


def test_a_binary_file_has_no_lines(checkout: Path) -> None:
    (checkout / "a.bin").write_bytes(b"text\n\0more\n")

    assert list(text_lines(checkout, Path("a.bin"))) == []
