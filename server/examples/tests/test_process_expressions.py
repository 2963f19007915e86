# SPDX-License-Identifier: Apache-2.0
"""The language of expressions: what it means, and where it says that something is wrong."""

from datetime import date
from typing import Any

import pytest

from longcall_demo.process.compiler import MAX_TEXT, EvaluationError, compile_expression
from longcall_demo.process.expressions import ExpressionError, check_syntax
from longcall_demo.process.functions import FUNCTIONS, Type

COLUMNS = {
    "x": (0, Type.NUMBER),
    "y": (1, Type.NUMBER),
    "word": (2, Type.TEXT),
    "day": (3, Type.DATE),
    "two words": (4, Type.NUMBER),
    "none": (5, Type.NUMBER),
    "größe": (6, Type.NUMBER),
}
RECORD = (7.0, -2.5, "Red fox", date(2024, 2, 29), 40.0, None, 3.0)


def value(text: str) -> Any:
    return compile_expression(text, COLUMNS).evaluate(RECORD)


VALUES: list[tuple[str, Any]] = [
    ("1 + 2 * 3", 7.0),
    ("(1 + 2) * 3", 9.0),
    ("x - y", 9.5),
    ("x / 2", 3.5),
    ("x // 2", 3.0),
    ("x % 4", 3.0),
    ("-x + +y", -9.5),
    ('column("two words") * 2', 80.0),
    ("größe + 1", 4.0),
    ("x > 6", True),
    ("x >= 7 and y < 0", True),
    ("x < 7 or not y < 0", False),
    ("0 < x < 10", True),
    ("0 < x < 7", False),
    ("x == 7 != y", True),
    ('word == "Red fox"', True),
    ('word < "Z"', True),
    ('word in ("Blue", "Red fox")', True),
    ('word not in ["Blue"]', True),
    ('day > date("2024-01-31")', True),
    ("x if y > 0 else y", -2.5),
    ("True != False", True),
    ("abs(y)", 2.5),
    ("round(y / 3)", -1.0),
    ("round(y / 3, 2)", -0.83),
    ("floor(y)", -3.0),
    ("ceil(y)", -2.0),
    ("sqrt(x + 2)", 3.0),
    ("min(x, y, 3)", -2.5),
    ("max(x, y, 3)", 7.0),
    ("lower(word)", "red fox"),
    ("upper(word)", "RED FOX"),
    ("length(word)", 7.0),
    ('contains(word, "fox")', True),
    ('starts_with(word, "fox")', False),
    ('number("-1.5e3")', -1500.0),
    ("number(word)", None),
    ('text(x) + "/" + text(y)', "7/-2.5"),
    ('date("2024-02-30")', None),
    ("year(day) * 100 + month(day)", 202402.0),
    ("day(day)", 29.0),
    ("weekday(day)", 4.0),
    ('days_between(date("2024-01-01"), day)', 59.0),
    ("none + 1", None),
    ("-none", None),
    ("abs(none)", None),
    ("none == none", False),
    ("none != 1", False),
    ("none in (1, 2)", False),
    ("none not in (1, 2)", False),
    ("missing(none)", True),
    ("missing(x)", False),
    ("coalesce(none, 5)", 5.0),
    ("coalesce(x, none)", 7.0),
    ("  1 +\n 1 ", 2.0),
]


@pytest.mark.parametrize(("text", "expected"), VALUES)
def test_an_expression_has_its_value(text: str, expected: Any) -> None:
    found = value(text)
    assert (found, type(found)) == (expected, type(expected))


def test_every_function_is_tried() -> None:
    tried = " ".join(text for text, _ in VALUES)
    assert [name for name in FUNCTIONS if f"{name}(" not in tried] == []


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("", 1, "expected"),
        ("   ", 1, "expected"),
        ("x +", 4, "syntax"),
        ("x + * y", 5, "syntax"),
        ("(x", 1, "never closed"),
        ('"größe" + * 5', 11, "syntax"),
        ("x = 3", None, "syntax"),
        ("x; y", 2, "syntax"),
        ("__import__('os').system('x')", 1, "has no meaning"),
        ("x.real", 1, "a dot"),
        ("1 + word[0]", 5, "[ ]"),
        ("[x for x in y]", 1, "ListComp"),
        ("lambda: 1", 1, "lambda"),
        ("(x := 5)", 2, ":="),
        ("f'{x}'", 1, "f-string"),
        ("x ** 2", 1, "this operator"),
        ("x & 1", 1, "this operator"),
        ("~x", 1, "this operator"),
        ("x is y", 1, "`is`"),
        ("None", 1, "constant"),
        ("1j", 1, "constant"),
        ("b'x'", 1, "constant"),
        ("...", 1, "constant"),
        ("abs(x=1)", 1, "names of arguments"),
        ("abs(*x)", 5, "Starred"),
        ("(1, 2)", 1, "a list"),
        ("x in y", 6, "takes a list"),
        ("x in ()", 6, "takes a list"),
        ("column(word)", 1, "in quotes"),
        ("'a\\tb'", 3, "backslash"),
        ("x\0", 2, "NUL"),
        ("1e999 + " + "9" * 400, 9, "too large"),
        ("-" * 60 + "1", 51, "nested"),
        ("(" * 300 + "1" + ")" * 300, 201, "too many nested"),
        (" + ".join(["1"] * 49 + ["(" + "+".join("1" * 49) + ")"] * 5), None, "nested|parts"),
        ("max(" + ",".join(["1"] * 600) + ")", 1, "parts"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(
    text: str, place: int | None, says: str
) -> None:
    with pytest.raises(ExpressionError, match=says.replace("[", r"\[").replace("(", r"\(")) as no:
        check_syntax(text)
    assert place is None or no.value.place == place


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("x + z", 5, "no column 'z'"),
        ('x + column("z z")', 5, "no column 'z z'"),
        ("größe + word", 9, "a number is needed, and this is a text"),
        ("word - word", 1, "a number is needed"),
        ("word + 1", 8, "a text is needed"),
        ("x and y", 1, "a boolean is needed"),
        ("not word", 5, "a boolean is needed"),
        ("-word", 2, "a number is needed"),
        ('x == "7"', 6, "a number is needed, and this is a text"),
        ("x < 3 < word", 9, "a number is needed"),
        ('x in (1, "2")', 10, "a number is needed"),
        ("True < False", 1, "neither of two booleans"),
        ('x if x > 1 else "no"', 17, "a number is needed"),
        ("x if x else y", 6, "a boolean is needed"),
        ("eval(word)", 1, "no function 'eval'"),
        ("1 + abs(word)", 5, r"abs\(text\)"),
        ("abs()", 1, r"abs\(\)"),
        ("round(1, 2, 3)", 1, r"round\(number, number, number\)"),
        ("min(1)", 1, r"min\(number\)"),
        ("max(1, 2, word)", 1, r"max\(number, number, text\)"),
        ("missing()", 1, r"missing\(\)"),
        ("coalesce(x, word)", 13, "a number is needed"),
    ],
)
def test_what_does_not_fit_the_columns_is_refused_with_its_place(
    text: str, place: int, says: str
) -> None:
    check_syntax(text)
    with pytest.raises(ExpressionError, match=says) as no:
        compile_expression(text, COLUMNS)
    assert no.value.place == place
    assert not isinstance(no.value, EvaluationError)


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("1 + x / (y + 2.5)", 5, "division by zero"),
        ("x // 0", 1, "division by zero"),
        ("x % 0", 1, "division by zero"),
        ("1 + sqrt(y)", 5, "sqrt"),
        ("1e308 * 10", 1, "too large"),
        ("round(x, 0.5)", 1, "whole number of digits"),
        ("round(x, 21)", 1, "whole number of digits"),
    ],
)
def test_what_has_no_value_says_so_with_its_place(text: str, place: int, says: str) -> None:
    with pytest.raises(EvaluationError, match=says) as no:
        value(text)
    assert no.value.place == place


def test_a_text_is_not_joined_to_more_than_a_cell_may_have() -> None:
    columns = {"half": (0, Type.TEXT), "rest": (1, Type.TEXT)}
    join = compile_expression("half + rest", columns).evaluate
    half = "x" * (MAX_TEXT // 2)
    assert len(join((half, half))) == MAX_TEXT
    with pytest.raises(EvaluationError, match="longer than 131,072 characters"):
        join((half, half + "x"))
