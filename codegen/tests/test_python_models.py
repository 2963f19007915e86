# SPDX-License-Identifier: Apache-2.0
"""The generated Python files do what their readers rely on."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from golden import emitted
from pydantic import MISSING, TypeAdapter, ValidationError


class Generated:
    """The generated modules of the fixture, imported as a package."""

    def __init__(self, package: str) -> None:
        self.messages = self._load(package, "messages")
        self.codes = self._load(package, "codes")
        self.states = self._load(package, "states")
        self.client: TypeAdapter[Any] = TypeAdapter(self.messages.ClientMessage)
        self.server: TypeAdapter[Any] = TypeAdapter(self.messages.ServerMessage)

    @staticmethod
    def _load(package: str, name: str) -> ModuleType:
        return importlib.import_module(f"{package}.{name}")


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generated]:
    folder = tmp_path_factory.mktemp("generated")
    _write_package(folder / "fixture_package")
    sys.path.insert(0, str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield Generated("fixture_package")
    sys.path.remove(str(folder))


def _write_package(folder: Path) -> None:
    folder.mkdir()
    (folder / "__init__.py").touch()
    for path, text in emitted("python").items():
        (folder / path.name).write_text(text, encoding="utf-8")


def test_both_packages_get_the_same_files() -> None:
    files = emitted("python")
    by_name: dict[str, set[str]] = {}
    for path, text in files.items():
        by_name.setdefault(path.name, set()).add(text)
    assert {name: len(texts) for name, texts in by_name.items()} == {
        "codes.py": 1,
        "messages.py": 1,
        "states.py": 1,
    }
    assert len(files) == 6


def test_absent_and_null_are_told_apart(generated: Generated) -> None:
    absent = generated.client.validate_json('{"type":"ask","id":"a"}')
    null = generated.client.validate_json('{"type":"ask","id":"a","payload":null}')
    assert absent.payload is MISSING
    assert null.payload is None
    assert absent.model_dump_json() == '{"type":"ask","id":"a"}'
    assert null.model_dump_json() == '{"type":"ask","id":"a","payload":null}'


def test_a_default_of_the_schema_is_neither_filled_in_nor_makes_room_for_null(
    generated: Generated,
) -> None:
    assert generated.client.validate_json('{"type":"ask","id":"a"}').loud is MISSING
    with pytest.raises(ValidationError, match="loud"):
        generated.client.validate_json('{"type":"ask","id":"a","loud":null}')


@pytest.mark.parametrize("seq", ["", '"seq":2,', '"seq":true,', '"seq":"1",'])
def test_a_required_constant_must_be_there_and_be_it(generated: Generated, seq: str) -> None:
    with pytest.raises(ValidationError, match="seq"):
        generated.server.validate_json('{"type":"tell",' + seq + '"mood":"open","answer":1}')


def test_unknown_fields_are_ignored(generated: Generated) -> None:
    message = generated.client.validate_json('{"type":"beat","later":1}')
    assert message.model_dump_json() == '{"type":"beat"}'


@pytest.mark.parametrize(
    "field",
    ['"level":"3"', '"level":0', '"loud":1', '"id":7', '"words":[]', '"tags":{"long":"a"}'],
)
def test_types_are_strict_and_bounds_hold(generated: Generated, field: str) -> None:
    with pytest.raises(ValidationError):
        generated.client.validate_json('{"type":"ask","id":"a",' + field + "}")


def test_a_name_that_python_keeps_is_written_with_an_underline(generated: Generated) -> None:
    point = generated.messages.Point(x=0.5, from_="a")
    assert point.model_dump_json() == '{"x":0.5,"from":"a"}'
    adapter: TypeAdapter[Any] = TypeAdapter(generated.messages.Point)
    assert adapter.validate_json('{"x":0.5,"from":"a"}', by_alias=True, by_name=False) == point


def test_models_cannot_be_changed(generated: Generated) -> None:
    message = generated.messages.BeatMessage()
    with pytest.raises(ValidationError, match="frozen"):
        message.type = "other"


def test_an_enum_gives_none_for_a_value_of_a_later_version(generated: Generated) -> None:
    assert generated.codes.ErrorCode.of("BUSY") is generated.codes.ErrorCode.BUSY
    assert generated.codes.ErrorCode.of("LATER") is None
    assert generated.codes.RequestStatus.of("done").is_terminal
    assert not generated.codes.RequestStatus.of("open").is_terminal


def test_code_tables_hold_every_row(generated: Generated) -> None:
    codes = generated.codes
    assert set(codes.ERROR_CODES) == set(codes.ErrorCode)
    assert codes.ERROR_CODES[codes.ErrorCode.BROKEN].meaning == 'It says "no", or \\ nothing.'
    assert codes.ERROR_CODES["BUSY"].retryable
    assert codes.ERROR_CODES["BUSY"].http_status == 503


@pytest.mark.parametrize(
    ("code", "action"),
    [
        (1001, "reconnect"),
        (4401, "reconnect_with_fresh_token"),
        (4403, "stop"),
        (4999, "reconnect"),
        (None, "reconnect"),
    ],
)
def test_every_close_has_an_action(generated: Generated, code: int | None, action: str) -> None:
    assert generated.codes.close_action(code) == action


def test_state_tables_hold_every_transition(generated: Generated) -> None:
    states = generated.states
    assert states.RequestState is generated.codes.RequestStatus
    assert states.REQUEST_TRANSITIONS == {("open", "finish"): "done"}
    assert {"done"} == states.REQUEST_TERMINAL
    assert states.LAMP_INITIAL is states.LampState.OFF
    assert frozenset() == states.LAMP_TERMINAL
    assert states.LAMP_TRANSITIONS == {("off", "press"): "on", ("on", "press"): "off"}
