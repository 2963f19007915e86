# SPDX-License-Identifier: Apache-2.0
import subprocess
from pathlib import Path

import pytest

import complaints as tool

PAGE = """\
| # | What hurts | Where | What longcall does | Rooms |
|---|---|---|---|---|
| 1 | It hangs | a/b#1 | ends | server |
| 2 | It runs twice | a/b#2 | once | python, javascript, go |
"""
TESTS = {
    "server/tests/test_it.py": "@pytest.mark.complaint(1)\ndef test_it_ends(): ...\n",
    "sdk-python/tests/test_it.py": (
        "class TestIt:\n    @pytest.mark.complaint(2)\n    async def test_once(self): ...\n"
    ),
    "sdk-js/tests/it.test.ts": 'test("complaint 2: once", () => {});\n',
    "sdk-go/it_test.go": "func TestComplaint02Once(t *testing.T) {}\n",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    write(tmp_path, {"docs/complaints.md": PAGE, **TESTS})
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def check(root: Path, capsys: pytest.CaptureFixture[str], status: int) -> list[str]:
    assert tool.main(["check"], root) == status
    *wrong, last = capsys.readouterr().out.splitlines()
    assert last.endswith(f"problems: {len(wrong)}")
    return wrong


def test_a_line_with_a_test_in_each_of_its_rooms_is_in_order(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(repository, capsys, 0) == []


def test_a_subtest_of_go_bears_a_number_by_its_name(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(repository, {"sdk-go/it_test.go": 't.Run("complaint 2: once", func() {})\n'})
    assert check(repository, capsys, 0) == []


@pytest.mark.parametrize("place", TESTS)
def test_a_room_without_a_test_is_named(
    repository: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    write(repository, {place: "nothing\n"})
    [line] = check(repository, capsys, 1)
    room = place.split("/", maxsplit=1)[0]
    assert line.startswith(f"{room}: no test bears complaint ")


def test_what_bears_a_number_and_is_no_test_counts_for_nothing(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    helper = "@pytest.mark.complaint(1)\ndef helper(): ...\n"
    write(repository, {"server/tests/test_it.py": helper})
    assert check(repository, capsys, 1) == ["server: no test bears complaint 1: It hangs"]


def test_an_unknown_number_and_an_unknown_room_are_told(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(repository, {"sdk-js/tests/more.test.ts": "it('complaint 7: more', () => {});\n"})
    write(repository, {"docs/complaints.md": PAGE.replace("| server |", "| server, attic |")})
    assert check(repository, capsys, 1) == [
        "sdk-js/tests/more.test.ts: more: docs/complaints.md has no line 7",
        "docs/complaints.md: line 1: attic is none of server, python, javascript, go",
    ]


def test_lines_that_are_not_numbered_in_order_are_refused(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(repository, {"docs/complaints.md": PAGE.replace("| 1 |", "| 3 |")})
    assert "must be numbered" in check(repository, capsys, 1)[0]


def test_the_listing_has_each_line_with_its_tests(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.main(["list"], repository) == 0
    assert capsys.readouterr().out.splitlines()[:3] == [
        "1. It hangs",
        "    server/tests/test_it.py: test_it_ends",
        "2. It runs twice",
    ]
