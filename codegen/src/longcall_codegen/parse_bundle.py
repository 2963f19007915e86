# SPDX-License-Identifier: Apache-2.0
"""The bundled JSON Schema as typed values; every keyword is carried over, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import jsonschema

from .checks import at, refuse_repeats
from .errors import SchemaError
from .model import (
    AnyJson,
    ArrayType,
    BooleanType,
    Bundle,
    Codes,
    Definition,
    Direction,
    Field,
    IntegerType,
    Json,
    MapType,
    NumberType,
    ObjectType,
    Reference,
    StringType,
    Type,
    UnionType,
)

MAX_SAFE_INTEGER: Final = 2**53 - 1

_ANNOTATIONS: Final = frozenset({"title", "description", "default", "x-longcall-direction"})
_KEYWORDS: Final[Mapping[str, frozenset[str]]] = {
    "string": frozenset({"minLength", "maxLength", "pattern", "const", "x-longcall-open-enum"}),
    "integer": frozenset({"minimum", "maximum", "const"}),
    "number": frozenset({"minimum", "maximum"}),
    "boolean": frozenset(),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "object": frozenset({"properties", "required"}),
    "map": frozenset({"additionalProperties", "propertyNames", "maxProperties"}),
    "union": frozenset({"oneOf", "discriminator"}),
    "reference": frozenset({"$ref"}),
    "any": frozenset({"x-longcall-any-json"}),
}


def parse_bundle(document: Mapping[str, Json], codes: Codes) -> Bundle:
    """Turns the bundled document into a `Bundle`; raises `SchemaError` naming the place."""
    try:
        jsonschema.Draft202012Validator.check_schema(document)
    except jsonschema.SchemaError as error:
        raise SchemaError(f"{at(error.absolute_path)}: {error.message}") from error
    parser = _Parser(document["$defs"], codes)
    definitions = {name: parser.definition(name) for name in document["$defs"]}
    _check_unions(definitions)
    return Bundle(document=document, version=document["version"], definitions=definitions)


class _Parser:
    def __init__(self, definitions: Mapping[str, Json], codes: Codes) -> None:
        self._definitions = definitions
        self._tables = {
            "error_codes": {info.code for info in codes.error_codes},
            "request_statuses": {info.status for info in codes.request_statuses},
            "heartbeat_sides": {info.side for info in codes.heartbeat_sides},
        }

    def definition(self, name: str) -> Definition:
        node = self._definitions[name]
        place = f"#/$defs/{name}"
        description = node.get("description", "")
        if not description:
            raise SchemaError(f"{place}: has no description")
        type_ = self._type(node, place)
        directions = node.get("x-longcall-direction")
        if directions is None:
            return Definition(name, description, type_)
        wire_type = _wire_type(type_)
        if wire_type is None:
            raise SchemaError(f"{place}: a message needs a required constant string `type`")
        try:
            senders = tuple(Direction(direction) for direction in directions)
        except ValueError as error:
            raise SchemaError(f"{place}/x-longcall-direction: {error}") from error
        return Definition(name, description, type_, wire_type, senders)

    def _type(self, node: Json, place: str) -> Type:
        if not isinstance(node, dict):
            raise SchemaError(f"{place}: not a schema object")
        kind = self._kind(node, place)
        allowed = _KEYWORDS[kind] | _ANNOTATIONS | {"type"}
        for keyword in node:
            if keyword not in allowed:
                raise SchemaError(f"{place}: keyword {keyword} is not supported in a {kind}")
        parse = getattr(self, f"_{kind}")
        result: Type = parse(node, place)
        return result

    def _kind(self, node: Mapping[str, Json], place: str) -> str:
        if "$ref" in node:
            return "reference"
        if node.get("x-longcall-any-json") is True:
            return "any"
        if "oneOf" in node:
            return "union"
        kind = node.get("type")
        if kind == "object" and "additionalProperties" in node:
            return "map"
        if kind in ("string", "integer", "number", "boolean", "array", "object"):
            return str(kind)
        raise SchemaError(f"{place}: needs a type, a $ref or x-longcall-any-json")

    def _reference(self, node: Mapping[str, Json], place: str) -> Reference:
        target = node["$ref"]
        name = target.removeprefix("#/$defs/")
        if name not in self._definitions:
            raise SchemaError(f"{place}: {target} names no definition")
        return Reference(name)

    def _any(self, node: Mapping[str, Json], place: str) -> AnyJson:
        if "type" in node:
            raise SchemaError(f"{place}: x-longcall-any-json beside a type")
        return AnyJson()

    def _boolean(self, node: Mapping[str, Json], place: str) -> BooleanType:
        return BooleanType()

    def _string(self, node: Mapping[str, Json], place: str) -> StringType:
        pattern = node.get("pattern")
        if pattern is not None and not (pattern.startswith("^") and pattern.endswith("$")):
            raise SchemaError(f"{place}: pattern is not anchored with ^ and $")
        if pattern is not None and "(?" in pattern:
            raise SchemaError(f"{place}: pattern leaves the RE2 subset")
        table = node.get("x-longcall-open-enum")
        if table is not None and table not in self._tables:
            raise SchemaError(f"{place}: {table} is no table of codes.json")
        return StringType(
            min_length=node.get("minLength"),
            max_length=node.get("maxLength"),
            pattern=pattern,
            const=node.get("const"),
            open_enum=table,
        )

    def _integer(self, node: Mapping[str, Json], place: str) -> IntegerType:
        const = node.get("const")
        minimum, maximum = node.get("minimum", const), node.get("maximum", const)
        if minimum is None or maximum is None:
            raise SchemaError(f"{place}: an integer needs minimum and maximum")
        if not -MAX_SAFE_INTEGER <= minimum <= maximum <= MAX_SAFE_INTEGER:
            raise SchemaError(f"{place}: bounds leave -(2^53 - 1) to 2^53 - 1")
        return IntegerType(minimum=minimum, maximum=maximum, const=const)

    def _number(self, node: Mapping[str, Json], place: str) -> NumberType:
        return NumberType(minimum=node.get("minimum"), maximum=node.get("maximum"))

    def _array(self, node: Mapping[str, Json], place: str) -> ArrayType:
        items = self._type(node.get("items"), f"{place}/items")
        return ArrayType(items, min_items=node.get("minItems"), max_items=node.get("maxItems"))

    def _map(self, node: Mapping[str, Json], place: str) -> MapType:
        keys = self._type(node.get("propertyNames", {"type": "string"}), f"{place}/propertyNames")
        if not isinstance(keys, StringType):
            raise SchemaError(f"{place}/propertyNames: not a string")
        values = self._type(node["additionalProperties"], f"{place}/additionalProperties")
        return MapType(keys=keys, values=values, max_properties=node.get("maxProperties"))

    def _object(self, node: Mapping[str, Json], place: str) -> ObjectType:
        properties: Mapping[str, Json] = node.get("properties", {})
        required = node.get("required", [])
        for name in required:
            if name not in properties:
                raise SchemaError(f"{place}/required: {name} is no property")
        return ObjectType(
            tuple(
                self._field(name, property_, name in required, f"{place}/properties/{name}")
                for name, property_ in properties.items()
            )
        )

    def _field(self, name: str, node: Json, required: bool, place: str) -> Field:
        type_ = self._type(node, place)
        description = node.get("description", "")
        if not description and isinstance(type_, Reference):
            description = self._definitions[type_.name].get("description", "")
        if not description:
            raise SchemaError(f"{place}: has no description")
        if required and "default" in node:
            raise SchemaError(f"{place}: a required property has no default")
        return Field(name, type_, required, description, node.get("default"))

    def _union(self, node: Mapping[str, Json], place: str) -> UnionType:
        members = []
        for index, member in enumerate(node["oneOf"]):
            type_ = self._type(member, f"{place}/oneOf/{index}")
            if not isinstance(type_, Reference):
                raise SchemaError(f"{place}/oneOf/{index}: not a $ref")
            members.append(type_.name)
        discriminator = node.get("discriminator", {}).get("propertyName")
        if discriminator != "type" or node.get("type") != "object":
            raise SchemaError(f"{place}: a union needs type object and the discriminator `type`")
        return UnionType(tuple(members), discriminator)


def _wire_type(type_: Type) -> str | None:
    if not isinstance(type_, ObjectType):
        return None
    for field in type_.fields:
        if field.name == "type" and field.required and isinstance(field.type, StringType):
            return field.type.const
    return None


def _check_unions(definitions: Mapping[str, Definition]) -> None:
    for direction, name in (
        (Direction.CLIENT, "ClientMessage"),
        (Direction.SERVER, "ServerMessage"),
    ):
        union = definitions.get(name)
        if union is None or not isinstance(union.type, UnionType):
            raise SchemaError(f"#/$defs/{name}: the union of a direction is missing")
        senders = {item.name for item in definitions.values() if direction in item.directions}
        for member in sorted(senders ^ set(union.type.members)):
            raise SchemaError(f"#/$defs/{name}: {member} and its x-longcall-direction disagree")
        refuse_repeats([str(definitions[member].wire_type) for member in union.type.members], name)
