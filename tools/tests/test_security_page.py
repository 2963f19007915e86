# SPDX-License-Identifier: Apache-2.0
"""docs/security.md names tests, settings and make targets: all of them are there."""

import re
from collections.abc import Iterator
from pathlib import Path

from sources import ROOT

PAGE = ROOT / "docs/security.md"
LINK = re.compile(r"\[`?([^\]`]+)`?\]\(([^)#]+)(?:#[^)]*)?\)")


def problems(text: str, folder: Path, root: Path = ROOT) -> Iterator[str]:
    """One line for everything that the page, which stands in `folder`, names and that is not there,
    and for each row of a table of defences that names no test."""
    for name, target in LINK.findall(text):
        if ":" in target.split("/")[0]:
            continue  # elsewhere in the world
        path = (folder / target).resolve()
        if not path.exists():
            yield f"{target}: there is no such file"
        elif "::" in name and not _holds_test(path, name):
            yield f"{target}: has no test {name.rpartition('::')[2]}"
    fields = _settings(root)
    for variable in sorted(set(re.findall(r"LONGCALL_([A-Z0-9_]+)", text))):
        if variable.lower() not in fields:
            yield f"LONGCALL_{variable}: there is no such setting"
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.MULTILINE))
    for target in sorted(set(re.findall(r"`make ([a-z-]+)", text)) - targets):
        yield f"make {target}: there is no such target"
    for row in _defences(text):
        if "::" not in row:
            yield f"no test: {row}"


def _holds_test(path: Path, name: str) -> bool:
    """Whether a file has the test, whose name is `FILE::TEST`, and is that file."""
    file, _, test = name.rpartition("::")
    if path.name != file.rpartition("/")[2]:
        return False
    definition = rf"(?:def|func) {re.escape(test)}\(|\btest(?:\.\w+)?\(\s*[\"'`]{re.escape(test)}"
    return bool(re.search(definition, path.read_text(encoding="utf-8")))


def _settings(root: Path) -> set[str]:
    sources = (root / "server/src/longcall_server/config").glob("*.py")
    text = "\n".join(source.read_text(encoding="utf-8") for source in sources)
    return set(re.findall(r"^    ([a-z_]+): ", text, re.MULTILINE))


def _defences(text: str) -> list[str]:
    """The rows of all tables whose last head is `test`."""
    tables = re.findall(r"^\|[^\n]*\| test \|\n\|[-|: ]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [row for rows in tables for row in rows.splitlines()]


def test_what_the_page_names_is_there() -> None:
    assert list(problems(PAGE.read_text(encoding="utf-8"), PAGE.parent)) == []


def test_the_page_names_tests_for_each_of_many_defences() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(_defences(text)) > 30
    assert len({name for name, _ in LINK.findall(text) if "::" in name}) > 50


def test_what_is_missing_is_found() -> None:
    here = "test_security_page.py"
    known = f"[`tools/{here}::test_what_is_missing_is_found`]({here})"
    text = f"""
{known} [`tools/{here}::test_nothing`]({here}) [`other.py::problems`]({here})
[gone](gone.md) [far](https://example.com) LONGCALL_HOST LONGCALL_NOTHING `make test` `make gold`

| attack | defence | test |
|---|---|---|
| one | wall | {known} |
| two | hope | |
"""
    assert list(problems(text, Path(__file__).parent)) == [
        f"{here}: has no test test_nothing",
        f"{here}: has no test problems",
        "gone.md: there is no such file",
        "LONGCALL_NOTHING: there is no such setting",
        "make gold: there is no such target",
        "no test: | two | hope | |",
    ]
