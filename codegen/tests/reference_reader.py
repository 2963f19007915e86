# SPDX-License-Identifier: Apache-2.0
"""A slow and plain reader of messages, by the book: what the vectors are checked against.

It takes the schema itself (by `jsonschema`) and the rules of PROTOCOL 2.3, and shares no code with
the codecs of the server and of the SDKs.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jsonschema
import rfc8785

MAX_SAFE_INTEGER: Final = 2**53 - 1
MAX_DEPTH: Final = {"client": 64, "server": 128}
_TYPES_UNREADABLE_BEYOND: Final = 64


class Refused(Exception):
    """The text is refused; `pointer` is None where no place can be named."""

    def __init__(self, code: str, pointer: str | None = None) -> None:
        super().__init__(code, pointer)
        self.code = code
        self.pointer = pointer


class Ignored(Exception):
    """A client ignores the text."""


@dataclass(frozen=True)
class Integer:
    """An integer token as it was written: too long ones must not be converted."""

    digits: str


class ReferenceReader:
    """Reads texts by the bundled schema."""

    def __init__(self, bundle: Mapping[str, Any]) -> None:
        self._bundle = bundle
        self._names = {
            direction: {
                self._definition(member["$ref"])["properties"]["type"]["const"]: member["$ref"]
                for member in bundle["$defs"][union]["oneOf"]
            }
            for direction, union in (("client", "ClientMessage"), ("server", "ServerMessage"))
        }

    def read(self, text: str, direction: str) -> str:
        """Returns the canonical form; raises `Refused` or `Ignored`.

        Raises `AssertionError` for a text with more than one defect.
        """
        message = _parse(text)
        if not isinstance(message, dict):
            raise Refused("VALIDATION_ERROR")
        message = _checked(message, "", 1, MAX_DEPTH[direction])
        kind = message.get("type")
        if not isinstance(kind, str) or not 1 <= len(kind) <= _TYPES_UNREADABLE_BEYOND:
            raise Refused("VALIDATION_ERROR", "/type")
        if kind not in self._names[direction]:
            if direction == "server":
                raise Ignored
            raise Refused("UNSUPPORTED_TYPE")
        reference = self._names[direction][kind]
        pointers = set(self._defects(message, reference))
        if len(pointers) > 1:
            # The order of a codec's checks would decide what it answers.
            raise AssertionError(f"more than one defect: {sorted(pointers)}")
        for pointer in pointers:
            raise Refused("VALIDATION_ERROR", pointer)
        return rfc8785.dumps(self._known(message, {"$ref": reference})).decode()

    def _defects(self, message: Any, reference: str) -> Iterator[str]:
        schema = {"$ref": reference, "$defs": self._bundle["$defs"]}
        for error in _Validator(schema).iter_errors(message):
            path = [_escaped(part) for part in error.absolute_path]
            if error.validator == "required":
                yield from (
                    "".join(f"/{part}" for part in (*path, name))
                    for name in error.validator_value
                    if name not in error.instance
                )
            else:
                place = "".join(f"/{part}" for part in path)
                of_a_key = "propertyNames" in error.absolute_schema_path
                yield f"{place}/{_escaped(error.instance)}" if of_a_key else place

    def _known(self, value: Any, schema: Mapping[str, Any]) -> Any:
        """Returns the value without the fields that the schema does not name."""
        if "$ref" in schema:
            schema = self._definition(schema["$ref"])
        if "properties" in schema:
            properties = schema["properties"]
            return {
                name: self._known(member, properties[name])
                for name, member in value.items()
                if name in properties
            }
        if schema.get("type") == "array":
            return [self._known(item, schema["items"]) for item in value]
        return value

    def _definition(self, reference: str) -> Any:
        return self._bundle["$defs"][reference.removeprefix("#/$defs/")]


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[jsonschema.ValidationError]:
    # In Python `$` also matches before a line end; in ECMA-262 and RE2 it does not.
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield jsonschema.ValidationError(f"does not match {pattern}")


_Validator: Final = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator, {"pattern": _pattern}
)


def _parse(text: str) -> Any:
    def refuse(_: str) -> None:
        raise Refused("VALIDATION_ERROR")

    try:
        # Integers stay text here: Python would refuse to convert very long ones.
        return json.loads(text, parse_int=Integer, parse_constant=refuse)
    except ValueError as error:
        raise Refused("VALIDATION_ERROR") from error
    except RecursionError:
        return _too_deep(text)


def _too_deep(text: str) -> Any:
    """Python's parser gives up on deep texts: read what stands above level 200 only."""
    kept, level, in_string, escaped = [], 0, False, False
    for character in text:
        if in_string:
            escaped = character == "\\" and not escaped
            in_string = character != '"' or escaped
        elif character == '"':
            in_string = True
        elif character in "[{":
            level += 1
        if level <= 200:
            kept.append(character)
        if not in_string and character in "]}":
            level -= 1
    return _parse("".join(kept))


def _checked(value: Any, pointer: str, depth: int, max_depth: int) -> Any:
    """Returns the value with integers converted; raises `Refused` for what is not I-JSON."""
    if isinstance(value, Integer):
        digits = value.digits.lstrip("-")
        if len(digits) > len(str(MAX_SAFE_INTEGER)) or int(digits) > MAX_SAFE_INTEGER:
            raise Refused("VALIDATION_ERROR", pointer)
        return int(value.digits)
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused("VALIDATION_ERROR", pointer)
    if isinstance(value, str) and not _is_unicode(value):
        raise Refused("VALIDATION_ERROR", pointer)
    if isinstance(value, list | dict) and depth > max_depth:
        raise Refused("VALIDATION_ERROR", pointer)
    if isinstance(value, list):
        return [
            _checked(item, f"{pointer}/{index}", depth + 1, max_depth)
            for index, item in enumerate(value)
        ]
    if isinstance(value, dict):
        if not all(map(_is_unicode, value)):
            raise Refused("VALIDATION_ERROR", pointer)
        return {
            key: _checked(member, f"{pointer}/{_escaped(key)}", depth + 1, max_depth)
            for key, member in value.items()
        }
    return value


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _escaped(part: object) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
