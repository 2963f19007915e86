# SPDX-License-Identifier: Apache-2.0
"""The language of `filter` and `derive`: arithmetic, comparisons and a few functions over the
columns of a record.

    price * units > 100 and region in ("north", "east")
    round(temp_max - temp_min, 1) if not missing(temp_min) else 0
    column("a name with spaces") // 10

The syntax is Python's, the meaning is here: nothing of Python is evaluated. An expression is read
in two steps. `check_syntax` needs no source: a request with a bad one is refused. `compiler` knows
the columns and their types, and refuses what does not fit together before a record is read.

Types are number (a double), text, date (a day) and boolean. A missing value stays missing in
arithmetic and functions; a comparison with one is false. `functions` has what can be called.
"""

import ast
from dataclasses import dataclass
from enum import StrEnum

MAX_DEPTH = 50
MAX_NODES = 500
_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
}
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}
_UNARY: dict[type[ast.unaryop], str] = {ast.USub: "-", ast.UAdd: "+", ast.Not: "not"}


class ExpressionError(ValueError):
    """Something is wrong at `place`, the number of a character from 1."""

    def __init__(self, place: int, message: str) -> None:
        super().__init__(place, message)
        self.place = place
        self.message = message

    def __str__(self) -> str:
        return f"at character {self.place}: {self.message}"


class Part(StrEnum):
    """What an expression is made of."""

    CONSTANT = "constant"
    COLUMN = "column"
    UNARY = "unary"
    ARITHMETIC = "arithmetic"
    BOOLEAN = "boolean"
    COMPARISON = "comparison"
    MEMBERSHIP = "membership"
    CHOICE = "choice"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression, and where it stands. `value` has a constant's value, a name, an
    operator or a function's name."""

    part: Part
    place: int
    value: float | str | bool = ""
    parts: tuple["Node", ...] = ()
    more: tuple[str, ...] = ()
    """The operators of a chain of comparisons."""


def check_syntax(text: str) -> str:
    """The text, if it can be read; else ExpressionError."""
    parse(text)
    return text


def parse(text: str) -> Node:
    """The parts of an expression. Raises ExpressionError for what the language does not have."""
    if "\\" in text or "\0" in text:
        place = min(text.index(mark) for mark in "\\\0" if mark in text) + 1
        raise ExpressionError(place, "a backslash or NUL has no meaning here")
    # A line's end is white space; nothing before the expression, or Python sees an indentation.
    plain = " ".join(text.splitlines()).rstrip()
    indent = len(plain) - len(plain.lstrip())
    plain = plain.lstrip()
    if not plain:
        raise ExpressionError(1, "an expression was expected")
    try:
        tree = ast.parse(plain, mode="eval")
    except SyntaxError as error:
        # Where more was expected Python has no place for it.
        raise ExpressionError(indent + (error.offset or len(plain) + 1), error.msg) from None
    except (RecursionError, MemoryError, ValueError):
        raise ExpressionError(indent + 1, "too deep or too long") from None
    if sum(1 for _ in ast.walk(tree)) > MAX_NODES:
        raise ExpressionError(indent + 1, f"over {MAX_NODES} parts")
    return _Reader(plain, indent).read(tree.body)


class _Reader:
    """From Python's tree to ours; whatever is not in ours is refused."""

    def __init__(self, text: str, indent: int) -> None:
        self._bytes = text.encode()
        self._indent = indent
        self._depth = 0

    def place(self, node: ast.expr) -> int:
        """Python counts bytes, and we count characters."""
        return self._indent + len(self._bytes[: node.col_offset].decode()) + 1

    def read(self, node: ast.expr) -> Node:
        """The part that a node of Python's stands for."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(self.place(node), f"nested more than {MAX_DEPTH} deep")
        part = self._part(self.place(node), node)
        self._depth -= 1
        return part

    def _part(self, place: int, node: ast.expr) -> Node:
        match node:
            case ast.Constant(value=bool() | str() as value):
                return Node(Part.CONSTANT, place, value)
            case ast.Constant(value=int() | float() as value):
                return self._number(place, value)
            case ast.Name(id=name):
                return Node(Part.COLUMN, place, name)
            case ast.Compare():
                return self._comparison(place, node)
            case ast.IfExp(test=test, body=body, orelse=other):
                return Node(Part.CHOICE, place, "if", tuple(map(self.read, (test, body, other))))
            case ast.Call(func=ast.Name(id=name), args=values, keywords=[]):
                return self._call(place, name, values)
            case _:
                return self._operation(place, node)

    def _operation(self, place: int, node: ast.expr) -> Node:
        match node:
            case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _UNARY:
                return Node(Part.UNARY, place, _UNARY[type(sign)], (self.read(operand),))
            case ast.BinOp(left=left, op=mark, right=right) if type(mark) in _OPERATORS:
                parts = (self.read(left), self.read(right))
                return Node(Part.ARITHMETIC, place, _OPERATORS[type(mark)], parts)
            case ast.BoolOp(op=word, values=values):
                name = "and" if isinstance(word, ast.And) else "or"
                return Node(Part.BOOLEAN, place, name, tuple(map(self.read, values)))
            case _:
                raise ExpressionError(place, f"{_named(node)} has no meaning here")

    def _number(self, place: int, value: float) -> Node:
        try:
            return Node(Part.CONSTANT, place, float(value))
        except OverflowError:
            raise ExpressionError(place, "the number is too large") from None

    def _call(self, place: int, name: str, values: list[ast.expr]) -> Node:
        if name == "column":
            match values:
                case [ast.Constant(value=str() as column)]:
                    return Node(Part.COLUMN, place, column)
            raise ExpressionError(place, 'column("NAME") takes a name in quotes')
        return Node(Part.CALL, place, name, tuple(map(self.read, values)))

    def _comparison(self, place: int, node: ast.Compare) -> Node:
        signs, parts = [], [self.read(node.left)]
        for operator, right in zip(node.ops, node.comparators, strict=True):
            if type(operator) not in _COMPARISONS:
                raise ExpressionError(place, "`is` has no meaning here; compare by ==")
            sign = _COMPARISONS[type(operator)]
            signs.append(sign)
            if sign not in ("in", "not in"):
                parts.append(self.read(right))
            elif len(node.ops) == 1 and isinstance(right, ast.Tuple | ast.List) and right.elts:
                parts += map(self.read, right.elts)
            else:
                at = self.place(right)
                raise ExpressionError(at, f'`{sign}` takes a list, such as ("a", "b")')
        kind = Part.MEMBERSHIP if signs[0] in ("in", "not in") else Part.COMPARISON
        return Node(kind, place, signs[0], tuple(parts), tuple(signs))


def _named(node: ast.expr) -> str:
    names = {
        "Attribute": "a dot after a value",
        "Subscript": "[ ] after a value",
        "Call": "a call with names of arguments, or of what is not a function's name",
        "JoinedStr": "an f-string",
        "Tuple": "a list",
        "List": "a list",
        "Lambda": "lambda",
        "Await": "await",
        "NamedExpr": ":=",
        "BinOp": "this operator",
        "UnaryOp": "this operator",
        "Constant": "this constant",
    }
    return names.get(type(node).__name__, f"this ({type(node).__name__})")
