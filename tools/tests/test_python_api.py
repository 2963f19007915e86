# SPDX-License-Identifier: Apache-2.0
"""The file of the public API: what it shows, and which changes it does not let pass."""

from pathlib import Path

import pytest

import python_api
from python_surface import load
from sources import ROOT

PACKAGE = {
    "__init__.py": '''
        """A package."""
        __version__ = "1.2"
        from ._inner import Colour, Point, Wish, paint
        __all__ = ["Colour", "Point", "Wish", "__version__", "paint"]
    ''',
    "_inner.py": '''
        from dataclasses import dataclass
        from enum import StrEnum
        from typing import Generic, Literal, TypeVar, overload

        T = TypeVar("T")
        Wish = Literal["now", "later"]

        class Colour(StrEnum):
            """A colour."""
            RED = "red"

        @dataclass(frozen=True)
        class Point:
            """A point."""
            x: int
            y: int = 0
            """In metres."""
            _cache: int = 0

        class Hidden:
            def shared(self, value: T) -> T:
                return value

        class Brush(Hidden):
            def __init__(self, hair: Hidden) -> None:
                self.width = 3

            @property
            def colour(self) -> Colour: ...

            async def stroke(self, /, start: Point, *ends: Point, wish: Wish = "now") -> None:
                """Strokes."""

            def __repr__(self) -> str: ...
            def _wet(self) -> None: ...

        @overload
        def paint(what: str) -> str: ...
        @overload
        def paint(what: Point, *, colour: Colour = Colour.RED) -> Point: ...
        def paint(what, *, colour=None): ...
    ''',
    "extra.py": """
        from ._inner import Brush, Point
        __all__ = ["Brush", "Point"]
    """,
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / python_api.SOURCES / "paints"
    folder.mkdir(parents=True)
    for name, text in PACKAGE.items():
        (folder / name).write_text(text.replace("\n        ", "\n"))
    monkeypatch.setattr(python_api, "MODULES", ("paints", "paints.extra", "paints.not_yet"))
    return tmp_path


def change(root: Path, file: str, before: str, after: str) -> None:
    path = root / python_api.SOURCES / "paints" / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_file_reads_like_a_stub(root: Path) -> None:
    assert python_api.main(["generate"], root) == 0

    assert (
        (root / python_api.FILE).read_text()
        == python_api.HEAD
        + """

# paints

class Colour(StrEnum):
    RED = 'red'

@dataclass(frozen=True)
class Point:
    x: int
    y: int = 0

Wish: TypeAlias = Literal['now', 'later']

__version__: str

@overload
def paint(what: str) -> str
@overload
def paint(what: Point, *, colour: Colour = Colour.RED) -> Point


# paints.extra

Point = paints.Point

class Brush:
    width: int
    colour: Colour  # property
    async def stroke(self, /, start: Point, *ends: Point, wish: Wish = 'now') -> None
    def shared(self, value: T) -> T
"""
    )


@pytest.mark.parametrize(
    "change_of",
    [
        ("_inner.py", "y: int = 0", "y: int = 1", "+    y: int = 1"),
        ("_inner.py", "    x: int\n", "", "-    x: int"),
        ("_inner.py", 'RED = "red"', 'RED = "scarlet"', "+    RED = 'scarlet'"),
        ("_inner.py", '"now", "later"', '"now"', "+Wish: TypeAlias = Literal['now']"),
        ("_inner.py", "async def stroke", "def stroke", "+    def stroke("),
        ("_inner.py", "    @property\n", "", "+    def colour(self) -> Colour"),
        ("_inner.py", "Brush(Hidden)", "Brush", "-    def shared(self, value: T) -> T"),
        ("_inner.py", "what: str) -> str", "what: str) -> bytes", "+def paint(what: str) -> bytes"),
        ("__init__.py", ', "Wish"', "", "-Wish: TypeAlias"),
        ("extra.py", '["Brush", ', "[", "-class Brush:"),
    ],
)
def test_no_change_of_what_is_public_passes(
    root: Path, capsys: pytest.CaptureFixture[str], change_of: tuple[str, str, str, str]
) -> None:
    file, before, after, shown = change_of
    python_api.main(["generate"], root)
    assert python_api.main(["check"], root) == 0
    change(root, file, before, after)

    assert python_api.main(["check"], root) == 1

    out = capsys.readouterr().out
    assert "make generate" in out
    assert shown in out


@pytest.mark.parametrize(
    ("before", "after"),
    [("def _wet(self)", "def _dry(self)"), ('"""Strokes."""', '"""Strokes well."""')],
)
def test_what_is_private_and_what_is_said_of_it_may_change(
    root: Path, before: str, after: str
) -> None:
    python_api.main(["generate"], root)
    change(root, "_inner.py", before, after)

    assert python_api.main(["check"], root) == 0


def test_the_version_may_change(root: Path) -> None:
    python_api.main(["generate"], root)
    change(root, "__init__.py", "1.2", "1.3")

    assert python_api.main(["check"], root) == 0


def test_type_that_a_signature_names_is_public_as_well(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(root, "__init__.py", '"Colour", ', "")

    assert python_api.main(["generate"], root) == 1

    out = capsys.readouterr().out
    assert "paints.paint names Colour, which is not public: export it" in out
    assert "paints.extra.Brush.colour names Colour" in out


@pytest.mark.parametrize(
    ("file", "before", "after", "message"),
    [
        ("extra.py", "__all__ =", "names =", "paints.extra has no __all__"),
        ("extra.py", '"Brush"', '"Brash"', "names Brash, which is not there"),
        ("_inner.py", "= 3", "= max(hair)", r"Brush\.width says no type: annotate it"),
    ],
)
def test_what_cannot_be_told_is_an_error(
    root: Path, file: str, before: str, after: str, message: str
) -> None:
    change(root, file, before, after)

    with pytest.raises(ValueError, match=message):
        python_api.main(["check"], root)


def test_every_public_name_of_the_sdk_has_one_home() -> None:
    surface = load(ROOT / python_api.SOURCES, python_api.MODULES)

    assert surface.homes["longcall.events.Chunk"] == "longcall.Chunk"
    assert "longcall.Client.call" not in surface.homes.values()
