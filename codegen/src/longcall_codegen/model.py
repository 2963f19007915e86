# SPDX-License-Identifier: Apache-2.0
"""What emitters read: the bundle, the code tables and the state tables as checked, typed values.

The loader refuses every JSON Schema keyword that it does not carry into these classes, so that no
rule of the schema can be lost silently on its way into a language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

Json = Any


class Direction(StrEnum):
    """Who sends a message."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True)
class Reference:
    """A use of a named definition."""

    name: str


@dataclass(frozen=True)
class AnyJson:
    """Any JSON value, null among them."""


@dataclass(frozen=True)
class BooleanType:
    """True or false."""


@dataclass(frozen=True)
class StringType:
    """Text; lengths count code points, `pattern` is in the RE2 subset and anchored.

    `const`: the one allowed value. `open_enum`: the table of `codes.json` that lists the values
    known today; others stay valid on the wire.
    """

    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    const: str | None = None
    open_enum: str | None = None


@dataclass(frozen=True)
class IntegerType:
    """A whole number within inclusive bounds; `const` is the one allowed value."""

    minimum: int | None = None
    maximum: int | None = None
    const: int | None = None


@dataclass(frozen=True)
class NumberType:
    """A finite double within inclusive bounds."""

    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class ArrayType:
    """A list of values of one type."""

    items: Type
    min_items: int | None = None
    max_items: int | None = None


@dataclass(frozen=True)
class MapType:
    """An object with free keys and values of one type."""

    keys: StringType
    values: Type
    max_properties: int | None = None


@dataclass(frozen=True)
class Field:
    """A property of an object; absent means `default`, where that is not None."""

    name: str
    type: Type
    required: bool
    description: str
    default: bool | int | str | None = None


@dataclass(frozen=True)
class ObjectType:
    """An object with named properties, in the order of the schema; unknown ones are ignored."""

    fields: tuple[Field, ...]

    def field(self, name: str) -> Field:
        """Returns the property of this name; raises `KeyError`."""
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        raise KeyError(name)


@dataclass(frozen=True)
class UnionType:
    """One of several messages, told apart by the property `discriminator`."""

    members: tuple[str, ...]
    discriminator: str


Type: TypeAlias = (
    Reference
    | AnyJson
    | BooleanType
    | StringType
    | IntegerType
    | NumberType
    | ArrayType
    | MapType
    | ObjectType
    | UnionType
)


@dataclass(frozen=True)
class Definition:
    """A named type. Messages have a `wire_type` (their `type` on the wire) and their directions."""

    name: str
    description: str
    type: Type
    wire_type: str | None = None
    directions: tuple[Direction, ...] = ()


@dataclass(frozen=True)
class Message:
    """A message: an object whose property `type` is the constant `wire_type`."""

    name: str
    wire_type: str
    description: str
    directions: tuple[Direction, ...]
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Bundle:
    """The whole schema. `document` is the bundled JSON Schema, for generators that read that."""

    document: Mapping[str, Json]
    version: str
    definitions: Mapping[str, Definition]

    @property
    def messages(self) -> tuple[Message, ...]:
        """All messages: those of `ClientMessage`, then the others of `ServerMessage`."""
        names = dict.fromkeys((*self._members("ClientMessage"), *self._members("ServerMessage")))
        return tuple(self._message(name) for name in names)

    def messages_from(self, direction: Direction) -> tuple[Message, ...]:
        """The messages that this side sends, in the order of its union."""
        union = {Direction.CLIENT: "ClientMessage", Direction.SERVER: "ServerMessage"}[direction]
        return tuple(self._message(name) for name in self._members(union))

    def resolve(self, type_: Type) -> Type:
        """Follows references until a type that is none."""
        while isinstance(type_, Reference):
            type_ = self.definitions[type_.name].type
        return type_

    def _members(self, union: str) -> tuple[str, ...]:
        type_ = self.definitions[union].type
        assert isinstance(type_, UnionType)  # checked by the loader
        return type_.members

    def _message(self, name: str) -> Message:
        definition = self.definitions[name]
        assert isinstance(definition.type, ObjectType)  # checked by the loader
        assert definition.wire_type is not None
        return Message(
            name=name,
            wire_type=definition.wire_type,
            description=definition.description,
            directions=definition.directions,
            fields=definition.type.fields,
        )


@dataclass(frozen=True)
class ErrorCodeInfo:
    """A known error code with its meaning, whether trying again may help, and its HTTP status."""

    code: str
    meaning: str
    retryable: bool
    http_status: int


@dataclass(frozen=True)
class CloseCodeInfo:
    """A known close code and what a client does after it."""

    code: int
    name: str
    meaning: str
    client: str


@dataclass(frozen=True)
class StatusInfo:
    """A known status of a request."""

    status: str
    meaning: str
    terminal: bool


@dataclass(frozen=True)
class HeartbeatSideInfo:
    """A known side of the heartbeat."""

    side: str
    meaning: str


@dataclass(frozen=True)
class Codes:
    """`schema/codes.json`."""

    error_codes: tuple[ErrorCodeInfo, ...]
    close_codes: tuple[CloseCodeInfo, ...]
    close_code_default: str
    request_statuses: tuple[StatusInfo, ...]
    heartbeat_sides: tuple[HeartbeatSideInfo, ...]


CLIENT_ACTIONS: Mapping[str, str] = {
    "reconnect": "Connect again after the backoff.",
    "reconnect_with_fresh_token": "Connect again, once, with a fresh token. PROTOCOL 10.42.",
    "stop": "Do not connect again: end what is open with an error.",
}
"""What a close code may tell a client to do."""


@dataclass(frozen=True)
class State:
    """A state of a machine; a terminal one has no way out."""

    name: str
    meaning: str
    terminal: bool


@dataclass(frozen=True)
class Event:
    """An event of a machine."""

    name: str
    meaning: str


@dataclass(frozen=True)
class Transition:
    """`(source, event) -> target`."""

    source: str
    event: str
    target: str


@dataclass(frozen=True)
class StateMachine:
    """A table of transitions: a file of `schema/states/`."""

    name: str
    title: str
    initial: str
    states: tuple[State, ...]
    events: tuple[Event, ...]
    transitions: tuple[Transition, ...]


@dataclass(frozen=True)
class States:
    """`schema/states/`, by name in the order of the files."""

    machines: Mapping[str, StateMachine]

    def __getitem__(self, name: str) -> StateMachine:
        """Returns the machine of this name; raises `KeyError`."""
        return self.machines[name]
