# SPDX-License-Identifier: Apache-2.0
"""How commands write for people and for programs.

Error messages, ids and payloads come from clients and handlers: nothing of them may speak to the
terminal, so control characters are written as escapes.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

# JSON escapes the others of these itself.
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SHORTEST_LAST_COLUMN = 20


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON that a terminal can show and a program can read; one line unless indented."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def print_json(value: Any) -> None:
    """Writes one line of JSON, whole, as soon as it is known."""
    print(json_text(value), flush=True)


def printable(text: str) -> str:
    """The text on one line, control and format characters as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def moment(ms: int | None) -> str:
    """A time for people: UTC, to the second."""
    if ms is None:
        return "-"
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Writes aligned columns; on a terminal the last one is cut to what the line has room for."""
    table = [heads, *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(heads))]
    room = None
    if sys.stdout.isatty():
        before = sum(widths[:-1]) + 2 * len(widths[:-1])
        room = max(shutil.get_terminal_size().columns - before, _SHORTEST_LAST_COLUMN)
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        print("  ".join([*cells, _cut(row[-1], room)]).rstrip())


def _cut(text: str, room: int | None) -> str:
    return text if room is None or len(text) <= room else text[: room - 1] + "…"
