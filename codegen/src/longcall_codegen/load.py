# SPDX-License-Identifier: Apache-2.0
"""Reads `schema/` into the classes of `model`, refusing what they cannot carry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jsonschema

from .bundle import SchemaError, build_bundle, load_json
from .model import (
    CLIENT_ACTIONS,
    AnyJson,
    ArrayType,
    BooleanType,
    Bundle,
    CloseCodeInfo,
    Codes,
    Definition,
    Direction,
    ErrorCodeInfo,
    Event,
    Field,
    HeartbeatSideInfo,
    IntegerType,
    Json,
    MapType,
    NumberType,
    ObjectType,
    Reference,
    State,
    StateMachine,
    States,
    StatusInfo,
    StringType,
    Transition,
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


@dataclass(frozen=True)
class Schema:
    """All that `schema/` holds for emitters."""

    bundle: Bundle
    codes: Codes
    states: States


def load_schema(schema_dir: Path) -> Schema:
    """Reads and checks the whole folder; raises `SchemaError` naming file or place."""
    codes = load_codes(schema_dir / "codes.json")
    bundle = parse_bundle(build_bundle(schema_dir), codes)
    return Schema(bundle=bundle, codes=codes, states=load_states(schema_dir / "states", codes))


# --- the bundle -------------------------------------------------------------------------------


def parse_bundle(document: Mapping[str, Json], codes: Codes) -> Bundle:
    """Turns the bundled document into a `Bundle`; raises `SchemaError` naming the place."""
    try:
        jsonschema.Draft202012Validator.check_schema(document)
    except jsonschema.SchemaError as error:
        raise SchemaError(f"{_pointer(error.absolute_path)}: {error.message}") from error
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
        _unique([str(definitions[member].wire_type) for member in union.type.members], name)


# --- the code tables --------------------------------------------------------------------------

_TEXT: Final[Json] = {"type": "string", "minLength": 1}


def _rows(**columns: Json) -> Json:
    return {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "required": list(columns),
            "properties": columns,
            "additionalProperties": False,
        },
    }


def _table(**members: Json) -> Json:
    return {
        "type": "object",
        "required": list(members),
        "properties": members,
        "additionalProperties": False,
    }


_CODES_SCHEMA: Final = _table(
    error_codes=_rows(
        code={"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$"},
        meaning=_TEXT,
        retryable={"type": "boolean"},
        http_status={"type": "integer", "minimum": 400, "maximum": 599},
    ),
    close_codes=_rows(
        code={"type": "integer", "minimum": 1000, "maximum": 4999},
        name={"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$"},
        meaning=_TEXT,
        client={"enum": list(CLIENT_ACTIONS)},
    ),
    close_code_default={"enum": list(CLIENT_ACTIONS)},
    request_statuses=_rows(status=_TEXT, meaning=_TEXT, terminal={"type": "boolean"}),
    heartbeat_sides=_rows(side=_TEXT, meaning=_TEXT),
)


def load_codes(path: Path) -> Codes:
    """Reads `codes.json`; raises `SchemaError` naming the place."""
    document = load_json(path)
    _check(document, _CODES_SCHEMA, path)
    codes = Codes(
        error_codes=tuple(ErrorCodeInfo(**row) for row in document["error_codes"]),
        close_codes=tuple(CloseCodeInfo(**row) for row in document["close_codes"]),
        close_code_default=document["close_code_default"],
        request_statuses=tuple(StatusInfo(**row) for row in document["request_statuses"]),
        heartbeat_sides=tuple(HeartbeatSideInfo(**row) for row in document["heartbeat_sides"]),
    )
    _unique([info.code for info in codes.error_codes], f"{path.name}: error_codes")
    _unique([str(info.code) for info in codes.close_codes], f"{path.name}: close_codes")
    _unique([info.name for info in codes.close_codes], f"{path.name}: close_codes")
    _unique([info.status for info in codes.request_statuses], f"{path.name}: request_statuses")
    _unique([info.side for info in codes.heartbeat_sides], f"{path.name}: heartbeat_sides")
    return codes


# --- the state tables -------------------------------------------------------------------------

_STATES_SCHEMA: Final = _table(
    name=_TEXT,
    title=_TEXT,
    initial=_TEXT,
    states=_rows(state=_TEXT, meaning=_TEXT, terminal={"type": "boolean"}),
    events=_rows(event=_TEXT, meaning=_TEXT),
    transitions=_rows(**{"from": _TEXT, "event": _TEXT, "to": _TEXT}),
)


def load_states(folder: Path, codes: Codes) -> States:
    """Reads `states/`; raises `SchemaError` naming file and place."""
    machines = {}
    for path in sorted(folder.glob("*.json")):
        machine = _machine(path)
        if machine.name != path.stem:
            raise SchemaError(f"{path.name}: name is {machine.name}")
        machines[machine.name] = machine
    request = machines.get("request")
    if request is not None and not is_status_machine(request, codes):
        raise SchemaError("request.json: states are not the request_statuses of codes.json")
    return States(machines)


def is_status_machine(machine: StateMachine, codes: Codes) -> bool:
    """Tells whether the states of a machine are the statuses of a request."""
    statuses = {(info.status, info.terminal) for info in codes.request_statuses}
    return {(state.name, state.terminal) for state in machine.states} == statuses


def _machine(path: Path) -> StateMachine:
    document = load_json(path)
    _check(document, _STATES_SCHEMA, path)
    machine = StateMachine(
        name=document["name"],
        title=document["title"],
        initial=document["initial"],
        states=tuple(
            State(row["state"], row["meaning"], row["terminal"]) for row in document["states"]
        ),
        events=tuple(Event(row["event"], row["meaning"]) for row in document["events"]),
        transitions=tuple(
            Transition(row["from"], row["event"], row["to"]) for row in document["transitions"]
        ),
    )
    _check_machine(machine, path.name)
    return machine


def _check_machine(machine: StateMachine, file: str) -> None:
    states = {state.name: state for state in machine.states}
    events = {event.name for event in machine.events}
    _unique([state.name for state in machine.states], f"{file}: states")
    _unique([event.name for event in machine.events], f"{file}: events")
    _unique([f"({t.source}, {t.event})" for t in machine.transitions], f"{file}: transitions")
    if machine.initial not in states:
        raise SchemaError(f"{file}: initial: {machine.initial} is no state")
    for transition in machine.transitions:
        place = f"{file}: transition ({transition.source}, {transition.event})"
        for name in (transition.source, transition.target):
            if name not in states:
                raise SchemaError(f"{place}: {name} is no state")
        if transition.event not in events:
            raise SchemaError(f"{place}: {transition.event} is no event")
        if states[transition.source].terminal:
            raise SchemaError(f"{place}: {transition.source} is terminal")
    used = {transition.event for transition in machine.transitions}
    for event in sorted(events - used):
        raise SchemaError(f"{file}: event {event} is in no transition")
    reached = {machine.initial, *(transition.target for transition in machine.transitions)}
    for state in sorted(set(states) - reached):
        raise SchemaError(f"{file}: state {state} cannot be reached")


# --- shared -----------------------------------------------------------------------------------


def _check(document: Json, schema: Json, path: Path) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    for error in sorted(validator.iter_errors(document), key=lambda item: item.json_path):
        raise SchemaError(f"{path.name}: {_pointer(error.absolute_path)}: {error.message}")


def _pointer(path: Iterable[Any]) -> str:
    return "#" + "".join(f"/{part}" for part in path)


def _unique(names: Sequence[str], place: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise SchemaError(f"{place}: {name} stands there twice")
