# SPDX-License-Identifier: Apache-2.0
"""JSON files: reading documents one by one, and holding them against a JSON Schema."""

import json
import math
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, TypedDict

import jsonschema_rs

from longcall_demo.sources.reader import MAX_LINE_BYTES, bad_source
from longcall_server import HandlerError

MAX_DOCUMENT_BYTES = 16 * 1_048_576
"""Of a .json file, which is one document; a line has `MAX_LINE_BYTES` at the most."""
MAX_DEPTH = 64
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


class JsonNumber(str):
    """A number as it is written."""

    __slots__ = ()


def finite(text: str) -> float:
    """The double that a number is; ValueError if there is none."""
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is too large for a double")
    return number


def compile_schema(schema: dict[str, Any] | bool) -> jsonschema_rs.Validator:
    """What documents are held against; ValueError says what is wrong with the schema.

    Nothing is fetched, and nothing is referred to: by a few references to references, a small
    schema can take longer than anybody waits.
    """
    reference = next(_references(schema, ""), None)
    if reference is not None:
        raise ValueError(f"{reference}: references are not supported")
    try:
        return jsonschema_rs.validator_for(
            schema, pattern_options=jsonschema_rs.RegexOptions(), offline=True
        )
    except jsonschema_rs.ValidationError as error:
        raise ValueError(f"{_pointer(error.instance_path)}: {error.message}") from error
    except jsonschema_rs.ReferencingError as error:
        raise ValueError(error.message) from error


def _references(value: Any, pointer: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key in _REFERENCES and isinstance(part, str):
                yield f"{pointer}/{key}"
            yield from _references(part, f"{pointer}/{key}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _references(part, f"{pointer}/{index}")


def problems_of(validator: jsonschema_rs.Validator, document: Any, most: int) -> list[str]:
    """What is wrong, each with its JSON Pointer; `most` of them at the most."""
    found = islice(validator.iter_errors(document), most)
    return [f"{_pointer(error.instance_path)}: {error.message[:200]}" for error in found]


def _pointer(path: list[str | int]) -> str:
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return "".join(f"/{part}" for part in parts) or "the top"


def documents(path: Path, number: Callable[[str], Any] = finite) -> Iterator[tuple[int, Any]]:
    """Line and value of each document: a .json file is one, of any other each line is one.

    `number` makes a value of a number's text. Raises HandlerError BAD_SOURCE with the line for what
    is not JSON, or too large or too deep.
    """
    with path.open("rb") as file:
        if path.suffix.lower() == ".json":
            text = _bounded(file.read(MAX_DOCUMENT_BYTES + 1), MAX_DOCUMENT_BYTES, 1)
            yield 1, parse(text, 1, number)
            return
        line = 0
        while text := file.readline(MAX_LINE_BYTES + 1):
            line += 1
            # Its end is not a part of it: an error there would be one of the next line.
            text = _bounded(text, MAX_LINE_BYTES, line).rstrip()
            if text:
                yield line, parse(text, line, number)


def _bounded(text: bytes, limit: int, line: int) -> bytes:
    if len(text) > limit:
        raise bad_source(f"a document of over {limit:,} bytes", line=line)
    return text


def parse(text: bytes, line: int, number: Callable[[str], Any] = finite) -> Any:
    """The value of a document that begins on `line`; HandlerError BAD_SOURCE."""
    try:
        value = json.loads(
            text.decode("utf-8-sig"),
            parse_int=_integer if number is finite else number,
            parse_float=number,
            parse_constant=_not_a_number,
        )
    except UnicodeDecodeError as error:
        raise bad_source(f"byte {error.start + 1} is not UTF-8", line=line) from error
    except json.JSONDecodeError as error:
        reason = f"not JSON: {error.msg}, character {error.colno}"
        raise bad_source(reason, line=line + error.lineno - 1) from error
    except RecursionError as error:
        raise bad_source("nested too deep", line=line) from error
    except ValueError as error:
        raise bad_source(f"not JSON: {error}", line=line) from error
    if _is_deeper(value, MAX_DEPTH):
        raise bad_source(f"nested over {MAX_DEPTH} deep", line=line)
    if b"\\u" in text and _has_surrogate(value):
        raise bad_source("a lone surrogate is no text", line=line)
    return value


def _integer(text: str) -> int | float:
    # Python refuses integers of many digits; no double is so large.
    return int(text) if len(text) < 300 else finite(text)


def _not_a_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number of JSON")


def _has_surrogate(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth + 1):
        level = [
            part
            for parent in level
            if isinstance(parent, dict | list)
            for part in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return True


class Problem(TypedDict):
    """What is wrong in a file, and on which line."""

    line: int
    problem: str


def failed(problems: list[Problem], *, more: bool) -> HandlerError:
    """The error of a file that is not as it has to be."""
    first = problems[0]
    others = "" if len(problems) == 1 else f" (and {len(problems) - 1}{'+' if more else ''} more)"
    return HandlerError(
        "INVALID",
        f"line {first['line']}: {first['problem']}{others}",
        details={
            "problems": [{"line": p["line"], "problem": p["problem"]} for p in problems],
            "more": more,
        },
    )
