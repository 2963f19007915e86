# SPDX-License-Identifier: Apache-2.0
"""What the words of a command line mean: payloads, durations, notes, folders."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

from pydantic import JsonValue

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
STANDARD_INPUT = "-"


def text_of(word: str, *, may_be_empty: bool = False) -> tuple[str, str]:
    """Returns what a word stands for, and where that is: itself, `@FILE`, or `-`.

    Raises:
        ArgumentTypeError: The file cannot be read, is not UTF-8, or is empty and must not be.
    """
    if word == STANDARD_INPUT:
        if sys.stdin is None or sys.stdin.closed:
            raise argparse.ArgumentTypeError("there is no standard input")
        name, read = "standard input", sys.stdin.read
    elif word.startswith("@"):
        path = Path(word[1:]).expanduser()
        name, read = str(path), lambda: path.read_text(encoding="utf-8")
    else:
        return word, ""
    try:
        text = read()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{name}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise argparse.ArgumentTypeError(f"{name}: not UTF-8 at byte {error.start}") from None
    if not text.strip() and not may_be_empty:
        raise argparse.ArgumentTypeError(f"{name} is empty, or was read before")
    return text, name


def payload(word: str) -> JsonValue:
    """Reads a payload: JSON, `@FILE`, or `-` for standard input."""
    text, name = text_of(word)
    return read_json(text, name)


def read_json(text: str, name: str, first_line: int = 1) -> JsonValue:
    """Returns the value of a JSON text of `name`; says what is wrong, and where.

    Raises:
        ArgumentTypeError: It is not JSON, or a key stands twice in an object.
    """
    where = f"{name}: " if name else ""
    try:
        value: JsonValue = json.loads(
            text, object_pairs_hook=_unique_keys, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise argparse.ArgumentTypeError(
            f"{where}not JSON at line {line}, column {error.colno}: {error.msg}{_hint(text, name)}"
        ) from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise argparse.ArgumentTypeError(f"{where}not JSON: {reason}") from None
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {json.dumps(twice)} stands twice in one object")
    return members


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


def _hint(text: str, name: str) -> str:
    """Most often a shell has taken the quotes away."""
    if name or not text.strip():
        return ""
    if re.match(r"\s*\{\s*[^\s\"}]", text):
        return """; keep it whole for the shell: '{"key": "value"}'"""
    if re.fullmatch(r"[\w./-]+", text):
        found = Path(text).is_file()
        return f"; to read the file: @{text}" if found else f"; a string is '{json.dumps(text)}'"
    return ""


def lines(word: str) -> list[JsonValue]:
    """Reads a file of JSON Lines, `-` for standard input; empty lines are left out."""
    is_marked = word == STANDARD_INPUT or word.startswith("@")
    text, name = text_of(word if is_marked else f"@{word}", may_be_empty=True)
    numbered = enumerate(text.split("\n"), 1)
    return [read_json(line, name, number) for number, line in numbered if line.strip()]


def duration(text: str) -> float:
    """Reads `500ms`, `30s`, `5m`, `24h`, `7d` or a number of seconds; returns seconds."""
    found = re.fullmatch(r"([0-9]*\.?[0-9]+)(ms|s|m|h|d)?", text)
    seconds = float(found[1]) * UNITS[found[2] or "s"] if found else math.nan
    if not (seconds > 0 and math.isfinite(seconds)):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no duration greater than 0: 500ms, 30s, 5m, 24h, 7d, or seconds"
        )
    return seconds


def count(text: str) -> int:
    """Reads a whole number of at least 1."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def priority(text: str) -> int:
    """Reads 0 to 9."""
    if not re.fullmatch(r"[0-9]", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not one of 0 to 9")
    return int(text)


def pair(text: str) -> tuple[str, str]:
    """Reads `KEY=VALUE`."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def folder(text: str) -> Path:
    """Reads the path of a folder that is there."""
    path = Path(text).expanduser()
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no folder")
    return path
