# SPDX-License-Identifier: Apache-2.0
"""Nothing here belongs to one machine or one mirror, and no hand-written file grows too long.

usage: check_paths.py [FILE...]    (without a file: everything that git tracks)
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sources import ROOT, generated, is_source, text_lines, tracked

MAX_LINES = 800

# Written in pieces, so that this file does not break its own rules.
FORBIDDEN = {
    "a path of one machine": re.compile(
        r"(?<![\w./~${}-])/(?:root|work|opt/wheels|home/\w+|Users/\w+)(?![\w-])|\b[A-Z]:\\Users\\"
    ),
    "a download address": re.compile(
        r"https?://(?:[\w-]+\.)*(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|yarnpkg\.com"
        r"|proxy\.golang\.org|sum\.golang\.org|deb\.debian\.org)\b"
        r"|(?:^|\s)(?:--)?(?:extra-)?index-url\b|(?:^|\s)--find-links\b|(?:^|[\w@/:]:)?registry\s*=\s*http"
    ),
}
RESOLVED = re.compile(r'^\s*"resolved"\s*:\s*"(?!\.{0,2}/|file:|[\w-]+(?:/|"))')
LOCK_FILES = frozenset({"package-lock.json", "npm-shrinkwrap.json"})
MARK = re.compile(r"generated.*do not edit|do not edit.*generated", re.IGNORECASE | re.DOTALL)
HEAD = 5


def problems(root: Path, paths: Sequence[Path]) -> list[str]:
    """One line for each place in `paths` that breaks a rule."""
    made = generated(root, list(paths))
    return [problem for path in paths for problem in of_file(root, path, path in made)]


def of_file(root: Path, path: Path, is_generated: bool) -> Iterator[str]:
    """What is wrong with one file."""
    lines = list(text_lines(root, path))
    for number, line in enumerate(lines, 1):
        for what, pattern in FORBIDDEN.items():
            if found := pattern.search(line):
                yield f"{path}:{number}: {what}: {found.group().strip()}"
        if path.name in LOCK_FILES and RESOLVED.search(line):
            yield f"{path}:{number}: a download address: `resolved` in a lock file"
    if not is_source(root, path):
        return
    says_generated = bool(MARK.search("\n".join(lines[:HEAD])))
    if says_generated != is_generated:
        where = (
            ".gitattributes (linguist-generated)" if says_generated else f"its first {HEAD} lines"
        )
        yield f"{path}: generated, but not marked in {where}"
    if not is_generated and len(lines) > MAX_LINES:
        yield f"{path}: {len(lines)} lines; a hand-written source has at most {MAX_LINES}"


def main(arguments: Sequence[str]) -> int:
    """Prints what is wrong; 1 if anything is."""
    paths = [Path(argument) for argument in arguments] or tracked()
    found = problems(ROOT, paths)
    for problem in found:
        print(problem)
    print(f"paths: {len(paths)} files, {len(found)} problems")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
