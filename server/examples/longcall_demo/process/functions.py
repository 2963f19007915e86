# SPDX-License-Identifier: Apache-2.0
"""The functions of expressions, but for `missing` and `coalesce`: their value is missing where an
argument is."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from longcall_demo.sources.cells import is_number, parse_day


class Type(StrEnum):
    """Of a value."""

    NUMBER = "number"
    TEXT = "text"
    DATE = "date"
    BOOLEAN = "boolean"


Value = float | str | date | bool | None


@dataclass(frozen=True)
class Function:
    """What a function takes and gives. The last of `arguments` may come again where it `repeats`;
    the last `optional` ones may be left out."""

    arguments: tuple[Type, ...]
    result: Type
    # Checked by the compiler: the arguments are of these types, and none of them is missing.
    call: Callable[..., Any]
    optional: int = 0
    repeats: bool = False

    def takes(self, types: Sequence[Type]) -> bool:
        """Whether it can be called with these."""
        least = len(self.arguments) - self.optional
        if len(types) < least or (len(types) > len(self.arguments) and not self.repeats):
            return False
        wanted = [*self.arguments, *self.arguments[-1:] * max(0, len(types) - len(self.arguments))]
        return all(map(Type.__eq__, types, wanted))


def _number(text: str) -> float | None:
    return float(text) if is_number(text) else None


def _round(value: float, digits: float = 0.0) -> float:
    if not (digits.is_integer() and -20 <= digits <= 20):
        raise ValueError("round takes a whole number of digits, from -20 to 20")
    return round(value, int(digits))


def _text(value: float) -> str:
    return number_text(value)


def number_text(value: float) -> str:
    """Reads back as the same double; a whole number without a point."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def json_number(value: float | Decimal) -> int | float:
    """A whole number without a point, where a double holds it exactly."""
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


N, T, D, B = Type.NUMBER, Type.TEXT, Type.DATE, Type.BOOLEAN
FUNCTIONS: dict[str, Function] = {
    "abs": Function((N,), N, abs),
    "round": Function((N, N), N, _round, optional=1),
    "floor": Function((N,), N, lambda value: float(math.floor(value))),
    "ceil": Function((N,), N, lambda value: float(math.ceil(value))),
    "sqrt": Function((N,), N, math.sqrt),
    "min": Function((N, N), N, min, repeats=True),
    "max": Function((N, N), N, max, repeats=True),
    "lower": Function((T,), T, str.lower),
    "upper": Function((T,), T, str.upper),
    "length": Function((T,), N, lambda text: float(len(text))),
    "contains": Function((T, T), B, lambda text, part: part in text),
    "starts_with": Function((T, T), B, str.startswith),
    "number": Function((T,), N, _number),
    "text": Function((N,), T, _text),
    "date": Function((T,), D, parse_day),
    "year": Function((D,), N, lambda day: float(day.year)),
    "month": Function((D,), N, lambda day: float(day.month)),
    "day": Function((D,), N, lambda day: float(day.day)),
    "weekday": Function((D,), N, lambda day: float(day.isoweekday())),
    "days_between": Function((D, D), N, lambda first, last: float((last - first).days)),
}
