# SPDX-License-Identifier: Apache-2.0
import subprocess
from pathlib import Path

import pytest

from clause_markers import SUITE, Marker, collect
from environment import ROOT, VENV
from parts import PYTHON_PACKAGES
from sources import tracked

MARK = '@pytest.mark.clause("1.1.1", "10.2.3")\n'


def planted(root: Path, name: str, text: str) -> tuple[list[tuple[str, str]], list[str]]:
    """What is found in one file: clauses with the names of their tests, and complaints."""
    path = Path(name)
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)
    found = collect(root, [path])
    assert all(marker.path == path for marker in found.markers)
    return [(marker.clause, marker.name) for marker in found.markers], found.problems


@pytest.mark.parametrize(
    "test, name",
    [
        ("def test_it() -> None: ...\n", "test_it"),
        ("async def test_it() -> None: ...\n", "test_it"),
        ('@pytest.mark.parametrize("n", [1, 2])\ndef test_it(n): ...\n', "test_it"),
        ("@pytest.mark.slow\ndef test_it(): ...\n", "test_it"),
    ],
)
def test_a_marker_of_pytest_names_its_test_once(tmp_path: Path, test: str, name: str) -> None:
    found = planted(tmp_path, "tests/test_a.py", MARK + test)

    assert found == ([("1.1.1", name), ("10.2.3", name)], [])


def test_a_method_of_a_test_class_is_named_with_its_class(tmp_path: Path) -> None:
    text = 'class TestA:\n    @pytest.mark.clause("1.1.1")\n    async def test_it(self): ...\n'

    assert planted(tmp_path, "test_a.py", text) == ([("1.1.1", "TestA::test_it")], [])


def test_the_suite_of_the_stores_has_a_marker_that_needs_no_pytest(tmp_path: Path) -> None:
    text = 'class ReadTests:\n    @clause("1.1.1")\n    async def test_it(self): ...\n'

    assert planted(tmp_path, f"{SUITE}/a.py", text) == ([("1.1.1", "ReadTests::test_it")], [])
    assert planted(tmp_path, "tests/test_a.py", text) == ([], [])


@pytest.mark.parametrize(
    "name, text",
    [
        ("tests/a.py", MARK + "def test_it(): ...\n"),
        ("tests/test_a.py", MARK + "def helper(): ...\n"),
        ("tests/test_a.py", MARK + "@pytest.fixture\ndef it(): ...\n"),
        ("tests/test_a.py", MARK + "class TestA:\n    def test_it(self): ...\n"),
        ("tests/test_a.py", "class A:\n    " + MARK + "    def test_it(self): ...\n"),
        ("tests/test_a.py", "def test_it():\n    " + MARK + "    def test_inner(): ...\n"),
        ("tests/test_a.py", 'pytestmark = pytest.mark.clause("1.1.1")\n'),
        ("tests/test_a.py", 'CASES = [pytest.param(1, marks=pytest.mark.clause("1.1.1"))]\n'),
        (f"{SUITE}/a.py", 'class ReadTests:\n    @clause("1.1.1")\n    def scene(self): ...\n'),
        (f"{SUITE}/a.py", '@clause("1.1.1")\ndef test_it(): ...\n'),
    ],
)
def test_a_marker_on_anything_but_a_test_is_none(tmp_path: Path, name: str, text: str) -> None:
    markers, problems = planted(tmp_path, name, text)

    assert markers == []
    assert len(problems) == 1
    assert problems[0].endswith("decorates no test")


@pytest.mark.parametrize(
    "left_out", ["skip", 'skip(reason="later")', "xfail", "xfail(strict=True)"]
)
def test_a_test_that_is_not_run_proves_nothing(tmp_path: Path, left_out: str) -> None:
    text = f"{MARK}@pytest.mark.{left_out}\ndef test_it(): ...\n"

    markers, problems = planted(tmp_path, "test_a.py", text)

    assert markers == []
    assert problems == ["test_a.py:3: a test that is not run proves no clause"]


@pytest.mark.parametrize(
    "numbers, complaint",
    [
        ("", "a marker names at least one clause"),
        ('"5.4"', "not the number of a clause: '5.4'"),
        ('"5.4.1a"', "not the number of a clause: '5.4.1a'"),
        ('"5.4.1 "', "not the number of a clause: '5.4.1 '"),
        ("5.4", "not the number of a clause: 5.4"),
        ("NUMBER", "not the number of a clause: 'NUMBER'"),
        ('*["5.4.1"]', "not the number of a clause: \"*['5.4.1']\""),
        ('"5.4.1", "5.4.1"', "5.4.1 stands there twice"),
    ],
)
def test_a_malformed_marker_is_told_with_its_place(
    tmp_path: Path, numbers: str, complaint: str
) -> None:
    text = f"@pytest.mark.clause({numbers})\ndef test_it(): ...\n"

    assert planted(tmp_path, "test_a.py", text)[1] == [f"test_a.py:2: {complaint}"]


def test_a_second_marker_on_a_test_is_refused(tmp_path: Path) -> None:
    _, problems = planted(tmp_path, "test_a.py", MARK + MARK + "def test_it(): ...\n")

    assert problems == ["test_a.py:3: one marker names all clauses of a test"]


@pytest.mark.parametrize(
    "name, text, test",
    [
        ("a_test.go", "// clause: 1.1.1\nfunc TestIt(t *testing.T) {\n}\n", "TestIt"),
        ("a.test.ts", '// clause: 1.1.1\ntest("it (is)", () => {});\n', "it (is)"),
        ("a.test.ts", '  // clause: 1.1.1\n  test(\n    "it",\n    async () => {},\n);\n', "it"),
        ("a.test.ts", '// clause: 1.1.1\ntest.each([1, ")"])("it %i", (n) => {});\n', "it %i"),
        ("a.test.ts", '// clause: 1.1.1\ntest.each([\n  f(1),\n])(\n  "it",\n  () => {});\n', "it"),
    ],
)
def test_a_comment_right_above_a_test_of_go_or_typescript_marks_it(
    tmp_path: Path, name: str, text: str, test: str
) -> None:
    assert planted(tmp_path, name, text) == ([("1.1.1", test)], [])


@pytest.mark.parametrize(
    "name, text",
    [
        ("a_test.go", "// clause: 1.1.1\n\nfunc TestIt(t *testing.T) {\n"),
        ("a_test.go", "// clause: 1.1.1\nfunc helper(t *testing.T) {\n"),
        ("a.go", "// clause: 1.1.1\nfunc TestIt(t *testing.T) {\n"),
        ("a.test.ts", '// clause: 1.1.1\ndescribe("it", () => {\n'),
        ("a.test.ts", '// clause: 1.1.1\ntest.skip("it", () => {\n'),
        ("a.test.ts", '// clause: 1.1.1\ntest.todo("it");\n'),
        ("a.ts", '// clause: 1.1.1\ntest("it", () => {\n'),
    ],
)
def test_a_comment_above_anything_else_is_a_problem(tmp_path: Path, name: str, text: str) -> None:
    problem = f"{name}:1: this marker stands right above no test"

    assert planted(tmp_path, name, text) == ([], [problem])


def test_a_malformed_comment_is_told_with_its_place(tmp_path: Path) -> None:
    text = "package a\n\n// clause: 1.1, 2.2.2\nfunc TestIt(t *testing.T) {\n"

    assert planted(tmp_path, "a_test.go", text) == (
        [("2.2.2", "TestIt")],
        ["a_test.go:3: not the number of a clause: '1.1'"],
    )


def test_a_conformance_case_proves_what_it_requires(tmp_path: Path) -> None:
    text = 'case: server/a/b\nrequires: ["1.1.1", "2.2.2"]\n'

    assert planted(tmp_path, "conformance-tests/cases/server/a/b.yaml", text) == (
        [("1.1.1", "server/a/b"), ("2.2.2", "server/a/b")],
        [],
    )


@pytest.mark.slow
@pytest.mark.parametrize("package", [*PYTHON_PACKAGES, "tools"])
def test_every_marker_of_pytest_is_on_a_test_that_pytest_collects(package: str) -> None:
    folder = f"{package}/tests"
    told = subprocess.run(
        [VENV / "bin" / "pytest", "--collect-only", "-q", "-m", "clause", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    collected = {line.split("[")[0] for line in told.splitlines() if line.startswith(folder)}

    found = collect(ROOT, [path for path in tracked() if path.is_relative_to(folder)])

    assert {f"{marker.path}::{marker.name}" for marker in found.markers} == collected


@pytest.mark.slow
def test_every_marker_of_the_suite_is_on_a_test_that_an_engine_runs() -> None:
    told = subprocess.run(
        [VENV / "bin" / "pytest", "--collect-only", "-q", "server/tests/stores/test_memory.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    collected = {line.split("[")[0].rsplit("::", 1)[-1] for line in told.splitlines()}

    marked = collect(ROOT, [path for path in tracked() if path.is_relative_to(SUITE)]).markers

    assert marked
    assert {method(marker) for marker in marked} <= collected


def method(marker: Marker) -> str:
    """The name of a test without its class."""
    return marker.name.rsplit("::", 1)[-1]
