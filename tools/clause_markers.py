# SPDX-License-Identifier: Apache-2.0
"""Which tests say which clauses of the protocol they prove, in every language.

| where | how |
|---|---|
| pytest | `@pytest.mark.clause("5.4.10", "10.17.1")` on a test function or method |
| the suite of the stores | `@clause("5.4.10")` on a test, since it runs without pytest as well |
| Go and TypeScript | `// clause: 9.4.1, 9.4.2` in the line right above a test |
| conformance | `requires: ["9.4.1"]` of a case |

Read from the syntax, not by running. A marker that stands on anything but a test that is run is a
problem and no marker: it would claim what nothing proves.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

SUITE = Path("server/src/longcall_server/stores/suite")
CASES = Path("conformance-tests/cases")
NUMBER = re.compile(r"\d+\.\d+\.\d+")

COMMENT = re.compile(r"^[ \t]*//[ \t]*clauses?:(.*)$", re.MULTILINE | re.IGNORECASE)
GO_TEST = re.compile(r"func (Test\w*)\(\w+ \*testing\.T\)")
TYPESCRIPT_TEST = re.compile(r"[ \t]*(?:test|it)(\.each)?(?=\()")
LITERAL = re.compile(r"""\(\s*(["'`])((?:\\.|(?!\1).)*)\1""", re.DOTALL)


@dataclass(frozen=True, order=True)
class Marker:
    """A test that proves a clause. `name` as its runner writes it, parameters left out."""

    clause: str
    path: Path
    name: str


@dataclass
class Found:
    """What a search found; each problem is one line that begins with its place."""

    markers: list[Marker]
    problems: list[str]

    def add(self, place: str, path: Path, name: str, clauses: Sequence[object]) -> None:
        """The marker of one test, or what is wrong with it."""
        if not clauses:
            self.problems.append(f"{place}: a marker names at least one clause")
        for index, clause in enumerate(clauses):
            if not isinstance(clause, str) or not NUMBER.fullmatch(clause):
                self.problems.append(f"{place}: not the number of a clause: {clause!r}")
            elif clause in clauses[:index]:
                self.problems.append(f"{place}: {clause} stands there twice")
            else:
                self.markers.append(Marker(clause, path, name))


def collect(root: Path, paths: Sequence[Path]) -> Found:
    """The markers in those of `paths` (relative to `root`) that can hold tests."""
    found = Found([], [])
    for path in paths:
        if path.suffix == ".py":
            python(root, path, found)
        elif path.suffix == ".go" or path.name.endswith((".ts", ".mts", ".js", ".mjs")):
            commented(root, path, found)
        elif path.is_relative_to(CASES) and path.suffix == ".yaml":
            case(root, path, found)
    return found


def python(root: Path, path: Path, found: Found) -> None:
    """Decorators of tests in one Python file, and markers that are none."""
    text = (root / path).read_text(encoding="utf-8")
    if "clause" not in text:
        return
    tree = ast.parse(text, filename=str(path))
    decorators: set[int] = set()
    for name, function in tests(tree, path):
        marks = [mark for mark in function.decorator_list if is_marker(mark, path)]
        decorators.update(map(id, marks))
        if not marks:
            continue
        place = f"{path}:{function.lineno}"
        if any(is_left_out(mark) for mark in function.decorator_list):
            found.problems.append(f"{place}: a test that is not run proves no clause")
        elif len(marks) > 1:
            found.problems.append(f"{place}: one marker names all clauses of a test")
        else:
            found.add(place, path, name, list(arguments(marks[0])))
    for node in ast.walk(tree):
        if is_marker(node, path) and id(node) not in decorators:
            line = getattr(node, "lineno", 0)
            found.problems.append(f"{path}:{line}: this marker decorates no test")


Function = ast.FunctionDef | ast.AsyncFunctionDef


def tests(tree: ast.Module, path: Path) -> Iterator[tuple[str, Function]]:
    """The functions that pytest collects from a file, with their names."""
    suite = path.is_relative_to(SUITE)
    if not suite and not path.name.startswith("test_"):
        return
    for node in tree.body:
        if isinstance(node, Function) and node.name.startswith("test_") and not suite:
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and (
            node.name.endswith("Tests") if suite else node.name.startswith("Test")
        ):
            for method in node.body:
                if isinstance(method, Function) and method.name.startswith("test_"):
                    yield f"{node.name}::{method.name}", method


def is_marker(node: ast.AST, path: Path) -> bool:
    """Whether an expression is `pytest.mark.clause(…)`, or `clause(…)` in the stores' suite."""
    if not isinstance(node, ast.Call):
        return False
    name = ast.unparse(node.func)
    return name == "pytest.mark.clause" or (name == "clause" and path.is_relative_to(SUITE))


def is_left_out(decorator: ast.expr) -> bool:
    """Whether a decorator says that a test is not run, or may fail."""
    name = ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)
    return name in {"pytest.mark.skip", "pytest.mark.xfail"}


def arguments(mark: ast.expr) -> Iterator[object]:
    """The values of a marker; the text of what is no literal."""
    assert isinstance(mark, ast.Call)
    for value in [*mark.args, *(keyword.value for keyword in mark.keywords)]:
        yield value.value if isinstance(value, ast.Constant) else ast.unparse(value)


def commented(root: Path, path: Path, found: Found) -> None:
    """Comments above tests in one file of Go or TypeScript, and comments above anything else."""
    text = (root / path).read_text(encoding="utf-8")
    for comment in COMMENT.finditer(text):
        place = f"{path}:{text.count(chr(10), 0, comment.start()) + 1}"
        below = comment.end() + 1
        name = go_test(text, below) if path.suffix == ".go" else typescript_test(text, below)
        is_test_file = path.name.endswith(("_test.go", ".test.ts"))
        if name is None or not is_test_file:
            found.problems.append(f"{place}: this marker stands right above no test")
        else:
            clauses = [clause.strip() for clause in comment[1].split(",")]
            found.add(place, path, name, [clause for clause in clauses if clause])


def go_test(text: str, start: int) -> str | None:
    """The name of the Go test that begins at a line."""
    match = GO_TEST.match(text, start)
    return match[1] if match else None


def typescript_test(text: str, start: int) -> str | None:
    """The name of the vitest test that begins at a line: `test("…"`, `test.each(…)("…"`."""
    match = TYPESCRIPT_TEST.match(text, start)
    if not match:
        return None
    title = match.end()
    if match[1]:
        title = closing(text, title) + 1
    literal = LITERAL.match(text, title)
    return literal[2].replace("\\", "") if literal else None


def closing(text: str, opening: int) -> int:
    """The position of the bracket that closes the one at `opening`; strings are passed over."""
    depth = 0
    for token in re.finditer(r"""(["'`])(?:\\.|(?!\1).)*\1|[()]""", text[opening:], re.DOTALL):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth == 0:
            return opening + token.start()
    return len(text)


def case(root: Path, path: Path, found: Found) -> None:
    """The `requires` of one conformance case."""
    document = yaml.safe_load((root / path).read_text(encoding="utf-8"))
    found.add(str(path), path, document["case"], document["requires"])
