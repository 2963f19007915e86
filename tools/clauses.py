# SPDX-License-Identifier: Apache-2.0
"""Every clause of the protocol has a test: docs/clauses.md says which, and this holds it true.

usage: clauses.py {generate,check}    (`generate` writes docs/clauses.md, `check` compares)

Fails where a clause has neither a test nor a room in docs/clauses-left.toml that will write one,
and where that list grows: it may only shrink. A clause with MAY permits and demands nothing, so it
needs no test. How a test says what it proves stands in clause_markers.py.
"""

import argparse
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import clause_table
from clause_markers import Found, collect
from protocol_text import Clause, clauses
from sources import ROOT, git, tracked

TEXT = Path("schema/PROTOCOL.md")
LEFT = Path("docs/clauses-left.toml")
TABLE = Path("docs/clauses.md")

# How many clauses each room may leave open. Whoever writes the test of one takes it off the list
# and lowers its room's number here; a number that rises has to be explained in review.
AT_MOST = {"HTTP": 41}


def order(number: str) -> tuple[int, ...]:
    """What sorts numbers as people do."""
    return tuple(map(int, number.split(".")))


def problems(
    known: Sequence[Clause],
    found: Found,
    left: Mapping[str, Sequence[str]],
    earlier: Sequence[Mapping[str, Sequence[str]]],
    at_most: Mapping[str, int],
) -> Iterator[str]:
    """One line for each thing that is wrong; `earlier` are the list's versions of the past."""
    yield from found.problems
    numbers = {clause.number for clause in known}
    for marker in found.markers:
        if marker.clause not in numbers:
            yield f"{marker.path}: {marker.name}: there is no clause {marker.clause} in {TEXT}"
    tested = {marker.clause for marker in found.markers}
    listed = Counter(number for room in left.values() for number in room)
    for clause in known:
        if not (clause.number in tested or clause.number in listed or clause.permits):
            yield f"{TEXT}: no test proves {clause.number}: {clause.words}"
    for number, times in listed.items():
        if number not in numbers:
            yield f"{LEFT}: there is no clause {number} in {TEXT}"
        elif number in tested:
            yield f"{LEFT}: {number} has a test now: take it off the list"
        elif times > 1:
            yield f"{LEFT}: {number} stands there {times} times"
    yield from growth(left, earlier, at_most)


def growth(
    left: Mapping[str, Sequence[str]],
    earlier: Sequence[Mapping[str, Sequence[str]]],
    at_most: Mapping[str, int],
) -> Iterator[str]:
    """Rooms that are none or leave more than they may; clauses that are new in the list."""
    for room in sorted(left.keys() - at_most.keys()):
        yield f"{LEFT}: {room} is no room: a test is left to {', '.join(at_most)} or written now"
    for room, most in at_most.items():
        if (count := len(left.get(room, ()))) > most:
            yield f"{LEFT}: {room} has {count} clauses; the list may only shrink from {most}"
        elif count < most:
            yield f"{LEFT}: {room} has {count} clauses: lower its number in tools/clauses.py"
    now = {number for room in left.values() for number in room}
    for version in earlier:
        before = {number for room in version.values() for number in room}
        for number in sorted(now - before, key=order):
            yield f"{LEFT}: {number} was not in it before; the list may only shrink"
        now &= before


def read_left(text: str) -> dict[str, list[str]]:
    """The list: each room with the clauses that it will test. Raises ValueError if it is none."""
    rooms = tomllib.loads(text)
    for room, numbers in rooms.items():
        if not (isinstance(numbers, list) and all(isinstance(number, str) for number in numbers)):
            raise ValueError(f"{LEFT}: {room} must be an array of numbers of clauses")
    return rooms


def versions(root: Path) -> list[dict[str, list[str]]]:
    """Every version of the list that git remembers, newest first; none without a history."""
    try:
        commits = git(root, "log", "--format=%H", "--diff-filter=AM", "--", str(LEFT)).split()
    except subprocess.CalledProcessError:  # no commit yet
        return []
    return [read_left(git(root, "show", f"{commit}:{LEFT.as_posix()}")) for commit in commits]


def main(words: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Prints what is wrong; 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("verb", choices=["generate", "check"])
    verb = parser.parse_args(words).verb
    known = list(clauses((root / TEXT).read_text(encoding="utf-8")))
    left = read_left((root / LEFT).read_text(encoding="utf-8"))
    found = collect(root, tracked(root))
    page = clause_table.page(known, found.markers, left)
    if verb == "generate":
        (root / TABLE).write_text(page, encoding="utf-8")
    wrong = list(problems(known, found, left, versions(root), AT_MOST))
    if not (root / TABLE).is_file() or (root / TABLE).read_text(encoding="utf-8") != page:
        wrong.append(f"{TABLE}: not what the tests say: run `make generate`")
    for line in wrong:
        print(line)
    print(f"clauses: {len(known)}, markers: {len(found.markers)}, problems: {len(wrong)}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
