# SPDX-License-Identifier: Apache-2.0
"""The reference page: what it shows, and which silence it does not let pass."""

from pathlib import Path

import pytest

import python_reference
from python_api import SOURCES

SOURCE = '''
"""Paints things. Every colour has one."""
from dataclasses import dataclass

__all__ = ["Point", "PaintError", "paint"]

@dataclass(frozen=True)
class Point:
    """A point of a `paint`. PROTOCOL 9.3.

    ::

        Point(1)
    """

    x: int
    """In metres."""
    y: int | None = 0
    """In metres too; None: nowhere."""

    def move(self, *by: int) -> "Point":
        """Moves it.

        Args:
            by: How far.
        """
        ...

class PaintError(Exception):
    """Raised when it does not hold.

    Attributes:
        why: In words.
    """

    def __init__(self, why: str) -> None:
        self.why = why

def paint(what: Point, *, times: int = 1) -> None:
    """Paints a `what`, and more.

    Args:
        times: How often; see `Point.move`.

    Raises:
        PaintError: It does not hold. PROTOCOL 9.3.1, 9.4.
    """
'''

PROTOCOL = """\
## 9. The client

### 9.3 Two clocks, and `timeout`

**9.3.1** The client MUST paint.

### 9.4 Waiting
"""

PAGE = """\

**paints**: Paints things.

| Functions | |
|---|---|
| [`paint`](#paintspaint) | Paints a `what`, and more. |

| Classes | |
|---|---|
| [`Point`](#paintspoint) | A point of a `paint`. |
| [`PaintError`](#paintspainterror) | Raised when it does not hold. |

## paints

Paints things. Every colour has one.

### paints.Point

```python
class Point:
```

A point of a [`paint`](#paintspaint). PROTOCOL [9.3](TWO-CLOCKS).

```python
Point(1)
```

- `x: int`: In metres.
- `y: int | None = 0`: In metres too; None: nowhere.

#### paints.Point.move

```python
def move(self, *by: int) -> Point
```

Moves it.

Arguments:

- `by`: How far.

### paints.PaintError

```python
class PaintError(Exception):
    def __init__(self, why: str) -> None
```

Raised when it does not hold.

Attributes:

- `why`: In words.

### paints.paint

```python
def paint(what: Point, *, times: int = 1) -> None
```

Paints a `what`, and more.

Arguments:

- `times`: How often; see `Point.move`.

Raises:

- [`PaintError`](#paintspainterror): It does not hold. PROTOCOL [9.3.1](TWO-CLOCKS), [9.4](WAITING).
""".replace("TWO-CLOCKS", "../schema/PROTOCOL.md#93-two-clocks-and-timeout").replace(
    "WAITING", "../schema/PROTOCOL.md#94-waiting"
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / SOURCES / "paints"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(SOURCE)
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "PROTOCOL.md").write_text(PROTOCOL)
    monkeypatch.setattr(python_reference, "MODULES", ("paints",))
    return tmp_path


def change(root: Path, before: str, after: str) -> None:
    path = root / SOURCES / "paints" / "__init__.py"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


def test_page_is_made_from_the_docstrings(root: Path) -> None:
    assert python_reference.main(["generate"], root) == 0

    assert (root / python_reference.PAGE).read_text() == python_reference.HEAD + PAGE
    assert python_reference.main(["check"], root) == 0


def test_page_that_is_not_what_the_docstrings_say_is_found(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python_reference.main(["generate"], root)
    change(root, "In words.", "In many words.")

    assert python_reference.main(["check"], root) == 1
    assert "run `make generate`" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ('"""Paints things. Every colour has one."""', "", "paints has no docstring"),
        ('    """In metres."""\n', "", "paints.Point.x has no docstring"),
        ("        why: In words.", "        how: In words.", "paints.PaintError.why has no docs"),
        (
            "        why: In words.",
            "        how: In words.",
            "an attribute how, which is not there",
        ),
        ("            by: How far.", "            far: How far.", "explains a parameter far"),
        ("            by: How far.", "            far: How far.", "not explain its parameter by"),
        ("`what`", "thing", "paints.paint does not explain its parameter what"),
        (
            '"""Moves it.\n\n        Args:\n            by: How far.\n        """',
            "",
            "move has no doc",
        ),
        ("PROTOCOL 9.3.1", "PROTOCOL 9.3.2", "there is no PROTOCOL 9.3.2"),
    ],
)
def test_silence_and_what_is_not_so_are_found(
    root: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, problem: str
) -> None:
    change(root, before, after)

    assert python_reference.main(["generate"], root) == 1
    assert problem in capsys.readouterr().out


def test_who_takes_the_arguments_of_another_may_say_so(root: Path) -> None:
    change(root, "Paints a `what`, and more.", "The arguments are those of `Point`.")

    assert python_reference.main(["generate"], root) == 0
