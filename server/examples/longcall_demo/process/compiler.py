# SPDX-License-Identifier: Apache-2.0
"""From an expression's parts to functions of a record, with the type of each known beforehand."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from longcall_demo.process.expressions import ExpressionError, Node, Part, parse
from longcall_demo.process.functions import FUNCTIONS, Type, Value

MAX_TEXT = 131_072
"""Characters of a joined text, as many as a cell of a CSV may have: by a few steps that double one,
it would fill the memory."""
Record = Sequence[Value]
T = TypeVar("T")
# The types of values are checked when an expression is compiled, not where it is evaluated.
Evaluate = Callable[[Record], Any]

_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class EvaluationError(ExpressionError):
    """A record for which the expression has no value, such as a division by zero."""


@dataclass(frozen=True)
class Expression:
    """What an expression is for known columns: its type, and its value for a record."""

    type: Type
    evaluate: Evaluate


def compile_expression(text: str, columns: Mapping[str, tuple[int, Type]]) -> Expression:
    """`columns` has each column's place in a record, and its type.

    Raises ExpressionError for an unknown column or function, and for types that do not fit
    together; evaluating raises EvaluationError.
    """
    return Expression(*_Compiler(columns).compile(parse(text)))


class _Compiler:
    def __init__(self, columns: Mapping[str, tuple[int, Type]]) -> None:
        self._columns = columns

    def compile(self, node: Node) -> tuple[Type, Evaluate]:
        """The type of a part, and how it is evaluated."""
        compilers: dict[Part, Callable[[Node], tuple[Type, Evaluate]]] = {
            Part.CONSTANT: _constant,
            Part.COLUMN: self._column,
            Part.UNARY: self._unary,
            Part.ARITHMETIC: self._arithmetic,
            Part.BOOLEAN: self._boolean,
            Part.COMPARISON: self._comparison,
            Part.MEMBERSHIP: self._membership,
            Part.CHOICE: self._choice,
            Part.CALL: self._call,
        }
        return compilers[node.part](node)

    def _of(self, kind: Type, node: Node) -> Evaluate:
        """The part, which must be of this type."""
        found, evaluate = self.compile(node)
        if found is not kind:
            raise ExpressionError(node.place, f"a {kind} is needed, and this is a {found}")
        return evaluate

    def _column(self, node: Node) -> tuple[Type, Evaluate]:
        if node.value not in self._columns:
            raise ExpressionError(node.place, f"there is no column {node.value!r}")
        index, kind = self._columns[str(node.value)]
        return kind, operator.itemgetter(index)

    def _unary(self, node: Node) -> tuple[Type, Evaluate]:
        [part] = node.parts
        if node.value == "not":
            holds = self._of(Type.BOOLEAN, part)
            return Type.BOOLEAN, lambda record: not holds(record)
        value = self._of(Type.NUMBER, part)
        if node.value == "+":
            return Type.NUMBER, value
        return Type.NUMBER, lambda record: None if (x := value(record)) is None else -x

    def _arithmetic(self, node: Node) -> tuple[Type, Evaluate]:
        left_type, left = self.compile(node.parts[0])
        if left_type is Type.TEXT and node.value == "+":
            return Type.TEXT, _joined(left, self._of(Type.TEXT, node.parts[1]), node)
        left, right = (self._of(Type.NUMBER, part) for part in node.parts)
        apply = _ARITHMETIC[str(node.value)]

        def evaluate(record: Record) -> float | None:
            x, y = left(record), right(record)
            if x is None or y is None:
                return None
            try:
                return _finite(apply(x, y), node)
            except ZeroDivisionError:
                raise EvaluationError(node.place, "division by zero") from None

        return Type.NUMBER, evaluate

    def _boolean(self, node: Node) -> tuple[Type, Evaluate]:
        parts = [self._of(Type.BOOLEAN, part) for part in node.parts]
        joined = all if node.value == "and" else any
        return Type.BOOLEAN, lambda record: joined(bool(part(record)) for part in parts)

    def _same(self, nodes: Sequence[Node]) -> tuple[Type, list[Evaluate]]:
        """The parts, which must be of one type."""
        kind, first = self.compile(nodes[0])
        return kind, [first, *(self._of(kind, node) for node in nodes[1:])]

    def _comparison(self, node: Node) -> tuple[Type, Evaluate]:
        kind, parts = self._same(node.parts)
        signs = [_COMPARE[sign] for sign in node.more]
        if kind is Type.BOOLEAN and not {"==", "!="}.issuperset(node.more):
            raise ExpressionError(node.place, "neither of two booleans comes first")

        def evaluate(record: Record) -> bool:
            values = [part(record) for part in parts]
            if None in values:
                return False
            return all(sign(x, y) for sign, x, y in zip(signs, values, values[1:], strict=False))

        return Type.BOOLEAN, evaluate

    def _membership(self, node: Node) -> tuple[Type, Evaluate]:
        _, [part, *others] = self._same(node.parts)
        wanted = node.value == "in"

        def evaluate(record: Record) -> bool:
            value = part(record)
            if value is None:
                return False
            return (value in [other(record) for other in others]) is wanted

        return Type.BOOLEAN, evaluate

    def _choice(self, node: Node) -> tuple[Type, Evaluate]:
        test = self._of(Type.BOOLEAN, node.parts[0])
        kind, [body, other] = self._same(node.parts[1:])
        return kind, lambda record: body(record) if test(record) else other(record)

    def _call(self, node: Node) -> tuple[Type, Evaluate]:
        if node.value == "missing" and len(node.parts) == 1:
            _, part = self.compile(node.parts[0])
            return Type.BOOLEAN, lambda record: part(record) is None
        if node.value == "coalesce" and len(node.parts) > 1:
            kind, parts = self._same(node.parts)
            return kind, lambda record: next(
                (value for part in parts if (value := part(record)) is not None), None
            )
        return self._function(node)

    def _function(self, node: Node) -> tuple[Type, Evaluate]:
        name = str(node.value)
        if name not in FUNCTIONS and name not in ("missing", "coalesce"):
            raise ExpressionError(node.place, f"there is no function {name!r}")
        compiled = [self.compile(part) for part in node.parts]
        types, parts = [kind for kind, _ in compiled], [part for _, part in compiled]
        function = FUNCTIONS.get(name)
        if function is None or not function.takes(types):
            given = ", ".join(types)
            raise ExpressionError(node.place, f"{name}({given}): it takes other arguments")
        call = function.call

        def evaluate(record: Record) -> Value:
            values = [part(record) for part in parts]
            if None in values:
                return None
            try:
                result: Value = call(*values)
            except (ValueError, OverflowError) as error:
                raise EvaluationError(node.place, f"{name}: {error}") from None
            return _finite(result, node)

        return function.result, evaluate


def _constant(node: Node) -> tuple[Type, Evaluate]:
    value = node.value
    kind = Type.BOOLEAN if isinstance(value, bool) else Type.NUMBER
    if isinstance(value, str):
        kind = Type.TEXT
    return kind, lambda record: value


def _joined(left: Evaluate, right: Evaluate, node: Node) -> Evaluate:
    def evaluate(record: Record) -> str | None:
        x, y = left(record), right(record)
        if x is None or y is None:
            return None
        if len(x) + len(y) > MAX_TEXT:
            raise EvaluationError(node.place, f"the text is longer than {MAX_TEXT:,} characters")
        joined: str = x + y
        return joined

    return evaluate


def _finite(value: T, node: Node) -> T:
    if isinstance(value, float) and not math.isfinite(value):
        raise EvaluationError(node.place, "the number is too large for a double")
    return value
