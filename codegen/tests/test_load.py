# SPDX-License-Identifier: Apache-2.0
"""A schema that emitters could not carry into a language is refused, with file and place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from golden import CHECKOUT, FIXTURE

from longcall_codegen.errors import SchemaError
from longcall_codegen.load import load_schema
from longcall_codegen.model import (
    AnyJson,
    Direction,
    IntegerType,
    MapType,
    Reference,
    StringType,
)


@pytest.fixture
def schema_dir(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURE / "schema", tmp_path / "schema"))


def _edit(file: Path, change: Callable[[Any], None]) -> None:
    document = json.loads(file.read_text(encoding="utf-8"))
    change(document)
    file.write_text(json.dumps(document), encoding="utf-8")


def test_the_schema_of_this_repository_loads() -> None:
    schema = load_schema(CHECKOUT / "schema")
    assert len(schema.bundle.messages_from(Direction.CLIENT)) == 9
    assert len(schema.bundle.messages_from(Direction.SERVER)) == 15
    assert len(schema.bundle.messages) == 22
    assert len(schema.codes.error_codes) == 15
    assert set(schema.states.machines) == {"connection", "request"}


def test_types_carry_every_bound(schema_dir: Path) -> None:
    bundle = load_schema(schema_dir).bundle
    ask = bundle.messages_from(Direction.CLIENT)[0]
    fields = {field.name: field for field in ask.fields}
    assert [field.name for field in ask.fields if field.required] == ["type", "id"]
    assert fields["id"].type == Reference("Word")
    assert bundle.resolve(fields["id"].type) == StringType(1, 8, "^[a-z|]{1,8}$")
    assert bundle.resolve(fields["payload"].type) == AnyJson()
    assert fields["level"].type == IntegerType(1, 2**53 - 1)
    assert fields["level"].default == 3
    assert fields["loud"].default is True
    tags = bundle.resolve(fields["tags"].type)
    assert tags == MapType(StringType(max_length=3), StringType(max_length=4), 2)


def test_a_field_without_words_of_its_own_has_those_of_its_type(schema_dir: Path) -> None:
    tell = load_schema(schema_dir).bundle.messages_from(Direction.SERVER)[1]
    fields = {field.name: field for field in tell.fields}
    assert fields["mood"].description == "A mood. Open."


def _set(*path: str, value: object) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for part in path[:-1]:
            document = document[int(part) if isinstance(document, list) else part]
        document[path[-1]] = value

    return change


def _drop(*path: str) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for part in path[:-1]:
            document = document[part]
        del document[path[-1]]

    return change


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("messages/ask.json", _drop("title"), "messages/ask.json: has no title"),
        (
            "messages/ask.json",
            _set("title", value="TellMessage"),
            "messages/tell.json: title TellMessage is taken by another file",
        ),
        (
            "messages/ask.json",
            _set("properties", "id", value={"$ref": "../definitions/none.json"}),
            r"messages/ask.json: ../definitions/none.json names no file of the schema",
        ),
        (
            "messages/ask.json",
            _set("properties", "loud", "type", value="bool"),
            "#/.defs/AskMessage/properties/loud/type: 'bool' is not valid",
        ),
        (
            "definitions/word.json",
            _set("format", value="email"),
            "#/.defs/Word: keyword format is not supported in a string",
        ),
        (
            "definitions/word.json",
            _set("pattern", value="[a-z]+"),
            "#/.defs/Word: pattern is not anchored",
        ),
        (
            "definitions/word.json",
            _set("pattern", value="^(?=a)[a-z]+$"),
            "#/.defs/Word: pattern leaves the RE2 subset",
        ),
        (
            "definitions/mood.json",
            _set("x-longcall-open-enum", value="moods"),
            "#/.defs/Mood: moods is no table of codes.json",
        ),
        ("definitions/word.json", _drop("description"), "#/.defs/Word: has no description"),
        ("definitions/word.json", _drop("type"), "#/.defs/Word: needs a type"),
        (
            "messages/ask.json",
            _drop("properties", "level", "maximum"),
            "AskMessage/properties/level: an integer needs minimum and maximum",
        ),
        (
            "messages/ask.json",
            _set("properties", "level", "maximum", value=2**53),
            "AskMessage/properties/level: bounds leave",
        ),
        (
            "messages/ask.json",
            _set("required", value=["type", "id", "loud"]),
            "AskMessage/properties/loud: a required property has no default",
        ),
        (
            "messages/ask.json",
            _set("required", value=["type", "id", "nothing"]),
            "AskMessage/required: nothing is no property",
        ),
        (
            "messages/ask.json",
            _set("required", value=["id"]),
            "AskMessage: a message needs a required constant string `type`",
        ),
        (
            "messages/ask.json",
            _set("x-longcall-direction", value=["sideways"]),
            "AskMessage/x-longcall-direction: 'sideways'",
        ),
        (
            "messages/ask.json",
            _set("x-longcall-direction", value=["server"]),
            "#/.defs/ClientMessage: AskMessage and its x-longcall-direction disagree",
        ),
        ("client-message.json", _drop("discriminator"), "ClientMessage: a union needs type object"),
        ("client-message.json", _drop("type"), "ClientMessage: a union needs type object"),
        ("codes.json", _drop("close_code_default"), "codes.json: #: 'close_code_default' is a req"),
        (
            "codes.json",
            _set("close_codes", "0", "client", value="shrug"),
            "codes.json: #/close_codes/0/client: 'shrug' is not one of",
        ),
        (
            "codes.json",
            _set("error_codes", "0", "code", value="BUSY"),
            "codes.json: error_codes: BUSY stands there twice",
        ),
        (
            "codes.json",
            _set("request_statuses", "1", "terminal", value=False),
            "request.json: states are not the request_statuses",
        ),
        ("states/lamp.json", _set("name", value="light"), "lamp.json: name is light"),
        ("states/lamp.json", _set("initial", value="dim"), "lamp.json: initial: dim is no state"),
        (
            "states/lamp.json",
            _set("transitions", "0", "to", value="dim"),
            r"lamp.json: transition \(off, press\): dim is no state",
        ),
        (
            "states/lamp.json",
            _set("transitions", "0", "event", value="kick"),
            r"lamp.json: transition \(off, kick\): kick is no event",
        ),
        (
            "states/lamp.json",
            _set("states", "1", "terminal", value=True),
            r"lamp.json: transition \(on, press\): on is terminal",
        ),
        (
            "states/lamp.json",
            _set("transitions", "0", "to", value="off"),
            "lamp.json: state on cannot be reached",
        ),
    ],
)
def test_a_defect_is_refused_with_its_place(
    schema_dir: Path, file: str, change: Callable[[Any], None], words: str
) -> None:
    _edit(schema_dir / file, change)
    with pytest.raises(SchemaError, match=words):
        load_schema(schema_dir)


def test_definitions_come_before_messages_and_unions_last(
    schema_dir: Path,
) -> None:
    names = list(load_schema(schema_dir).bundle.definitions)
    assert names == [
        *("JsonValue", "Mood", "Point", "Tags", "Word"),
        *("AskMessage", "BeatMessage", "TellMessage"),
        *("ClientMessage", "ServerMessage"),
    ]
