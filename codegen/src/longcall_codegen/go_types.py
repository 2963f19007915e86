# SPDX-License-Identifier: Apache-2.0
"""How each type of the schema stands in Go: the field's type and the call that reads it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from .model import (
    AnyJson,
    ArrayType,
    BooleanType,
    Bundle,
    Field,
    IntegerType,
    MapType,
    NumberType,
    ObjectType,
    Reference,
    StringType,
    Type,
)

_INITIALISMS = {"id": "ID", "url": "URL", "json": "JSON"}

MAX_INTEGER = 2**53 - 1


@dataclass(frozen=True)
class FieldCode:
    """A struct field: its Go name and type, its JSON key, and the statement that decodes it."""

    name: str
    key: str
    go_type: str
    optional: bool
    decode: str
    comment: str


def go_name(snake: str) -> str:
    """Returns `RequestID` for `request_id`."""
    return "".join(_INITIALISMS.get(word, word.capitalize()) for word in snake.split("_"))


def pattern_name(name: str) -> str:
    """Returns the variable that holds the pattern of a definition or of `Definition_field`."""
    title, _, field = name.partition("_")
    return f"{title[0].lower()}{title[1:]}{go_name(field) if field else ''}Pattern"


def field_code(field: Field, owner: str, bundle: Bundle) -> FieldCode:
    """Returns the words for one field of the struct `owner`."""
    target = f"m.{go_name(field.name)}"
    type_ = bundle.resolve(field.type)
    name = field.type.name if isinstance(field.type, Reference) else f"{owner}_{field.name}"
    optional = not field.required
    comment = "\n".join(f"// {line}" for line in textwrap.wrap(field.description, 96))
    if isinstance(type_, ObjectType):
        go_type, decode = _nested(target, name, optional)
    else:
        go_type, read = _value(type_, name, bundle)
        nullable = isinstance(type_, AnyJson | ArrayType | MapType)
        if optional and not nullable:
            go_type, read = f"*{go_type}", f"optional({read})"
        decode = f"{target}, err = {read}"
    return FieldCode(
        name=go_name(field.name),
        key=field.name,
        go_type=go_type,
        optional=optional,
        decode=decode,
        comment=comment,
    )


def _nested(target: str, name: str, optional: bool) -> tuple[str, str]:
    if optional:
        return f"*{name}", f"{target} = new({name})\nerr = {target}.decode(s)"
    return name, f"err = {target}.decode(s)"


def _value(type_: Type, name: str, bundle: Bundle) -> tuple[str, str]:
    """Returns the Go type of a value that is no struct, and the expression that reads it."""
    match type_:
        case AnyJson():
            return "json.RawMessage", "s.raw()"
        case BooleanType():
            return "bool", "s.boolean()"
        case StringType():
            return "string", _text(type_, name)
        case IntegerType(const=int(const)):
            return "int64", f"s.integer({const}, {const})"
        case IntegerType():
            low = -MAX_INTEGER if type_.minimum is None else type_.minimum
            high = MAX_INTEGER if type_.maximum is None else type_.maximum
            return "int64", f"s.integer({low}, {_bound(high)})"
        case NumberType(minimum=float() | int() as low, maximum=float() | int() as high):
            return "float64", f"s.float({low:g}, {high:g})"
        case MapType(values=StringType() as values):
            bounds = (type_.max_properties, type_.keys.max_length, values.max_length)
            return "map[string]string", f"s.textMap({', '.join(map(_limit, bounds))})"
        case ArrayType():
            return _array(type_, bundle)
        case _:
            raise AssertionError(f"{name}: the Go emitter does not know {type_}")


def _text(type_: StringType, name: str) -> str:
    pattern = "nil" if type_.pattern is None else pattern_name(name)
    return f"s.limited({type_.min_length or 0}, {_limit(type_.max_length)}, {pattern})"


def _array(type_: ArrayType, bundle: Bundle) -> tuple[str, str]:
    assert isinstance(type_.items, Reference), "items of arrays are named types"
    item = type_.items.name
    bounds = f"{type_.min_items or 0}, {_limit(type_.max_items)}"
    target = bundle.resolve(type_.items)
    if isinstance(target, ObjectType):
        read = f"func(v *{item}) error {{ return v.decode(s) }}"
        return f"[]{item}", f"list(s, {bounds}, {read})"
    go_type, expression = _value(target, item, bundle)
    read = f"func(v *{go_type}) (err error) {{ *v, err = {expression}; return err }}"
    return f"[]{go_type}", f"list(s, {bounds}, {read})"


def _limit(value: int | None) -> str:
    return "-1" if value is None else str(value)


def _bound(value: int) -> str:
    return "maxInteger" if value == MAX_INTEGER else str(value)
