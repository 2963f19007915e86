# SPDX-License-Identifier: Apache-2.0
"""The reference page: `schema/REFERENCE.md`, every message, type, code and state as tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

import jinja2

from .model import (
    CLIENT_ACTIONS,
    AnyJson,
    ArrayType,
    BooleanType,
    Bundle,
    Codes,
    Direction,
    Event,
    IntegerType,
    MapType,
    Message,
    NumberType,
    ObjectType,
    Reference,
    State,
    StateMachine,
    States,
    StringType,
    Type,
    UnionType,
)
from .parse_bundle import MAX_SAFE_INTEGER

NAME: Final = "docs"
GENERATED: Final = ("schema/*.md",)

_TYPE_NAMES: Final[Mapping[type, str]] = {
    StringType: "string",
    IntegerType: "integer",
    NumberType: "number",
    BooleanType: "boolean",
    AnyJson: "any",
    ObjectType: "object",
    UnionType: "object",
}


def emit(bundle: Bundle, codes: Codes, states: States, root: Path) -> Mapping[PurePosixPath, str]:
    """Returns `schema/REFERENCE.md`."""
    definitions = [item for item in bundle.definitions.values() if item.wire_type is None]
    page = _environment(bundle).get_template("reference.md.jinja")
    text = page.render(
        bundle=bundle,
        codes=codes,
        states=states,
        client=Direction.CLIENT,
        server=Direction.SERVER,
        client_actions=CLIENT_ACTIONS,
        objects=[item for item in definitions if isinstance(item.type, ObjectType)],
        simple=[item for item in definitions if not isinstance(item.type, ObjectType | UnionType)],
    )
    return {PurePosixPath("schema/REFERENCE.md"): re.sub(r"\n{3,}", "\n\n", text)}


def _environment(bundle: Bundle) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("longcall_codegen"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )

    def bounds(type_: Type, patterns: bool = False) -> str:
        return _bounds(bundle.resolve(type_), patterns)

    environment.filters.update(
        arrow=_arrow,
        bounds=bounds,
        cell=_cell,
        message_link=_message_link,
        slug=_slug,
        target=_target,
        type_name=_type_name,
    )
    return environment


def _type_name(type_: Type) -> str:
    match type_:
        case Reference(name):
            return f"[{name}](#{_slug(name)})"
        case ArrayType(items):
            return f"array of {_type_name(items)}"
        case MapType(keys, values):
            return f"object of {_type_name(keys)}: {_type_name(values)}"
        case StringType(const=str(const)):
            return f'`"{const}"`'
        case IntegerType(const=int(const)):
            return f"`{const}`"
        case _:
            return _TYPE_NAMES[type(type_)]


def _bounds(type_: Type, patterns: bool) -> str:
    match type_:
        case StringType(const=None):
            words = [_count(type_.min_length, type_.max_length, "characters")]
            if patterns and type_.pattern is not None:
                words.append(f"`{_cell(type_.pattern)}`")
            if patterns and type_.open_enum is not None:
                title = type_.open_enum.replace("_", " ")
                words.append(f"open: see the table of {title}")
            return "; ".join(word for word in words if word)
        case IntegerType(const=None) | NumberType():
            return _range(type_.minimum, type_.maximum)
        case ArrayType():
            return _count(type_.min_items, type_.max_items, "items")
        case MapType():
            keys, values = _bounds(type_.keys, patterns), _bounds(type_.values, patterns)
            words = [
                _count(None, type_.max_properties, "keys"),
                f"each key {keys}" if keys else "",
                f"each value {values}" if values else "",
            ]
            return ", ".join(word for word in words if word)
        case _:
            return ""


def _count(minimum: int | None, maximum: int | None, unit: str) -> str:
    if maximum is None:
        return f"at least {minimum:,} {unit}" if minimum else ""
    if not minimum:
        return f"at most {maximum:,} {unit}"
    return f"{minimum:,} to {maximum:,} {unit}"


def _range(minimum: float | None, maximum: float | None) -> str:
    if maximum in (None, MAX_SAFE_INTEGER):
        return "" if minimum is None else f"≥ {minimum}"
    return f"≤ {maximum}" if minimum is None else f"{minimum} to {maximum}"


def _message_link(message: Message) -> str:
    return f"[`{message.wire_type}`](#{_slug(message.name)})"


def _arrow(message: Message) -> str:
    if len(message.directions) > 1:
        return "client ↔ server"
    other = {Direction.CLIENT: Direction.SERVER, Direction.SERVER: Direction.CLIENT}
    return f"{message.directions[0]} → {other[message.directions[0]]}"


def _target(machine: StateMachine, state: State, event: Event) -> str:
    for row in machine.transitions:
        if (row.source, row.event) == (state.name, event.name):
            return f"`{row.target}`"
    return ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _slug(heading: str) -> str:
    """Returns the anchor that Markdown renderers give a heading."""
    return re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")
