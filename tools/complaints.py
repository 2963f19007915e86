# SPDX-License-Identifier: Apache-2.0
"""Every line of docs/complaints.md has a test that bears its number, in every room that it names.

usage: complaints.py {list,check}    (`list` prints each line with its tests)

Python: `@pytest.mark.complaint(7)`. TypeScript: a title that begins with `complaint 7:`. Go: a test
whose name begins with `TestComplaint07`, or a subtest whose name begins with `complaint 7:`.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sources import ROOT, tracked

PAGE = Path("docs/complaints.md")
ROW = re.compile(r"\| (\d+) \| (.+?) \|.*\| ([a-z, ]+) \|")
ROOMS = {"server": "server", "python": "sdk-python", "javascript": "sdk-js", "go": "sdk-go"}
TITLE = re.compile(r"""\(\s*["'`]complaint (\d+): ([^"'`]*)""")
GO_TEST = re.compile(r"^func (TestComplaint(\d\d)\w*)\(", re.MULTILINE)


@dataclass(frozen=True)
class Complaint:
    """One line of the page: its number, its words, the rooms that must have a test."""

    number: int
    words: str
    rooms: tuple[str, ...]


@dataclass(frozen=True, order=True)
class Bearer:
    """A test that bears the number of a complaint."""

    number: int
    room: str
    path: Path
    name: str


def complaints(text: str) -> list[Complaint]:
    """The lines of the page."""
    rows = (ROW.fullmatch(line) for line in text.splitlines())
    return [Complaint(int(row[1]), row[2], tuple(row[3].split(", "))) for row in rows if row]


def bearers(root: Path, paths: Sequence[Path]) -> Iterator[Bearer]:
    """The tests among `paths` (relative to `root`) that bear a number."""
    for path in paths:
        room = next((room for room, folder in ROOMS.items() if path.parts[0] == folder), None)
        if room is None:
            continue
        if path.suffix == ".py" and path.name.startswith("test_"):
            found = python(root / path)
        elif path.name.endswith("_test.go"):
            text = (root / path).read_text(encoding="utf-8")
            found = (*titles(text), *((int(test[2]), test[1]) for test in GO_TEST.finditer(text)))
        elif re.search(r"\.test\.[cm]?[jt]sx?$", path.name):
            found = titles((root / path).read_text(encoding="utf-8"))
        else:
            continue
        yield from (Bearer(number, room, path, name) for number, name in found)


def python(path: Path) -> tuple[tuple[int, str], ...]:
    """Numbers and names of the marked tests of one file."""
    text = path.read_text(encoding="utf-8")
    if "mark.complaint" not in text:
        return ()
    return tuple(
        (argument.value, node.name)
        for node in ast.walk(ast.parse(text, filename=str(path)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        for mark in node.decorator_list
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.complaint"
        for argument in mark.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, int)
    )


def titles(text: str) -> tuple[tuple[int, str], ...]:
    """Numbers and titles in a file whose tests have titles."""
    return tuple((int(title[1]), title[2]) for title in TITLE.finditer(text))


def problems(known: Sequence[Complaint], found: Sequence[Bearer]) -> Iterator[str]:
    """One line for each thing that is wrong."""
    numbers = [complaint.number for complaint in known]
    if numbers != list(range(1, len(numbers) + 1)) or not numbers:
        yield f"{PAGE}: its lines must be numbered 1, 2, 3 …, and are {numbers}"
    for bearer in found:
        if bearer.number not in numbers:
            yield f"{bearer.path}: {bearer.name}: {PAGE} has no line {bearer.number}"
    tested = {(bearer.number, bearer.room) for bearer in found}
    for complaint in known:
        for room in complaint.rooms:
            if room not in ROOMS:
                yield f"{PAGE}: line {complaint.number}: {room} is none of {', '.join(ROOMS)}"
            elif (complaint.number, room) not in tested:
                line = f"{complaint.number}: {complaint.words}"
                yield f"{ROOMS[room]}: no test bears complaint {line}"


def listing(known: Sequence[Complaint], found: Sequence[Bearer]) -> Iterator[str]:
    """Each line of the page, and below it its tests."""
    by_number: Mapping[int, list[Bearer]] = {complaint.number: [] for complaint in known}
    for bearer in sorted(found):
        by_number.get(bearer.number, []).append(bearer)
    for complaint in known:
        yield f"{complaint.number}. {complaint.words}"
        yield from (f"    {bearer.path}: {bearer.name}" for bearer in by_number[complaint.number])


def main(words: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Prints the listing or what is wrong; 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("verb", choices=["list", "check"])
    verb = parser.parse_args(words).verb
    known = complaints((root / PAGE).read_text(encoding="utf-8"))
    found = list(bearers(root, tracked(root)))
    if verb == "list":
        print("\n".join(listing(known, found)))
    wrong = list(problems(known, found))
    print(
        *wrong, f"complaints: {len(known)}, tests: {len(found)}, problems: {len(wrong)}", sep="\n"
    )
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
